"""Reads a window of several bands as float32 with validity.

A pixel is valid where **all bands that are read** are valid there: not the declared nodata value, not NaN
or infinite (in the file or after conversion to float32), its mask band not 0, its alpha not 0, not hidden by its
date's cloud mask. Several declarations in one file all count. Invalid pixels are 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopanoptic.grid import Grid, Window
from geopanoptic.scene.bands.headers import Source
from geopanoptic.scene.bands.masking import Mask
from geopanoptic.scene.files.alignment import Alignment
from geopanoptic.scene.files.blocks import FileWindow, OnUnreadable, Stored, refuse
from geopanoptic.scene.files.datasets import GdalSource
from geopanoptic.scene.files.resampling import axes_of, resample

Pixels = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""Values (C, H, W), 0 where invalid, and validity (H, W)."""


COUNTS_PER_REFLECTANCE = 10_000.0
"""What 16-bit products of Sentinel-2 and Landsat-like analysis-ready data store for a reflectance of 1."""
UNIT_ATTRIBUTE = "reflectance_of_one"
"""The attribute of arrays and cubes that states it."""

_EXACT_IN_FLOAT32 = frozenset({"uint8", "int8", "uint16", "int16", "float16", "float32"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One band of one date: where it is stored and how its numbers are meant.

    ``index`` counts from 1. ``alpha_index`` is the file's alpha band, or None. ``alignment`` relates the
    scene's grid to the file's ``grid``.
    """

    band: str
    date: date | None
    source: Source
    index: int
    dtype: str
    nodata: float | None
    scale: float
    offset: float
    has_mask_band: bool
    alpha_index: int | None
    grid: Grid
    alignment: Alignment
    stated_one: float | None = None

    @property
    def reflectance_of_one(self) -> float:
        """What stands for a reflectance of 1 in the values read: 1 where the file states a scale,
        ``COUNTS_PER_REFLECTANCE`` for other integers, and for other fractions ``stated_one``, see ``with_units``."""
        if self.scale != 1:
            return 1.0
        return COUNTS_PER_REFLECTANCE if np.dtype(self.dtype).kind in "iu" else self.stated_one or 1.0


def read_layers(
    grid: Grid,
    layers: Sequence[Layer],
    window: Window,
    on_unreadable: OnUnreadable = refuse,
    *,
    masks: Sequence[Mask] = (),
) -> Pixels:
    """The layers' pixels in ``window``, which may reach outside ``grid``: invalid there, as where ``masks``
    hide the ground or know nothing.

    Raises SceneError naming file and block where a block cannot be decoded, unless ``on_unreadable`` takes
    it: its pixels are then invalid, and with them those that bilinear resampling finds there.
    """
    inner = window.intersection(grid.window)
    if inner is None or not layers:
        return np.zeros((len(layers), *window.shape), np.float32), np.zeros(window.shape, np.bool_)
    by_source: dict[Source, list[int]] = {}
    for number, layer in enumerate(layers):
        by_source.setdefault(layer.source, []).append(number)
    if len(by_source) == 1 and inner == window:
        values, valid = _read_file(grid, layers, window, on_unreadable)
    else:
        values = np.zeros((len(layers), *window.shape), np.float32)
        valid = np.zeros(window.shape, np.bool_)
        part = inner.slices(window)
        valid[part] = True
        for numbers in by_source.values():
            same_file = [layers[number] for number in numbers]
            stored, stored_valid = _read_file(grid, same_file, inner, on_unreadable)
            for number, plane in zip(numbers, stored, strict=True):
                values[number][part] = plane
            valid[part] &= stored_valid
    for mask in masks:
        known, hidden = mask.read(grid, inner, on_unreadable)
        valid[inner.slices(window)] &= known & ~hidden
    if not valid.all():
        np.copyto(values, np.float32(0), where=~valid)
    return values, valid


def _read_file(grid: Grid, layers: Sequence[Layer], window: Window, on_unreadable: OnUnreadable) -> Pixels:
    """Layers of one file; ``window`` lies within the scene."""
    alignment = layers[0].alignment
    if alignment.is_identity and layers[0].grid.shape == grid.shape:
        return _read_stored(layers, window, on_unreadable)
    axes = axes_of(window, alignment, layers[0].grid.shape)
    if axes is None:
        return np.zeros((len(layers), *window.shape), np.float32), np.zeros(window.shape, np.bool_)
    rows, cols, origin = axes
    values, valid = _read_stored(layers, origin, on_unreadable)
    np.copyto(values, np.float32(0), where=~valid)
    return resample(values, valid, rows=rows, cols=cols, origin=origin)


def _read_stored(layers: Sequence[Layer], window: Window, on_unreadable: OnUnreadable) -> Pixels:
    """Layers of one file in the file's own pixels; ``window`` lies within it."""
    stored, valid = _stored_numbers(layers, window, on_unreadable)
    values = stored if stored.dtype == np.float32 else np.empty(stored.shape, np.float32)
    for layer, numbers, plane in zip(layers, stored, values, strict=True):
        convert(layer, numbers, plane, valid)
    return values, valid


def _stored_numbers(layers: Sequence[Layer], window: Window, on_unreadable: OnUnreadable) -> Stored:
    source, indexes = layers[0].source, tuple(layer.index for layer in layers)
    # What float32 holds exactly needs no copy as stored.
    exact = all(layer.dtype in _EXACT_IN_FLOAT32 for layer in layers)
    dtype = "float32" if exact else np.result_type(*(layer.dtype for layer in layers)).name
    if not isinstance(source, GdalSource):
        return source.read(indexes, window, dtype, on_unreadable)
    return FileWindow(
        source=source,
        indexes=indexes,
        window=window,
        dtype=dtype,
        alpha_index=layers[0].alpha_index,
        mask_indexes=tuple(layer.index for layer in layers if layer.has_mask_band),
    ).read(on_unreadable)


def convert(
    layer: Layer,
    stored: NDArray[np.generic],
    values: NDArray[np.float32],
    valid: NDArray[np.bool_],
) -> None:
    """Writes the stored numbers of one layer as scaled float32 and clears ``valid`` where they mean
    nothing. ``stored`` may be ``values`` itself."""
    if layer.nodata is not None and not np.isnan(layer.nodata):
        valid &= stored != _as_stored(layer.nodata, np.dtype(layer.dtype))
    with np.errstate(over="ignore", invalid="ignore"):
        if stored is not values:
            values[...] = stored
        if (layer.scale, layer.offset) != (1.0, 0.0):
            values *= np.float32(layer.scale)
            values += np.float32(layer.offset)
    if np.dtype(layer.dtype).kind == "f":
        valid &= np.isfinite(values)


def _as_stored(nodata: float, dtype: np.dtype[np.generic]) -> Any:
    """The declared value as the file stores it: -3.4e38 as text is not the float32 of the same name."""
    if dtype.kind != "f":
        return nodata
    with np.errstate(over="ignore"):
        return np.asarray(nodata, np.float64).astype(dtype)[()]
