"""Rasters of one map side by side again, pixel by pixel, where every piece says which object it is of.

What ``labels.tiles.stitch`` does with outlines, for images on one pixel grid: nothing is traced and drawn again, and
memory is that of the map's raster.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import shapely
from affine import Affine
from numpy.typing import NDArray

from geopanoptic.labels.joining import ROUNDING_PX
from geopanoptic.labels.objects import Canvas, Labels, RasterLabels
from geopanoptic.labels.tiles import SOURCE_ID, canvas_outline, own_ground

_SPARSE = 4
"""The map's raster may have this many times the pixels of its images."""


def mosaic(parts: Sequence[Labels], canvas: Canvas) -> RasterLabels | None:
    """Rasters put together on ``canvas``; None where they are no rasters with ``SOURCE_ID`` on its pixel grid.

    Of ground that several show, each counts on its own, as in ``stitch``; attributes are those of the largest piece.
    """
    rasters = [each for each in parts if isinstance(each, RasterLabels) and _told(each)]
    places = [_place(each.canvas, canvas) for each in rasters]
    if len(rasters) < len(parts) or None in places or all(each.objects.empty for each in rasters):
        return None
    if canvas.height * canvas.width > _SPARSE * sum(each.ids_hw.size for each in rasters):
        return None
    boxes = np.array([_box(each, place) for each, place in zip(rasters, places, strict=True) if place])
    own = own_ground(boxes, ROUNDING_PX)
    ids_hw = np.zeros(canvas.shape, np.int32)
    tables = []
    for raster, place, box, ground in zip(rasters, places, boxes, own, strict=True):
        row, col = place or (0, 0)
        part_hw, pixels = _numbered(raster)
        tables.append(raster.objects.assign(_pixels=pixels))
        onto = ids_hw[row : row + part_hw.shape[0], col : col + part_hw.shape[1]]
        mine = True if ground.equals(box) else _drawn(ground, part_hw.shape, row, col)
        np.copyto(onto, part_hw, where=mine)
    table = pd.concat(tables, ignore_index=True).sort_values("_pixels", ascending=False, kind="stable")
    table = table.drop_duplicates(SOURCE_ID).assign(object_id=lambda found: found[SOURCE_ID].astype(np.int64))
    shown = table["object_id"].isin(np.unique(ids_hw))
    table = table[shown].sort_values("object_id", ignore_index=True).drop(columns=["_pixels", SOURCE_ID])
    return RasterLabels(ids_hw=ids_hw, objects=table, taxonomy=rasters[0].taxonomy, canvas=canvas)


def canvas_around(canvases: Sequence[Canvas]) -> Canvas:
    """The canvas that holds images of one map, on the pixels of the first."""
    first = canvases[0]
    corners = [
        ~first.placed @ (each.placed @ corner)
        for each in canvases
        for corner in ((0, 0), (each.width, each.height))
    ]
    left, top = (round(min(values)) for values in zip(*corners, strict=True))
    right, bottom = (round(max(values)) for values in zip(*corners, strict=True))
    return Canvas(
        image=first.image,
        height=bottom - top,
        width=right - left,
        crs_wkt=first.crs_wkt,
        transform=first.placed @ Affine.translation(left, top),
    )


def _told(raster: RasterLabels) -> bool:
    """Whether every object is told by a whole number."""
    if SOURCE_ID not in raster.objects:
        return raster.objects.empty
    numbers = pd.to_numeric(raster.objects[SOURCE_ID], errors="coerce").to_numpy(np.float64)
    return bool(((numbers > 0) & (numbers < 2**31) & (numbers == np.round(numbers))).all())


def _place(part: Canvas, whole: Canvas) -> tuple[int, int] | None:
    """Row and column of the image within the map's raster; None off its grid."""
    if part.transform is None or part.crs_wkt != whole.crs_wkt:
        return None
    corners = np.array([~whole.placed @ (part.placed @ each) for each in ((0, 0), (part.width, part.height))])
    (left, top), (right, bottom) = nearest = np.round(corners).astype(int)
    on_grid = np.abs(corners - nearest).max() < 1e-3 and (right - left, bottom - top) == part.shape[::-1]
    inside = left >= 0 and top >= 0 and right <= whole.width and bottom <= whole.height
    return (int(top), int(left)) if on_grid and inside else None


def _box(raster: RasterLabels, place: tuple[int, int]) -> shapely.Polygon:
    row, col = place
    return canvas_outline(
        Canvas(
            image="", height=raster.canvas.height, width=raster.canvas.width,
            transform=Affine.translation(col, row),
        )
    )  # fmt: skip


def _numbered(raster: RasterLabels) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The raster with the numbers of whole objects, and the pixels (n,) of each object of its table."""
    ids = raster.objects["object_id"].to_numpy(np.int64)
    order = np.argsort(ids)
    ranks_hw = np.searchsorted(ids[order], raster.ids_hw) + 1
    ranks_hw[raster.ids_hw == 0] = 0
    pixels = np.zeros(len(ids), np.int64)
    pixels[order] = np.bincount(ranks_hw.ravel(), minlength=len(ids) + 1)[1:]
    own = raster.objects[SOURCE_ID].to_numpy(np.int32)[order] if len(ids) else np.zeros(0, np.int32)
    return np.concatenate([np.zeros(1, np.int32), own])[ranks_hw], pixels


def _drawn(ground: shapely.Geometry, shape: tuple[int, int], row: int, col: int) -> NDArray[np.bool_]:
    from rasterio.features import rasterize

    drawn = rasterize([ground], out_shape=shape, transform=Affine.translation(col, row), dtype=np.uint8)
    return np.asarray(drawn, np.bool_)
