"""Step 3: what the network is shown of one date of a scene, over any window."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geopanoptic.grid import Window
from geopanoptic.pipeline.execution.executor import NETWORK_TASKS
from geopanoptic.pipeline.plan import Plan
from geopanoptic.scene import Normalisation, Scene, cache_bytes, configure_gdal
from geopanoptic.scene.blocks import OnUnreadable, refuse
from geopanoptic.scene.season import middle_latitude_deg, season_day

Shown = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""Input of the network (2K, h, w): bands, zero where invalid or absent, then a flag for each; validity (h, w)."""


class DateReader(Protocol):
    """Gives the network's input of one date over any window of input pixels, which may leave the scene.

    ``on_unreadable`` as in ``Scene.read``.
    """

    @property
    def day(self) -> float:
        """Day of the year, see ``season_day``."""

    def __call__(self, window: Window, on_unreadable: OnUnreadable = refuse) -> Shown: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneDate:
    """One date of a scene, read from its files and normalised."""

    scene: Scene
    day: float
    bands: tuple[str, ...]
    """The model's bands that the scene has."""
    model_bands: tuple[str, ...]
    normalisation: Normalisation
    cache_bytes: int
    """GDAL's block cache in the process that reads."""

    def __call__(self, window: Window, on_unreadable: OnUnreadable = refuse) -> Shown:
        configure_gdal(self.cache_bytes)
        values, valid = self.scene.read(window, self.bands, on_unreadable=on_unreadable)
        n_bands = len(self.model_bands)
        channels = [self.model_bands.index(band) for band in self.bands]
        network_input = np.zeros((2 * n_bands, *window.shape), np.float32)
        network_input[channels] = self.normalisation.apply(values, valid)
        network_input[[n_bands + channel for channel in channels]] = valid
        return network_input, valid


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArrayDate:
    """One date in memory: ``input_chw`` (2K, H, W) as the network takes it, ``valid_hw`` (H, W)."""

    input_chw: NDArray[np.float32]
    valid_hw: NDArray[np.bool_]
    day: float = math.nan

    def __call__(self, window: Window, on_unreadable: OnUnreadable = refuse) -> Shown:
        shown = np.zeros((len(self.input_chw), *window.shape), np.float32)
        valid = np.zeros(window.shape, np.bool_)
        inside = window.intersection(Window(0, 0, *self.valid_hw.shape))
        if inside is not None:
            shown[(slice(None), *inside.slices(window))] = self.input_chw[(slice(None), *inside.slices())]
            valid[inside.slices(window)] = self.valid_hw[inside.slices()]
        return shown, valid


def scene_dates(planned: Plan, normalisation: Normalisation) -> tuple[SceneDate, ...]:
    """The readers of a planned run, by date."""
    cache, latitude_deg = block_cache_bytes(planned), middle_latitude_deg(planned.scene.grid)
    return tuple(
        SceneDate(
            scene=single,
            day=season_day(single.dates[0], latitude_deg),
            bands=planned.bands,
            model_bands=planned.bundle.bands,
            normalisation=normalisation,
            cache_bytes=cache,
        )
        for single in planned.scene.single_dates()
    )


def block_cache_bytes(planned: Plan) -> int:
    """What the file blocks under the blocks being read need on one date, at most a quarter of the budget.

    The next tiles of a season decode their common file blocks again: a cache that holds them meanwhile would
    grow with the number of dates.
    """
    span_px = planned.layout.block_px + 2 * planned.layout.halo_px
    needed = max(
        cache_bytes(single, span_px, planned.bands, readers=NETWORK_TASKS)
        for single in planned.scene.single_dates()
    )
    return min(needed, planned.budget_bytes // 4)
