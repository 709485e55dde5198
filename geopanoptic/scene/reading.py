"""Reads a window of several bands as float32 with validity.

A pixel is valid where **all bands that are read** are valid there: not the declared nodata value, not NaN
or infinite (in the file or after conversion to float32), its mask band not 0, its alpha not 0. Several
declarations in one file all count. Invalid pixels are 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopanoptic.grid import Grid, Window
from geopanoptic.scene.alignment import Alignment
from geopanoptic.scene.datasets import dataset_of, named_read_errors, raster_window
from geopanoptic.scene.resampling import axes_of, resample
from geopanoptic.scene.sources import SourceFile

Pixels = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""Values (C, H, W), 0 where invalid, and validity (H, W)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One band of one date: where it is stored and how its numbers are meant.

    ``index`` counts from 1. ``alpha_index`` is the file's alpha band, or None. ``alignment`` relates the
    scene's grid to the file's ``grid``.
    """

    band: str
    date: date | None
    source: SourceFile
    index: int
    dtype: str
    nodata: float | None
    scale: float
    offset: float
    has_mask_band: bool
    alpha_index: int | None
    grid: Grid
    alignment: Alignment


def read_layers(grid: Grid, layers: Sequence[Layer], window: Window) -> Pixels:
    """The layers' pixels in ``window``, which may reach outside ``grid``: invalid there.

    Raises SceneError naming file and block where a block cannot be decoded.
    """
    values = np.zeros((len(layers), *window.shape), np.float32)
    valid = np.zeros(window.shape, np.bool_)
    inner = window.intersection(grid.window)
    if inner is None or not layers:
        return values, valid
    part = inner.slices(window)
    valid[part] = True
    numbered = sorted(enumerate(layers), key=lambda item: str(item[1].source.path))
    for _, group in groupby(numbered, key=lambda item: item[1].source.path):
        numbers, same_file = zip(*group, strict=True)
        same_pixels = same_file[0].alignment.is_identity and same_file[0].grid.shape == grid.shape
        read = _read_stored if same_pixels else _read_resampled
        stored, stored_valid = read(same_file, inner)
        for number, plane in zip(numbers, stored, strict=True):
            values[number][part] = plane
        valid[part] &= stored_valid
    if not valid.all():
        np.copyto(values, np.float32(0), where=~valid)
    return values, valid


def _read_resampled(layers: Sequence[Layer], window: Window) -> Pixels:
    axes = axes_of(window, layers[0].alignment, layers[0].grid.shape)
    if axes is None:
        return np.zeros((len(layers), *window.shape), np.float32), np.zeros(window.shape, np.bool_)
    rows, cols, origin = axes
    values, valid = _read_stored(layers, origin)
    np.copyto(values, np.float32(0), where=~valid)
    return resample(values, valid, rows=rows, cols=cols, origin=origin)


def _read_stored(layers: Sequence[Layer], window: Window) -> Pixels:
    """Layers of one file in the file's own pixels; ``window`` lies within it."""
    source, indexes = layers[0].source, [layer.index for layer in layers]
    dataset = dataset_of(source)
    where = raster_window(window)
    valid = np.ones(window.shape, np.bool_)
    with named_read_errors(source, indexes, window):
        stored = dataset.read(indexes, window=where)
        if layers[0].alpha_index is not None:
            valid &= dataset.read(layers[0].alpha_index, window=where) > 0
        for layer in layers:
            if layer.has_mask_band:
                valid &= dataset.read_masks(layer.index, window=where) > 0
    values = np.empty(stored.shape, np.float32)
    for layer, plane, value in zip(layers, stored, values, strict=True):
        convert(layer, plane, value, valid)
    return values, valid


def convert(
    layer: Layer,
    stored: NDArray[np.generic],
    values: NDArray[np.float32],
    valid: NDArray[np.bool_],
) -> None:
    """Writes the stored numbers of one layer as scaled float32 and clears ``valid`` where they mean
    nothing."""
    if layer.nodata is not None and not np.isnan(layer.nodata):
        valid &= stored != _as_stored(layer.nodata, stored.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        values[...] = stored
        if (layer.scale, layer.offset) != (1.0, 0.0):
            values *= np.float32(layer.scale)
            values += np.float32(layer.offset)
    if stored.dtype.kind == "f":
        valid &= np.isfinite(values)


def _as_stored(nodata: float, dtype: np.dtype[np.generic]) -> Any:
    """The declared value as the file stores it: -3.4e38 as text is not the float32 of the same name."""
    if dtype.kind != "f":
        return nodata
    with np.errstate(over="ignore"):
        return np.asarray(nodata, np.float64).astype(dtype)[()]
