"""One normalisation per scene: the 2nd and 98th percentile of each band over the fixed sample.

Measured once and recorded, never per tile, so that no result depends on the tiling; linear in the stored
numbers, so that digital numbers, reflectances x 10000 and reflectances in [0, 1] give the same input.

A season has one normalisation too, so that a field that turns from brown to green still does so in the
network's input: per band the median over the dates of either percentile. A date that is nearly all cloud says
little about the ground and does not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopanoptic.scene.sampling import Sample, take_sample
from geopanoptic.scene.scene import Scene

LOW_PERCENT, HIGH_PERCENT = 2.0, 98.0
CLIP = (-1.0, 2.0)
LEAST_VALID_SHARE = 0.02
"""Dates with a smaller share of valid pixels do not count where another date has more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalisation:
    """Per band (in the order of ``bands``): the values that become 0 and 1."""

    bands: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    clip: tuple[float, float] = CLIP
    """Least and greatest result."""

    def apply(
        self, values_chw: NDArray[np.floating[Any]], valid_hw: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """``(value - low) / (high - low)``, clipped, as float32 (C, H, W), 0 where invalid."""
        normal_chw = np.empty(values_chw.shape, np.float32)
        self.apply_into(normal_chw, values_chw, valid_hw)
        return normal_chw

    def apply_into(
        self,
        normal_chw: Iterable[NDArray[np.float32]],
        values_chw: NDArray[np.floating[Any]],
        valid_hw: NDArray[np.bool_],
    ) -> None:
        """The same, written to C planes (H, W)."""
        if len(values_chw) != len(self.bands):
            raise ValueError(f"{len(values_chw)} planes for {len(self.bands)} bands")
        invalid_hw = ~valid_hw
        # Plane by plane: one stays in the processor's cache meanwhile.
        for normal, values, low, high in zip(normal_chw, values_chw, self.low, self.high, strict=True):
            np.subtract(values, np.float32(low), out=normal, dtype=np.float32)
            np.divide(normal, np.float32(high) - np.float32(low), out=normal)
            np.clip(normal, *self.clip, out=normal)
            np.copyto(normal, np.float32(0), where=invalid_hw)

    def select(self, bands: Sequence[str]) -> Normalisation:
        """The same for some bands, in the given order."""
        where = [self.bands.index(band) for band in bands]
        return Normalisation(
            bands=tuple(bands),
            low=tuple(self.low[i] for i in where),
            high=tuple(self.high[i] for i in where),
            clip=self.clip,
        )

    def to_json(self) -> dict[str, list[Any]]:
        """Lists of names and numbers, for ``run.json``."""
        return {key: list(value) for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, record: Mapping[str, Sequence[Any]]) -> Normalisation:
        """The inverse of ``to_json``, exact."""
        least, greatest = record["clip"]
        return cls(
            bands=tuple(record["bands"]),
            low=tuple(map(float, record["low"])),
            high=tuple(map(float, record["high"])),
            clip=(float(least), float(greatest)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DateRange:
    """Percentiles of one date: the values of each band that are to become 0 and 1, over the valid pixels."""

    bands: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    valid_share: float
    """Share of the sampled pixels that are valid, 0 to 1."""


def date_range(sample: Sample) -> DateRange:
    """Percentiles of a sample of one date.

    A band without valid pixels gets (0, 1); a constant band gets a span of 1, so it becomes 0.
    """
    ranges = [_range(plane[sample.valid_n]) for plane in sample.values_cn]
    return DateRange(
        bands=sample.bands,
        low=tuple(low for low, _ in ranges),
        high=tuple(high for _, high in ranges),
        valid_share=sample.valid_share,
    )


def series_normalisation(ranges_t: Sequence[DateRange]) -> Normalisation:
    """The normalisation of a season from its dates, in any order; that of one date is its own range.

    Per band the medians of ``low`` and of ``high`` over the dates that have the band (radar and optical images
    may take turns) and ``LEAST_VALID_SHARE`` of valid pixels or, where none has so many, the most. Bands are
    in the order in which they first occur.
    """
    bands = tuple(dict.fromkeys(band for each in ranges_t for band in each.bands))
    medians = [np.median(_that_count(ranges_t, band), axis=0).tolist() for band in bands]
    return Normalisation(
        bands=bands, low=tuple(low for low, _ in medians), high=tuple(high for _, high in medians)
    )


def _that_count(ranges_t: Sequence[DateRange], band: str) -> list[tuple[float, float]]:
    """Low and high of a band on the dates that count."""
    having = [each for each in ranges_t if band in each.bands]
    least = min(LEAST_VALID_SHARE, max(each.valid_share for each in having))
    return [
        (each.low[each.bands.index(band)], each.high[each.bands.index(band)])
        for each in having
        if each.valid_share >= least
    ]


def measure(
    scene: Scene, bands: Sequence[str] | None = None, *, sample: Sample | None = None
) -> Normalisation:
    """The normalisation of ``bands`` (default: all) of a scene of any number of dates, read one by one.

    ``sample`` saves reading it again where it was taken of the scene's one date with the same bands.
    """
    names = tuple(scene.bands if bands is None else bands)
    if sample is not None and sample.bands == names:
        return series_normalisation([date_range(sample)])
    ranges = [
        # A band that no date has is asked for all the same, to be refused.
        date_range(
            take_sample(each, [band for band in names if band in each.bands or band not in scene.bands])
        )
        for each in scene.single_dates()
    ]
    return series_normalisation(ranges).select(names)


def _range(values: NDArray[np.float32]) -> tuple[float, float]:
    if values.size == 0:
        return 0.0, 1.0
    low, high = (float(np.float32(q)) for q in np.percentile(values, (LOW_PERCENT, HIGH_PERCENT)))
    # A band that is nearly all one value still has its full range to offer.
    if low == high:
        low, high = float(values.min()), float(values.max())
    # Next to large values a span of 1 may vanish in float32.
    return (low, high) if low < high else (low, low + max(1.0, abs(low) * 1e-3))
