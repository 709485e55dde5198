"""Cutting labels of a scene into images that a tool can open, and putting them together again without seams.

An object that a cut goes through has a piece in several images. Pieces are the same object where both carry the
same ``source_id``, or else where they agree on the ground that both images show (IoU above one half there, hence
one to one), or, where images only touch, on most of the seam. Every piece then counts within its image's own
ground, which ends in the middle of an overlap; so ground belongs to one image and nothing is counted twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import shapely
from affine import Affine
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geopanoptic.errors import UsageError
from geopanoptic.labels.joining import ROUNDING_PX, joined
from geopanoptic.labels.objects import Canvas, Labels, OutlineLabels, as_outlines, in_crs

SOURCE_ID = "source_id"
"""Attribute of a piece: the ``object_id`` of the whole object that it was cut from."""

_SAME = 0.5


def tile_canvases(canvas: Canvas, size_px: int, overlap_px: int = 0) -> list[Canvas]:
    """Images of ``size_px`` squared that cover a canvas, neighbours sharing ``overlap_px``; the last are smaller.

    Raises ``UsageError`` unless 0 <= overlap < size.
    """
    if not 0 <= overlap_px < size_px:
        raise UsageError(
            f"Tiles of {size_px} px cannot overlap by {overlap_px} px.",
            remedy="Give an overlap below the size.",
        )
    step = size_px - overlap_px
    stem, suffix = Path(canvas.image).stem, Path(canvas.image).suffix or ".tif"
    tiles = []
    for row in _starts(canvas.height, size_px, step):
        for col in _starts(canvas.width, size_px, step):
            tiles.append(
                Canvas(
                    image=f"{stem}_r{row:06d}_c{col:06d}{suffix}",
                    height=min(size_px, canvas.height - row),
                    width=min(size_px, canvas.width - col),
                    crs_wkt=canvas.crs_wkt,
                    transform=canvas.placed @ Affine.translation(col, row),
                )
            )
    return tiles


def cut(labels: Labels, tiles: Iterable[Canvas], *, whole: bool = False) -> Iterator[OutlineLabels]:
    """The pieces of every object on every tile, in map coordinates; tiles without any come out empty.

    ``whole``: there is one tile, so pieces need not say what they are pieces of. Labels in another CRS than the
    tiles are reprojected first.
    """
    outlines = as_outlines(labels)
    tiles = list(tiles)
    frame = outlines.objects
    if frame.crs is not None and tiles and tiles[0].crs is not None and frame.crs != tiles[0].crs:
        frame = frame.set_geometry(in_crs(frame.geometry, tiles[0].crs))
    tree = shapely.STRtree(np.asarray(frame.geometry.array))
    for tile in tiles:
        box = canvas_outline(tile)
        near = np.sort(tree.query(box, predicate="intersects"))
        pieces = polygons_of(shapely.intersection(np.asarray(frame.geometry.array)[near], box))
        kept = shapely.area(pieces) > _least_area(tile)
        rows = frame.iloc[near[kept]].drop(columns=frame.geometry.name)
        if not whole:
            rows = rows.assign(**{SOURCE_ID: rows["object_id"]})
        rows = rows.reset_index(drop=True)
        part = geopandas.GeoDataFrame(rows, geometry=pieces[kept], crs=frame.crs)
        yield OutlineLabels(objects=part, taxonomy=outlines.taxonomy, canvas=tile)


def stitch(parts: Iterable[Labels]) -> OutlineLabels:
    """The labels of images of one map as labels of that map. Attributes and score are those of the largest piece.

    Raises ``UsageError`` where an image has no place on the map, or images have different CRSs.
    """
    pieces = [as_outlines(part) for part in parts]
    canvases = [
        each.canvas for each in pieces if each.canvas is not None and each.canvas.transform is not None
    ]
    if len(canvases) < len(pieces) or not pieces:
        raise UsageError(
            "Not every image of the labels says where it lies.",
            remedy="Give a data set with labels.json, or the georeferenced images with --image.",
        )
    if len({each.crs_wkt for each in canvases}) > 1:
        raise UsageError(
            "The images of the labels have different coordinate reference systems.",
            remedy="Convert those of each system on their own.",
        )
    whole = pd.concat(
        [each.objects.assign(_tile=number) for number, each in enumerate(pieces)], ignore_index=True
    )
    outlines = np.asarray(whole.geometry.array)
    boxes = np.array([canvas_outline(each) for each in canvases])
    tile_of = whole["_tile"].to_numpy()
    joined = _joined(whole, outlines, tile_of, boxes)
    rounding = ROUNDING_PX * math.sqrt(abs(canvases[0].placed.determinant))
    owned = polygons_of(shapely.intersection(outlines, own_ground(boxes, rounding)[tile_of]))
    # A sliver of a neighbour's object, seen on one side of the seam only, is nobody's there.
    owned_area, area = shapely.area(owned), shapely.area(outlines)
    order = np.lexsort((-area, joined))
    whole = whole.iloc[order].reset_index(drop=True)
    first = np.flatnonzero(np.diff(joined[order], prepend=-1))
    geometry = _unions(owned[order], first, rounding)
    kept = np.bincount(joined, owned_area)[: len(first)] > 0
    table = whole.iloc[first].drop(columns=["_tile", whole.geometry.name]).loc[kept].reset_index(drop=True)
    table["object_id"] = _numbers(table)
    frame = geopandas.GeoDataFrame(
        table.drop(columns=SOURCE_ID, errors="ignore"), geometry=geometry[kept], crs=whole.crs
    ).sort_values("object_id", ignore_index=True)
    return OutlineLabels(objects=frame, taxonomy=pieces[0].taxonomy)


@dataclass(frozen=True, slots=True)
class _Pairs:
    first: NDArray[np.int64]
    second: NDArray[np.int64]


def _joined(
    whole: pd.DataFrame, outlines: NDArray[np.object_], tile_of: NDArray[np.int64], boxes: NDArray[np.object_]
) -> NDArray[np.int64]:
    """For every piece the number of the object that it belongs to."""
    n = len(outlines)
    told = (
        pd.to_numeric(whole[SOURCE_ID], errors="coerce")
        if SOURCE_ID in whole
        else pd.Series(np.full(n, np.nan))
    )
    source = told.to_numpy(np.float64)
    pairs = _touching(outlines, tile_of)
    unsure = np.isnan(source[pairs.first]) | np.isnan(source[pairs.second])
    a, b = pairs.first[unsure], pairs.second[unsure]
    same = whole["class_name"].to_numpy()[a] == whole["class_name"].to_numpy()[b]
    same &= _agree(outlines, tile_of, boxes, a, b)
    # Parts of one object need not touch: those with one source hang together like beads.
    beads = np.lexsort((np.arange(n), source))
    alike = source[beads[:-1]] == source[beads[1:]]
    first, second = np.concatenate([[a[same], b[same]], [beads[:-1][alike], beads[1:][alike]]], axis=1)
    graph = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def _touching(outlines: NDArray[np.object_], tile_of: NDArray[np.int64]) -> _Pairs:
    """Pairs of pieces of different images that have a point in common."""
    first, second = shapely.STRtree(outlines).query(outlines, predicate="intersects")
    across = (first < second) & (tile_of[first] != tile_of[second])
    return _Pairs(first[across], second[across])


def _agree(
    outlines: NDArray[np.object_],
    tile_of: NDArray[np.int64],
    boxes: NDArray[np.object_],
    a: NDArray[np.int64],
    b: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Whether two pieces show the same object, by the ground or the seam that their images share."""
    shared = shapely.intersection(boxes[tile_of[a]], boxes[tile_of[b]])
    is_ground = shapely.area(shared) > 0
    of_a, of_b = shapely.intersection(outlines[a], shared), shapely.intersection(outlines[b], shared)
    common = shapely.intersection(of_a, of_b)

    def size(shapes: NDArray[np.object_]) -> NDArray[np.float64]:
        return np.where(is_ground, shapely.area(shapes), shapely.length(shapes))

    union = size(of_a) + size(of_b) - size(common)
    return np.asarray(size(common) > _SAME * union) & (union > 0)


