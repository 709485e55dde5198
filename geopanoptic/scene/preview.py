"""A decimated view of a whole scene for pictures: nearest pixels, overviews welcome, never for results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopanoptic.scene.bands.masking import MaskLayer, meaning_of
from geopanoptic.scene.files.blocks import read_decimated
from geopanoptic.scene.files.datasets import GdalSource
from geopanoptic.scene.pixels.reading import Layer, Pixels, convert
from geopanoptic.scene.scene import Scene


def read_preview(scene: Scene, bands: Sequence[str], *, longest_px: int) -> Pixels:
    """Values (C, H, W) and validity (H, W) of the whole scene, at most ``longest_px`` a side."""
    rows, cols, step = _positions(scene, longest_px)
    layers = scene.layers_of(bands)
    values = np.zeros((len(layers), len(rows), len(cols)), np.float32)
    valid = np.ones((len(rows), len(cols)), np.bool_)
    for plane, layer in zip(values, layers, strict=True):
        plane[...], layer_valid = _decimated(layer, rows, cols, step)
        valid &= layer_valid
    values[:, ~valid] = 0
    return values, valid


def read_composite(scenes: Sequence[Scene], bands: Sequence[str], *, longest_px: int) -> Pixels:
    """As ``read_preview`` of the first of several dates; where its stored mask hides the ground, or it has no data,
    the next that shows it, brought to the first one's brightness. Ground that all hide is the first one's."""
    values, valid = read_preview(scenes[0], bands, longest_px=longest_px)
    shown = valid & ~read_hidden(scenes[0], longest_px=longest_px)
    clear = shown.copy()
    for scene in scenes[1:]:
        if shown.all():
            break
        others, others_valid = read_preview(scene, bands, longest_px=longest_px)
        others_clear = others_valid & ~read_hidden(scene, longest_px=longest_px)
        taken, common = others_clear & ~shown, others_clear & clear
        if common.any():
            for plane, other in zip(values, others, strict=True):
                spread = plane[common].std() / max(float(other[common].std()), 1e-6)
                other[...] = (other - other[common].mean()) * spread + plane[common].mean()
        values[:, taken] = others[:, taken]
        shown |= taken
        valid |= taken
    return values, valid


def read_hidden(scene: Scene, *, longest_px: int) -> NDArray[np.bool_]:
    """What the stored mask of a scene of one date hides of what ``read_preview`` gives, (H, W)."""
    rows, cols, step = _positions(scene, longest_px)
    hidden = np.zeros((len(rows), len(cols)), np.bool_)
    for mask in scene.masks:
        if isinstance(mask, MaskLayer):
            hidden |= _hidden_by(mask, rows, cols, step)
    return hidden


def _positions(
    scene: Scene, longest_px: int
) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]], float]:
    """The scene's stored rows and columns that a view shows, and how many pixels they are apart."""
    shape = scene.stored_grid.shape
    step = max(1.0, max(shape) / longest_px)
    # Of a side shorter than a step, the last pixel.
    rows, cols = (
        np.minimum((np.arange(max(1, int(size / step))) + 0.5) * step, size - 0.5) for size in shape
    )
    return rows, cols, step


def _hidden_by(
    mask: MaskLayer, rows: NDArray[np.floating[Any]], cols: NDArray[np.floating[Any]], step: float
) -> NDArray[np.bool_]:
    shape, where, inside = _places(mask, rows, cols, step)
    hidden, known = np.zeros(shape, np.bool_), np.ones(shape, np.bool_)
    for index in mask.indexes:
        if isinstance(mask.source, GdalSource):
            stored, _ = read_decimated(mask.source, index, shape, alpha_index=None, has_mask_band=False)
        else:
            stored = mask.source.decimated(index, shape)
        told, hides = meaning_of(stored, mask.kind, nodata=mask.nodata, full=mask.full)
        known &= told
        hidden |= hides
    return (hidden | ~known)[where] | ~inside


def _decimated(
    layer: Layer, rows: NDArray[np.floating[Any]], cols: NDArray[np.floating[Any]], step: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """One layer at scene positions ``rows`` x ``cols`` (in pixels), ``step`` apart."""
    shape, where, inside = _places(layer, rows, cols, step)
    if not isinstance(layer.source, GdalSource):
        stored, valid = layer.source.decimated(layer.index, shape), np.ones(shape, np.bool_)
    else:
        stored, valid = read_decimated(
            layer.source,
            layer.index,
            shape,
            alpha_index=layer.alpha_index,
            has_mask_band=layer.has_mask_band,
        )
    values = np.empty(shape, np.float32)
    convert(layer, stored, values, valid)
    return values[where], valid[where] & inside


def _places(
    item: Layer | MaskLayer,
    rows: NDArray[np.floating[Any]],
    cols: NDArray[np.floating[Any]],
    step: float,
) -> tuple[tuple[int, int], tuple[NDArray[np.int64], ...], NDArray[np.bool_]]:
    """The shape that a file is read in, where in that the scene's positions lie, and which lie in the file, (H, W)."""
    relation, (height, width) = item.alignment, item.grid.shape
    shape = (
        _thinned(height, step * abs(relation.row_scale)),
        _thinned(width, step * abs(relation.col_scale)),
    )
    row_index, row_inside = _nearest(relation.row_scale * rows + relation.row_offset, height, shape[0])
    col_index, col_inside = _nearest(relation.col_scale * cols + relation.col_offset, width, shape[1])
    return shape, np.ix_(row_index, col_index), row_inside[:, None] & col_inside


def _thinned(length: int, step: float) -> int:
    return max(1, int(length / max(1.0, step)))


def _nearest(
    position: NDArray[np.floating[Any]], length: int, thinned: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    index = np.floor(position * (thinned / length)).astype(np.int64)
    inside = (position > -1) & (position < length + 1)
    return np.clip(index, 0, thinned - 1), inside
