"""What every format is read into and written from: objects on a canvas, as outlines or as a raster.

A format holds one of the two forms exactly. ``as_raster`` and ``as_outlines`` lead from one to the other:
outlines of a raster follow its pixel edges and give the same raster again, pixel for pixel.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import repeat

import geopandas
import numpy as np
import pandas as pd
import pyproj
import shapely
from affine import Affine
from numpy.typing import NDArray

from geopanoptic.errors import UsageError
from geopanoptic.grid import Grid
from geopanoptic.labels.joining import ROUNDING_PX
from geopanoptic.labels.taxonomy import Taxonomy
from geopanoptic.reprojection import reprojected

COLUMNS = ("object_id", "class_name", "score")
"""Columns of every table of objects; others are attributes, kept where a format has a place for them."""

UNLABELLED = 0
"""Value of rasters where nobody has said anything."""

_DRAWN_AT_ONCE = 20_000
_BESIDE_PX = ROUNDING_PX / 2
"""How far down outlines are drawn, so that no centre lies on a border along rows, which GDAL may draw twice. Borders at
half pixels are those of a map that is twice as fine as its scene."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """The image that was labelled: its file's name, its size, and where it lies (None: nobody knows)."""

    image: str
    height: int
    width: int
    crs_wkt: str | None = None
    transform: Affine | None = None

    @classmethod
    def of_grid(cls, image: str, grid: Grid) -> Canvas:
        """The canvas of a georeferenced image."""
        return cls(
            image=image, height=grid.height, width=grid.width, crs_wkt=grid.crs_wkt, transform=grid.transform
        )

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width

    @property
    def crs(self) -> pyproj.CRS | None:
        return None if self.crs_wkt is None else pyproj.CRS.from_wkt(self.crs_wkt)

    @property
    def placed(self) -> Affine:
        """From pixel corners (column, row) to the coordinates of outlines: the identity without georeference."""
        return Affine.identity() if self.transform is None else self.transform


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlineLabels:
    """Objects as outlines, on one image or on a map.

    ``objects`` has ``COLUMNS`` and a geometry of polygons or multipolygons in map coordinates; in pixel
    coordinates (x to the right, y down, pixel corners are integers) where ``canvas`` has no georeference.
    ``object_id`` int64 > 0 is unique; ``class_name`` is in ``taxonomy``; ``score`` is in [0, 1] or NaN.
    Outlines may overlap: nothing is decided here.
    """

    objects: geopandas.GeoDataFrame
    taxonomy: Taxonomy
    canvas: Canvas | None = None

    @property
    def image(self) -> Canvas:
        """The canvas, for formats that need one. Raises ``UsageError`` where the labels belong to no image."""
        if self.canvas is None:
            raise UsageError("The labels belong to no image.", remedy="Name it with --image.")
        return self.canvas


@dataclass(frozen=True, slots=True, kw_only=True)
class RasterLabels:
    """Objects as a raster: every pixel belongs to one object or is unlabelled.

    ``ids_hw`` int32 (h, w) holds an ``object_id`` or ``UNLABELLED``; ``objects`` is a table with ``COLUMNS``, one
    row per object that occurs.
    """

    ids_hw: NDArray[np.int32]
    objects: pd.DataFrame
    taxonomy: Taxonomy
    canvas: Canvas


Labels = OutlineLabels | RasterLabels


CLAIMED = "pixels lay in several objects and went to the smallest"
"""Of the pixels that ``as_raster`` counts."""


def claim_losses(claims: int) -> tuple[str, ...]:
    """What ``as_raster`` lost, in words; nothing where no pixel was claimed twice."""
    return (f"{claims:,} {CLAIMED}",) if claims else ()


def as_raster(labels: Labels, canvas: Canvas | None = None) -> tuple[RasterLabels, int]:
    """Labels drawn on ``canvas`` (default: their own), and the number of pixels that several objects claimed.

    A pixel belongs to the object that its centre lies in, and of several to the smallest: what lies on top of a
    larger thing was drawn on purpose. Ids stay. Raises ``UsageError`` for outlines of a map without a canvas.
    """
    if isinstance(labels, RasterLabels):
        return labels, 0
    canvas = canvas or labels.canvas
    if canvas is None:
        raise UsageError(
            "Outlines on a map have no pixels of their own.", remedy="Name the image that they were drawn on."
        )
    outlines_px = pixel_outlines(labels, canvas)
    order = np.argsort(-shapely.area(outlines_px), kind="stable")
    order = order[~shapely.is_empty(outlines_px)[order]]
    ids = labels.objects["object_id"].to_numpy()
    ids_hw, claims = _drawn(outlines_px[order], ids[order], canvas.shape)
    kept = labels.objects["object_id"].isin(np.unique(ids_hw))
    table = (
        pd.DataFrame(labels.objects.drop(columns=labels.objects.geometry.name))
        .loc[kept]
        .reset_index(drop=True)
    )
    return RasterLabels(ids_hw=ids_hw, objects=table, taxonomy=labels.taxonomy, canvas=canvas), claims


