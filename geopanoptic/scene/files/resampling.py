"""Bilinear resampling between aligned grids, the same for any window.

GDAL's warper interpolates its coordinates along each scanline of a request, so a pixel's last bits depend
on the request. Here a pixel's weights come from its own scene row and column alone, which keeps results
independent of tiles and blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geopanoptic.grid import Window
from geopanoptic.scene.files.alignment import Alignment

_EDGE_PX = 0.5
"""A file's edge pixels also serve up to here (exclusive, in its own pixels) outside it: a 20 m band cut one
10 m row short still covers the scene. Further out is invalid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """Interpolation along one axis for ``n`` scene pixels: two neighbours in the file and the weight of
    the second, the containing file pixel, and whether the file reaches there."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    weight: NDArray[np.float32]
    nearest: NDArray[np.int64]
    inside: NDArray[np.bool_]

    @property
    def span(self) -> tuple[int, int]:
        """Half-open range of file pixels needed."""
        return int(self.first.min()), int(self.second.max()) + 1


def axis(start: int, stop: int, *, scale: float, offset: float, file_length: int) -> Axis:
    """Interpolation for scene pixels ``start`` to ``stop`` (half-open) along one axis."""
    position = scale * (np.arange(start, stop, dtype=np.float64) + 0.5) + offset
    inside = (position > -_EDGE_PX) & (position < file_length + _EDGE_PX)
    centre = np.clip(position - 0.5, 0, file_length - 1)
    first = np.floor(centre).astype(np.int64)
    nearest = np.clip(np.floor(position), 0, file_length - 1).astype(np.int64)
    return Axis(
        first=first,
        second=np.minimum(first + 1, file_length - 1),
        weight=(centre - first).astype(np.float32),
        nearest=nearest,
        inside=inside,
    )


def nearest_positions(stored: Sequence[int], shape: Sequence[int]) -> tuple[NDArray[np.intp], ...]:
    """Along each axis the positions, of ``stored`` ones, under the middles of ``shape`` even steps."""
    return tuple(
        ((np.arange(count) + 0.5) * size / count).astype(np.intp)
        for count, size in zip(shape, stored, strict=True)
    )


def axes_of(
    window: Window, alignment: Alignment, file_shape: tuple[int, int]
) -> tuple[Axis, Axis, Window] | None:
    """Row axis, column axis and the file window they need; None where the file does not reach."""
    rows = axis(
        window.row0,
        window.row1,
        scale=alignment.row_scale,
        offset=alignment.row_offset,
        file_length=file_shape[0],
    )
    cols = axis(
        window.col0,
        window.col1,
        scale=alignment.col_scale,
        offset=alignment.col_offset,
        file_length=file_shape[1],
    )
    if not (rows.inside.any() and cols.inside.any()):
        return None
    (row0, row1), (col0, col1) = rows.span, cols.span
    return rows, cols, Window(row0, col0, row1, col1)


def reached_share(shape: tuple[int, int], alignment: Alignment, file_shape: tuple[int, int]) -> float:
    """Share of a scene's pixels that a file serves."""
    axes = axes_of(Window(0, 0, *shape), alignment, file_shape)
    return 0.0 if axes is None else float(axes[0].inside.mean() * axes[1].inside.mean())


def resample(
    values: NDArray[np.float32],
    valid: NDArray[np.bool_],
    *,
    rows: Axis,
    cols: Axis,
    origin: Window,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Bilinear values (C, H, W) and validity (H, W) from the file window ``origin``.

    ``values`` (C, h, w) is 0 where ``valid`` (h, w) is False. A pixel is valid where the file pixel that
    contains it is valid; invalid neighbours take no part in its mean.
    """
    nearest = valid[np.ix_(rows.nearest - origin.row0, cols.nearest - origin.col0)]
    reached = nearest & rows.inside[:, None] & cols.inside[None, :]
    mean = _interpolate(values, rows, cols, origin)
    if not valid.all():
        share = _interpolate(valid.astype(np.float32)[None], rows, cols, origin)[0]
        complete = _all_neighbours(valid, rows, cols, origin)
        # Only incomplete pixels are divided, so a pixel's value does not depend on what else is read.
        np.divide(mean, np.maximum(share, np.float32(1e-6)), out=mean, where=~complete)
        mean[:, ~reached] = 0
    return mean, reached


def _interpolate(values: NDArray[np.float32], rows: Axis, cols: Axis, origin: Window) -> NDArray[np.float32]:
    along_rows = values[:, rows.first - origin.row0]
    along_rows += rows.weight[:, None] * (values[:, rows.second - origin.row0] - along_rows)
    mean = along_rows[:, :, cols.first - origin.col0]
    mean += cols.weight * (along_rows[:, :, cols.second - origin.col0] - mean)
    return mean


def _all_neighbours(valid: NDArray[np.bool_], rows: Axis, cols: Axis, origin: Window) -> NDArray[np.bool_]:
    both = valid[rows.first - origin.row0] & valid[rows.second - origin.row0]
    return both[:, cols.first - origin.col0] & both[:, cols.second - origin.col0]
