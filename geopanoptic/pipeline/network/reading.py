"""Step 3: what the network is shown of one date of a scene, over any window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geopanoptic.grid import Window
from geopanoptic.pipeline.execution.executor import NETWORK_TASKS
from geopanoptic.pipeline.planning.plan import Plan
from geopanoptic.scene import Normalisation, Scene, cache_bytes, configure_gdal
from geopanoptic.scene.files.blocks import OnUnreadable, refuse
from geopanoptic.scene.season import middle_latitude_deg, season_day

Shown = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""Input of the network (C, h, w): bands, zero where invalid or absent, then a flag for each or one for all of them;
validity (h, w)."""


class DateReader(Protocol):
    """Gives the network's input of one date over any window of input pixels, which may leave the scene.

    ``on_unreadable`` as in ``Scene.read``.
    """

    @property
    def day(self) -> float:
        """Day of the year, see ``season_day``."""

    @property
    def n_channels(self) -> int:
        """C."""

    def __call__(
        self,
        window: Window,
        on_unreadable: OnUnreadable = refuse,
        *,
        into: NDArray[np.float32] | None = None,
    ) -> Shown:
        """The input is written into ``into``, whatever that holds, or into an array of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneDate:
    """One date of a scene, read from its files and normalised."""

    scene: Scene
    day: float
    bands: tuple[str, ...]
    """The model's bands that this date has."""
    model_bands: tuple[str, ...]
    """Those that are shown, in their order."""
    one_flag: bool
    """Whether one flag is shown for all of them, which this date has then; otherwise one for each."""
    normalisation: Normalisation
    cache_bytes: int
    """GDAL's block cache in the process that reads."""

    @property
    def n_channels(self) -> int:
        return len(self.model_bands) + (1 if self.one_flag else len(self.model_bands))

    def __call__(
        self,
        window: Window,
        on_unreadable: OnUnreadable = refuse,
        *,
        into: NDArray[np.float32] | None = None,
    ) -> Shown:
        configure_gdal(self.cache_bytes)
        values, valid = self.scene.read(window, self.bands, on_unreadable=on_unreadable)
        shown = np.empty((self.n_channels, *window.shape), np.float32) if into is None else into
        planes, flags = shown[: len(self.model_bands)], shown[len(self.model_bands) :]
        places = [self.model_bands.index(band) for band in self.bands]
        self.normalisation.apply_into((planes[place] for place in places), values, valid)
        if self.one_flag:
            flags[0] = valid
            return shown, valid
        for band, plane, flag in zip(self.model_bands, planes, flags, strict=True):
            if band in self.bands:
                flag[...] = valid
            else:
                plane[...] = flag[...] = 0
        return shown, valid


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArrayDate:
    """One date in memory: ``input_chw`` (2K, H, W) as the network takes it, ``valid_hw`` (H, W)."""

    input_chw: NDArray[np.float32]
    valid_hw: NDArray[np.bool_]
    day: float = math.nan

    @property
    def n_channels(self) -> int:
        return len(self.input_chw)

    def __call__(
        self,
        window: Window,
        on_unreadable: OnUnreadable = refuse,
        *,
        into: NDArray[np.float32] | None = None,
    ) -> Shown:
        shown = np.empty((self.n_channels, *window.shape), np.float32) if into is None else into
        shown[...] = 0
        valid = np.zeros(window.shape, np.bool_)
        inside = window.intersection(Window(0, 0, *self.valid_hw.shape))
        if inside is not None:
            shown[(slice(None), *inside.slices(window))] = self.input_chw[(slice(None), *inside.slices())]
            valid[inside.slices(window)] = self.valid_hw[inside.slices()]
        return shown, valid


def scene_dates(
    planned: Plan, normalisation: Normalisation, *, only: Sequence[str] | None = None
) -> tuple[SceneDate, ...]:
    """The readers of a planned run, by date, for a network of all the model's bands, or of ``only`` these, which
    every date has: it then reads one flag for all of them, see ``load_runtime``."""
    cache, latitude_deg = block_cache_bytes(planned), middle_latitude_deg(planned.scene.grid)
    return tuple(
        SceneDate(
            scene=single,
            day=season_day(single.dates[0], latitude_deg),
            bands=bands,
            model_bands=planned.bundle.bands if only is None else tuple(only),
            one_flag=only is not None,
            normalisation=normalisation.select(bands),
            cache_bytes=cache,
        )
        for single, bands in _dates_and_bands(planned)
    )


def block_cache_bytes(planned: Plan) -> int:
    """What the file blocks under the blocks being read need on one date, at most a quarter of the budget.

    The next tiles of a season decode their common file blocks again: a cache that holds them meanwhile would
    grow with the number of dates.
    """
    span_px = planned.layout.block_px + 2 * planned.layout.halo_px
    needed = max(
        cache_bytes(single, span_px, bands, readers=NETWORK_TASKS)
        for single, bands in _dates_and_bands(planned)
    )
    return min(needed, planned.budget_bytes // 4)


def _dates_and_bands(planned: Plan) -> list[tuple[Scene, tuple[str, ...]]]:
    """Every date with those of the planned bands that it has."""
    return [
        (single, tuple(band for band in planned.bands if band in single.bands))
        for single in planned.scene.single_dates()
    ]