def own_ground(boxes: NDArray[np.object_], rounding: float) -> NDArray[np.object_]:
    """Every image's box without the ground that is another image's: together what all of them show, nothing twice.

    Of the ground that two share each has the half on its side. Where they are neighbours across a corner there are
    four quarters, and the first image has those that would be the two images' that may be missing.
    """
    bounds = shapely.bounds(boxes)
    first, second = shapely.STRtree(boxes).query(boxes, predicate="intersects")
    first, second = first[first < second], second[first < second]
    of_first, of_second = bounds[first], bounds[second]
    low = np.maximum(of_first[:, :2], of_second[:, :2])
    high = np.minimum(of_first[:, 2:], of_second[:, 2:])
    further = (of_second - of_first).reshape(-1, 2, 2)
    ahead, behind = (further > rounding).all(axis=1), (further < -rounding).all(axis=1)
    cut = (high - low > rounding).all(axis=1) & (ahead | behind).any(axis=1)
    middle = (low + high) / 2
    second_s = np.hstack([np.where(ahead, middle, low), np.where(behind, middle, high)])[cut]
    theirs = shapely.box(*second_s.T)
    rest = shapely.difference(shapely.box(*np.hstack([low, high])[cut].T), theirs)
    loser, lost = np.concatenate([first[cut], second[cut]]), np.concatenate([theirs, rest])
    own = boxes.copy()
    order = np.argsort(loser, kind="stable")
    losers, starts = np.unique(loser[order], return_index=True)
    for k, losses in zip(losers.tolist(), np.split(lost[order], starts[1:]), strict=False):
        own[k] = shapely.simplify(shapely.difference(boxes[k], shapely.union_all(losses)), 0)
    return own


