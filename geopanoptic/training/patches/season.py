"""What befalls single dates of a series: gaps, clouds with and without a mask, light, and days that are off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geopanoptic.models.networks.series import DAYS_PER_YEAR
from geopanoptic.training.config import SeasonSettings
from geopanoptic.training.patches.series_patch import SeriesPatch

_CLOUD_PX = (8, 40)  # size of clouds, from and to
_CLOUD_COVER = (0.1, 0.7)
_CLOUD_EDGE = 0.15  # of the range of the noise that clouds are cut from
_CLOUD_BRIGHTNESS = (0.9, 2.0)  # in the normalised range


def some_dates(series: SeriesPatch, numbers: Sequence[int], rng: np.random.Generator) -> SeriesPatch:
    """So many dates as one of ``numbers`` says, of those that show anything; fewer where there are fewer.

    At least one date stays, in the order of the series.
    """
    if series.n_dates == 1:
        return series
    useful = np.flatnonzero(series.seen_tchw.any(axis=(1, 2, 3)))
    if not len(useful):
        useful = np.arange(1)
    count = min(int(rng.choice(numbers)), len(useful))
    return series.at(np.sort(rng.choice(useful, count, replace=False)))


def weathered(series: SeriesPatch, settings: SeasonSettings, rng: np.random.Generator) -> SeriesPatch:
    """One random variant of a series as several visits in changing weather might have left it."""
    hidden = rng.random(series.n_dates) < settings.hidden_chance
    if not hidden.all():
        series = series.at(np.flatnonzero(~hidden))
    image, seen = series.image_tchw.astype(np.float32), series.seen_tchw.copy()
    by_band = (*image.shape[:2], 1, 1)
    gain = np.exp(rng.uniform(-settings.gain, settings.gain, by_band))
    image = ((image - 0.4) * gain + 0.4 + rng.normal(0, settings.shift, by_band)).astype(np.float32)
    for date in np.flatnonzero(rng.random(series.n_dates) < settings.cloud_chance):
        cloud_hw = _cloud(series.shape, rng)
        # With a single date, whatever lies under an unmasked cloud could not be learned.
        if series.n_dates > 1 and rng.random() < settings.unmasked_share:
            image[date] += cloud_hw * (rng.uniform(*_CLOUD_BRIGHTNESS) - image[date])
        else:
            seen[date] &= cloud_hw == 0
    return replace(
        series, image_tchw=image * seen, seen_tchw=seen, day_t=_redated(series.day_t, settings, rng)
    )


def _cloud(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Opacity (h, w) in 0..1 of some clouds: smooth noise above a level, with soft edges."""
    size_px = np.exp(rng.uniform(*np.log(_CLOUD_PX)))
    coarse = rng.random([int(np.ceil(length / size_px)) + 1 for length in shape], np.float32)
    noise = ndimage.zoom(coarse, [length / n for length, n in zip(shape, coarse.shape, strict=True)], order=1)
    level = np.quantile(noise, 1 - rng.uniform(*_CLOUD_COVER))
    return np.clip((noise - level) / _CLOUD_EDGE, 0, 1)  # type: ignore[no-any-return]


def _redated(
    day_t: NDArray[np.float32], settings: SeasonSettings, rng: np.random.Generator
) -> NDArray[np.float32]:
    if rng.random() < settings.dateless_chance:
        return np.full_like(day_t, np.nan)
    later = rng.normal(0, settings.later_days) + rng.normal(0, settings.jitter_days, day_t.shape)
    return ((day_t - 1 + later) % DAYS_PER_YEAR + 1).astype(np.float32)
