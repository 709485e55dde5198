"""Scenes in coarser pixels than their files': every pixel the mean of the valid ones that it covers.

A network draws best at the pixel size it was trained at; a field of 200 pixels' width does not fit what it sees
at once. GDAL's overviews are not used: whoever made them chose how (nearest pixels, mostly), or when.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from geopanoptic.grid import Grid, Window
from geopanoptic.scene.bands.masking import Mask
from geopanoptic.scene.files.blocks import OnUnreadable, refuse
from geopanoptic.scene.pixels.reading import Layer, Pixels, read_layers

_STORED_PX = 1 << 22
"""Stored pixels of all bands together that are held at once, about: 16 MB. One pixel's own are always."""

LEAST_SIDE_PX = 64
"""Scenes are not averaged, unless asked to, until their longer side has fewer pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduction:
    """``factor`` x ``factor`` pixels of ``stored``, the grid of the finest files, make one."""

    stored: Grid
    factor: int

    @property
    def grid(self) -> Grid:
        """The coarser grid, which has the stored one's first corner and covers all of it."""
        return Grid(
            crs_wkt=self.stored.crs_wkt,
            transform=self.stored.transform @ Affine.scale(self.factor),
            height=-(-self.stored.height // self.factor),
            width=-(-self.stored.width // self.factor),
        )

    def read(
        self,
        layers: Sequence[Layer],
        window: Window,
        on_unreadable: OnUnreadable = refuse,
        *,
        masks: Sequence[Mask] = (),
    ) -> Pixels:
        """As ``read_layers``, for a ``window`` of ``grid``. A pixel is valid where at least half of those it is
        made of are; of a scene narrower than a pixel, of those it can be made of. What is held of the files does not grow with ``window``."""
        values = np.zeros((len(layers), *window.shape), np.float32)
        valid = np.zeros(window.shape, np.bool_)
        # A scene narrower than one pixel fills none.
        whole_px = math.prod(min(self.factor, side) for side in self.stored.shape)
        inner = window.intersection(self.grid.window)
        for part in () if inner is None else self._parts(inner, len(layers)):
            stored, stored_valid = read_layers(
                self.stored, layers, part.scaled(self.factor), on_unreadable, masks=masks
            )
            rows, cols = part.slices(window)
            values[:, rows, cols], valid[rows, cols] = means(
                stored, stored_valid, self.factor, whole_px=whole_px
            )
        return values, valid

    def _parts(self, window: Window, n_bands: int) -> Iterator[Window]:
        """What is read at once of ``window``: whole rows, as files are stored row by row or in tiles, or where one is
        too much, parts of one."""
        n_px = max(_STORED_PX // (self.factor**2 * max(n_bands, 1)), 1)
        rows, cols = max(n_px // window.width, 1), min(n_px, window.width)
        for row in range(window.row0, window.row1, rows):
            for col in range(window.col0, window.col1, cols):
                yield Window(row, col, min(row + rows, window.row1), min(col + cols, window.col1))


def means(
    values_chw: NDArray[np.float32], valid_hw: NDArray[np.bool_], factor: int, *, whole_px: int | None = None
) -> Pixels:
    """Means of ``factor`` x ``factor`` pixels, of the valid ones among them; values are 0 where invalid, before and
    after. Both sides are multiples of ``factor``. Half of ``whole_px`` (default: all) must be valid."""
    count = _sums(valid_hw[None].astype(np.float32), factor)[0]
    valid = 2 * count >= (factor**2 if whole_px is None else whole_px)
    return _sums(values_chw, factor) / np.maximum(count, 1) * valid, valid


def factor_for(pixel_m: float, wanted_m: float) -> int:
    """How many pixels of ``pixel_m`` side by side come nearest to ``wanted_m``, at least one."""
    return max(int(wanted_m / pixel_m + 0.5), 1)


def working_factor(shape: tuple[int, int], pixel_m: float, working_pixel_m: float | None) -> int:
    """How many pixels make one for a network that draws best at ``working_pixel_m`` (None: at any): as ``factor_for``,
    but of a small image of ``shape`` ``LEAST_SIDE_PX`` are left of the longer side, and of a narrow one a pixel is no
    wider than the image."""
    if working_pixel_m is None:
        return 1
    return max(min(factor_for(pixel_m, working_pixel_m), max(shape) // LEAST_SIDE_PX, min(shape)), 1)


def _sums(values_chw: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Sums of ``factor`` x ``factor`` pixels, added in an order of their own whatever the array's shape is."""
    rows = values_chw[:, ::factor].copy()
    for number in range(1, factor):
        rows += values_chw[:, number::factor]
    sums = rows[:, :, ::factor].copy()
    for number in range(1, factor):
        sums += rows[:, :, number::factor]
    return sums