def _numbers(table: pd.DataFrame) -> NDArray[np.int64]:
    """The objects' own ids where they have unique ones; others, drawn since, are numbered on from the highest."""
    if SOURCE_ID not in table:
        return np.arange(1, len(table) + 1)
    told = pd.to_numeric(table[SOURCE_ID], errors="coerce").to_numpy(np.float64)
    new = np.isnan(told) | pd.Series(told).duplicated().to_numpy()
    highest = np.nanmax(told, initial=0)
    return np.where(new, highest + np.cumsum(new), told).astype(np.int64)


def _unions(pieces: NDArray[np.object_], first: NDArray[np.intp], rounding: float) -> NDArray[np.object_]:
    """Each run of pieces joined; runs begin at ``first``."""
    wholes = pieces[first]
    ends = np.append(first[1:], len(pieces))
    for k in np.flatnonzero(ends - first > 1):
        found = pieces[first[k] : ends[k]]
        wholes[k] = joined(found[shapely.area(found) > 0], rounding)
    return wholes


def polygons_of(shapes: NDArray[np.object_]) -> NDArray[np.object_]:
    """Without the points and lines that an intersection leaves where outlines only touch."""
    shapes = np.asarray(shapes, dtype=object)
    for k in np.flatnonzero(shapely.get_type_id(shapes) == shapely.GeometryType.GEOMETRYCOLLECTION):
        parts = shapely.get_parts(shapes[k])
        shapes[k] = shapely.union_all(parts[shapely.area(parts) > 0])
    return shapes


def canvas_outline(canvas: Canvas) -> shapely.Polygon:
    """The border of an image, in map coordinates where it has a place."""
    corners = [(0, 0), (canvas.width, 0), (canvas.width, canvas.height), (0, canvas.height)]
    return shapely.Polygon([canvas.placed @ corner for corner in corners])


def _least_area(canvas: Canvas) -> float:
    """A millionth of a pixel: what rounding leaves of an object beyond the tile's edge."""
    return abs(canvas.placed.determinant) * 1e-6


def _starts(length: int, size: int, step: int) -> list[int]:
    return list(range(0, max(length - (size - step), 1), step))
