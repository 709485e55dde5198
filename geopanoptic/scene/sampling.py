"""A fixed sample of a scene, for statistics that every run, tile and block must agree on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geopanoptic.grid import Grid, Window
from geopanoptic.scene.files.blocks import OnUnreadable, refuse
from geopanoptic.scene.scene import Scene

WINDOWS_PER_AXIS = 10
WINDOW_PX = 144
"""A scene of up to 1440 px a side is taken whole; a larger one by a lattice of 10 x 10 windows of 144 px,
2.07 million pixels, whatever its blocks and overviews are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Pixels of a scene: ``values_cn`` float32 (bands, pixels), 0 where ``valid_n`` is False."""

    bands: tuple[str, ...]
    values_cn: NDArray[np.float32]
    valid_n: NDArray[np.bool_]

    @property
    def valid_share(self) -> float:
        """Share of the sampled pixels that are valid in every band."""
        return float(self.valid_n.mean())


def take_sample(
    scene: Scene, bands: Sequence[str] | None = None, *, on_unreadable: OnUnreadable = refuse
) -> Sample:
    """The sample of a scene of one date. At most 4 bytes x 2.07 million per band, read window by window.

    ``on_unreadable`` as in ``Scene.read``.
    """
    names = tuple(scene.bands if bands is None else bands)
    windows = sample_windows(scene.grid)
    count = sum(window.size_px for window in windows)
    values_cn = np.empty((len(names), count), np.float32)
    valid_n = np.empty(count, np.bool_)
    start = 0
    for window in windows:
        values, valid = scene.read(window, names, on_unreadable=on_unreadable)
        stop = start + window.size_px
        values_cn[:, start:stop] = values.reshape(len(names), -1)
        valid_n[start:stop] = valid.ravel()
        start = stop
    return Sample(bands=names, values_cn=values_cn, valid_n=valid_n)


def sample_windows(grid: Grid) -> list[Window]:
    """The windows of the sample, row by row; none overlap."""
    return [
        Window(row0, col0, row1, col1)
        for row0, row1 in _spans(grid.height)
        for col0, col1 in _spans(grid.width)
    ]


def _spans(length: int) -> list[tuple[int, int]]:
    if length <= WINDOWS_PER_AXIS * WINDOW_PX:
        return [(0, length)]
    last = length - WINDOW_PX
    starts = [last * number // (WINDOWS_PER_AXIS - 1) for number in range(WINDOWS_PER_AXIS)]
    return [(start, start + WINDOW_PX) for start in starts]
