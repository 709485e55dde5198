"""Labels on the map, the image or the images that a format holds, and what they lose by that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import shapely
from numpy.typing import NDArray

from geopanoptic.errors import UsageError
from geopanoptic.labels.formats.format import Format
from geopanoptic.labels.mosaic import canvas_around, mosaic
from geopanoptic.labels.objects import (
    CLAIMED,
    Canvas,
    Labels,
    OutlineLabels,
    RasterLabels,
    as_outlines,
    as_raster,
    pixel_outlines,
)
from geopanoptic.labels.tiles import SOURCE_ID, cut, stitch, tile_canvases

TILE_PX = 1024
LARGEST_IMAGE_PX = 4096
"""For formats of images a scene with a longer side is cut into images of ``TILE_PX``, unless said otherwise."""

_OUTSIDE = "objects lie outside the image and are left out"
_CUT_OFF = "objects reach beyond the image and are cut off at its edge"
_UNSEEN = "objects cover no pixel of the image, being too small or below others, and are left out"
_ON_PIXELS = (
    "objects have borders across pixels of the image and get those of its pixels (an image of smaller pixels, such as "
    "the map's own class.tif, keeps more)"
)


def on_a_map(labels: Iterable[Labels]) -> Iterator[Labels]:
    """Labels of one map or image as they are, those of several images put together."""
    every = list(labels)
    yield _without_source(every[0]) if len(every) == 1 else (_side_by_side(every, None) or stitch(every))


def on_one_image(labels: Iterable[Labels], image: Canvas | None, losses: Counter[str]) -> Iterator[Labels]:
    """Labels drawn on one image: ``image``, or the one that holds all of theirs; ``losses`` counts what is lost."""
    every = list(labels)
    own = every[0].canvas if len(every) == 1 else None
    if len(every) == 1 and (isinstance(every[0], RasterLabels) or (image is None and own is None)):
        yield _without_source(every[0])
        return
    pasted = _side_by_side(every, image)
    if pasted is not None:
        yield pasted
        return
    whole = as_outlines(_without_source(every[0])) if len(every) == 1 else stitch(every)
    canvas = image or own or canvas_around([each.canvas for each in every if each.canvas is not None])
    outside = _count_beyond(whole, canvas, losses, drawn=True)
    there = len(whole.objects) - outside
    yield from _drawn([replace(whole, canvas=canvas)], losses, there=there, known_by="object_id")


def on_images(
    labels: Iterable[Labels],
    image: Canvas | None,
    wanted: Format,
    losses: Counter[str],
    *,
    tile_px: int | None,
    overlap_px: int,
) -> Iterator[Labels]:
    """Labels image by image, images that are too large for a tool in tiles; ``losses`` counts what is lost."""
    for each in labels:
        canvas = image if image is not None and each.canvas is None else each.canvas
        if canvas is None:
            raise UsageError(
                "The labels lie on a map, and the format is one of images.",
                remedy="Name the one image that they belong to with --image.",
            )
        inside = len(each.objects)
        if isinstance(each, OutlineLabels):
            inside -= _count_beyond(each, canvas, losses, drawn=wanted.form == "raster")
        pieces: Iterator[Labels] = iter([each])
        known_by = "object_id"
        if tile_px is not None or max(canvas.shape) > (wanted.image_px or LARGEST_IMAGE_PX):
            tiles = tile_canvases(canvas, tile_px or wanted.image_px or TILE_PX, overlap_px)
            pieces, known_by = cut(each, tiles), SOURCE_ID
        elif isinstance(each, OutlineLabels):
            pieces = cut(replace(each, canvas=canvas), [canvas], whole=True)
        if wanted.form == "raster":
            pieces = _drawn(pieces, losses, there=inside, known_by=known_by)
        yield from pieces


def _side_by_side(parts: list[Labels], image: Canvas | None) -> RasterLabels | None:
    placed = [each.canvas for each in parts if each.canvas is not None and each.canvas.transform is not None]
    if len(parts) < 2 or len(placed) < len(parts):
        return None
    return mosaic(parts, image or canvas_around(placed))


def _drawn(labels: Iterable[Labels], losses: Counter[str], *, there: int, known_by: str) -> Iterator[Labels]:
    """The images of one map, drawn; ``there`` objects do not lie outside, ``known_by`` a column in all images."""
    shown = [np.zeros(0, np.int64)]
    for each in labels:
        raster, claims = as_raster(each)
        losses.update({CLAIMED: claims} if claims else {})
        shown.append(raster.objects[known_by].to_numpy(np.int64))
        yield raster
    unseen = there - len(np.unique(np.concatenate(shown)))
    losses.update({_UNSEEN: unseen} if unseen > 0 else {})


def _count_beyond(labels: OutlineLabels, canvas: Canvas, losses: Counter[str], *, drawn: bool) -> int:
    """Count what of the labels does not lie on the image, or where they are ``drawn`` between its pixels; returns how
    many objects lie outside it."""
    if labels.objects.empty:
        return 0
    outlines_px = pixel_outlines(labels, canvas)
    left, top, right, bottom = shapely.bounds(outlines_px).T
    # Where the image's projection does not reach there are no bounds to compare.
    outside = ~((right > 0) & (bottom > 0) & (left < canvas.width) & (top < canvas.height))
    cut_off = ~outside & ((left < 0) | (top < 0) | (right > canvas.width) | (bottom > canvas.height))
    across = ~outside & _cross_pixels(outlines_px) if drawn else np.zeros(len(outside), np.bool_)
    for what, found in ((_OUTSIDE, outside), (_CUT_OFF, cut_off), (_ON_PIXELS, across)):
        losses.update({what: int(found.sum())} if found.any() else {})
    return int(outside.sum())


def _cross_pixels(outlines_px: NDArray[np.object_]) -> NDArray[np.bool_]:
    """(n,) which outlines do not run along pixels: with corners between those of pixels, or slanting edges."""
    parts, outline = shapely.get_parts(outlines_px, return_index=True)
    rings, part = shapely.get_rings(parts, return_index=True)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    between = (xy != np.rint(xy)).any(axis=1)
    between[1:] |= (ring[1:] == ring[:-1]) & np.diff(xy, axis=0).all(axis=1)
    return np.isin(np.arange(len(outlines_px)), outline[part[ring[between]]])


def _without_source(labels: Labels) -> Labels:
    """Of one image nothing is a piece."""
    return replace(labels, objects=labels.objects.drop(columns=SOURCE_ID, errors="ignore"))
