"""A patch's whole season as a network sees it: every date of every sensor, in named bands.

A date of radar is a date like any other on which only ``vv``, ``vh`` and ``vv_vh`` are seen; the flags of the
optical bands are 0 there. So no two sensors need to have been there on one day, and one network takes both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geopanoptic.scene.containers.pastis import NODATA
from geopanoptic.scene.radiometry import CLIP, DateRange, series_normalisation
from geopanoptic.scene.season import season_day
from geopanoptic.training.datasets.channels import in_channels
from geopanoptic.training.pastis.folder import BANDS_OF, PastisFolder, PastisPatch, Sensor
from geopanoptic.training.pastis.normalisation import moments

_FRANCE_DEG = 46.0
_PERCENTILES = (2, 98)

_UNUSED = (0.0, 1.0)  # range of a band that the network does not take

Ranges = Mapping[str, tuple[float, float]]
"""Stored values of a band that become 0 and 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Season:
    """Dates ascending, images of one day in the order of sensors and files; see ``SeriesPatch``."""

    image_tchw: NDArray[np.float32]
    seen_tchw: NDArray[np.bool_]
    day_t: NDArray[np.float32]

    def inputs(self) -> Iterator[tuple[NDArray[np.float32], float]]:
        """Network input (1, 2 * bands, h, w) and day of every date."""
        for image, seen, day in zip(self.image_tchw, self.seen_tchw, self.day_t, strict=True):
            yield np.concatenate([image * seen, seen.astype(np.float32)])[None], float(day)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeasonReader:
    """Reads patches of a folder. ``ranges`` None: between the percentiles of each patch, as for scenes."""

    folder: PastisFolder
    bands: tuple[str, ...]
    sensors: tuple[Sensor, ...]
    ranges: Ranges | None = None

    def __call__(self, patch: PastisPatch) -> Season:
        """Raises ``UsageError`` where an image is missing or has other dates than the metadata."""
        images = [
            (when, sensor, values.astype(np.float32))
            for sensor in self.sensors
            if sensor in patch.dates and not set(BANDS_OF[sensor]).isdisjoint(self.bands)
            for when, values in zip(patch.dates[sensor], self.folder.series(patch, sensor), strict=True)
        ]
        images.sort(key=lambda image: image[0])
        shown = [(_valid(values), BANDS_OF[sensor], values) for _, sensor, values in images]
        ranges = self.ranges or _own_ranges(shown)
        channels = [
            in_channels(_normalised(values, names, ranges), valid, names, self.bands)
            for valid, names, values in shown
        ]
        return Season(
            image_tchw=np.stack([image for image, _ in channels]),
            seen_tchw=np.stack([seen for _, seen in channels]),
            day_t=np.array([season_day(when, _FRANCE_DEG) for when, _, _ in images], np.float32),
        )


def ranges_of_folds(folder: PastisFolder, folds: Sequence[int], sensors: Sequence[Sensor]) -> Ranges:
    """The ranges of every band by the moments of ``folds``; orbits of one band are averaged.

    Raises ``UsageError`` as ``moments``.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for sensor in sensors:
        low, high = moments(folder, folds, sensor).ranges
        for band, *ends in zip(BANDS_OF[sensor], low.tolist(), high.tolist(), strict=True):
            found.setdefault(band, []).append((ends[0], ends[1]))
    return {
        band: (float(np.mean([low for low, _ in ends])), float(np.mean([high for _, high in ends])))
        for band, ends in found.items()
    }


def _valid(values_chw: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where all bands have data: radar is not a number elsewhere."""
    valid: NDArray[np.bool_] = (np.isfinite(values_chw) & (values_chw != NODATA)).all(0)
    return valid


def _normalised(values_chw: NDArray[np.float32], bands: Sequence[str], ranges: Ranges) -> NDArray[np.float32]:
    low, high = np.array([ranges.get(band, _UNUSED) for band in bands], np.float32).T[..., None, None]
    with np.errstate(invalid="ignore"):
        return np.clip((values_chw - low) / (high - low), *CLIP).astype(np.float32)


def _own_ranges(
    shown: Sequence[tuple[NDArray[np.bool_], tuple[str, ...], NDArray[np.float32]]],
) -> Ranges:
    """What a scene of these images would be normalised by."""
    ranges = []
    for valid, bands, values in shown:
        if not valid.any():
            continue
        low, high = np.percentile(values[:, valid], _PERCENTILES, axis=1)
        high = np.where(high > low, high, low + 1)
        ranges.append(
            DateRange(
                bands=bands,
                low=tuple(low.tolist()),
                high=tuple(high.tolist()),
                valid_share=float(valid.mean()),
            )
        )
    season = series_normalisation(ranges)
    return {band: (low, high) for band, low, high in zip(season.bands, season.low, season.high, strict=True)}