def _drawn(
    outlines_px: NDArray[np.object_], ids: NDArray[np.int64], shape: tuple[int, int]
) -> tuple[NDArray[np.int32], int]:
    """Outlines drawn one over the other, and the number of pixels that several claimed."""
    from rasterio.enums import MergeAlg
    from rasterio.features import rasterize

    ids_hw, counted = np.zeros(shape, np.int32), np.zeros(shape, np.int16)
    for first in range(0, len(ids), _DRAWN_AT_ONCE):
        some = slice(first, first + _DRAWN_AT_ONCE)
        # Many times faster than asking every outline for its __geo_interface__, which rasterize would do.
        drawn_px = shapely.transform(outlines_px[some], lambda xy: xy + (0, _BESIDE_PX))
        shapes = [json.loads(each) for each in shapely.to_geojson(drawn_px)]
        rasterize(zip(shapes, ids[some].tolist(), strict=True), out=ids_hw)
        rasterize(zip(shapes, repeat(1)), out=counted, merge_alg=MergeAlg.add)
    return ids_hw, int(np.count_nonzero(counted > 1))


def as_outlines(labels: Labels) -> OutlineLabels:
    """Outlines along pixel edges, one multipolygon per object that has several parts."""
    if isinstance(labels, OutlineLabels):
        return labels
    from geopanoptic.panoptic.coverage import trace

    ids, polygons = (
        trace(labels.ids_hw, labels.canvas.placed)
        if labels.ids_hw.any()
        else (np.zeros(0, np.int32), np.zeros(0, object))
    )
    whole, first, count = np.unique(ids, return_index=True, return_counts=True)
    outlines = polygons[first].copy()
    for k in np.flatnonzero(count > 1):
        outlines[k] = shapely.multipolygons(polygons[first[k] : first[k] + count[k]])
    geometry = pd.Series(outlines, index=whole, dtype=object).reindex(labels.objects["object_id"])
    frame = geopandas.GeoDataFrame(labels.objects, geometry=list(geometry), crs=labels.canvas.crs)
    return OutlineLabels(objects=frame, taxonomy=labels.taxonomy, canvas=labels.canvas)


def on_corners(xy_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pixel coordinates that went through other units and back, corners exact again.

    Corners of pixels, of the half pixels of a map that is twice as fine as its scene, and of the quarters at which
    its narrowest holes are cut.
    """
    nearest = np.round(xy_px * 4) / 4
    return np.where(np.abs(xy_px - nearest) < ROUNDING_PX, nearest, xy_px)


def in_crs(outlines: geopandas.GeoSeries, crs: pyproj.CRS | None) -> geopandas.GeoSeries:
    """The outlines in another CRS; empty where its projection does not reach, such as on the other side of the Earth."""
    if outlines.crs is None or crs is None or outlines.crs == crs:
        return outlines
    there = reprojected(outlines.to_numpy(), outlines.crs, crs)
    return geopandas.GeoSeries(there, index=outlines.index, crs=crs)


def pixel_outlines(labels: OutlineLabels, canvas: Canvas) -> NDArray[np.object_]:
    """The outlines in pixel coordinates of ``canvas``: x to the right, y down, corners of pixels integers.

    Empty where the canvas's projection does not reach.
    Raises ``UsageError`` where just one of outlines and canvas has a CRS.
    """
    frame = labels.objects
    if (frame.crs is None) != (canvas.crs is None):
        raise UsageError(
            f"The labels have {'no' if frame.crs is None else 'a'} coordinate reference system and {canvas.image} "
            f"has {'none' if canvas.crs is None else 'one'}.",
            remedy="Give the image that belongs to the labels, or add the missing reference.",
        )
    outlines = in_crs(frame.geometry, canvas.crs)
    inverse = ~canvas.placed

    def to_pixels(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return on_corners(np.column_stack(inverse @ (xy[:, 0], xy[:, 1])))

    return np.asarray(shapely.transform(np.asarray(outlines.array), to_pixels), dtype=object)
