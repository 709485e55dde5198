"""One normalisation per scene: the 2nd and 98th percentile of each band over the fixed sample.

Measured once and recorded, never per tile, so that no result depends on the tiling; linear in the stored
numbers, so that digital numbers, reflectances x 10000 and reflectances in [0, 1] give the same input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopanoptic.scene.sampling import Sample, take_sample
from geopanoptic.scene.scene import Scene

LOW_PERCENT, HIGH_PERCENT = 2.0, 98.0
CLIP = (-1.0, 2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalisation:
    """Per band (in the order of ``bands``): the values that become 0 and 1."""

    bands: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def apply(
        self, values_chw: NDArray[np.floating[Any]], valid_hw: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """``clip((value - low) / (high - low), -1, 2)`` as float32 (C, H, W), 0 where invalid."""
        if len(values_chw) != len(self.bands):
            raise ValueError(f"{len(values_chw)} planes for {len(self.bands)} bands")
        low = np.asarray(self.low, np.float32)[:, None, None]
        span = np.asarray(self.high, np.float32)[:, None, None] - low
        normal = np.subtract(values_chw, low, dtype=np.float32)
        np.divide(normal, span, out=normal)
        np.clip(normal, *CLIP, out=normal)
        np.copyto(normal, np.float32(0), where=~valid_hw)
        return normal

    def select(self, bands: Sequence[str]) -> Normalisation:
        """The same for some bands, in the given order."""
        where = [self.bands.index(band) for band in bands]
        return Normalisation(
            bands=tuple(bands),
            low=tuple(self.low[i] for i in where),
            high=tuple(self.high[i] for i in where),
        )

    def to_json(self) -> dict[str, list[Any]]:
        """Lists of names and numbers, for ``run.json``."""
        return {key: list(value) for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, record: Mapping[str, Sequence[Any]]) -> Normalisation:
        """The inverse of ``to_json``, exact."""
        return cls(
            bands=tuple(record["bands"]),
            low=tuple(map(float, record["low"])),
            high=tuple(map(float, record["high"])),
        )


def measure(
    scene: Scene, bands: Sequence[str] | None = None, *, sample: Sample | None = None
) -> Normalisation:
    """Percentiles of ``bands`` (default: all) over the valid pixels of the fixed sample.

    A band without valid pixels gets (0, 1); a constant band gets a span of 1, so it becomes 0. ``sample``
    saves reading it again where it was taken with the same bands.
    """
    names = tuple(scene.bands if bands is None else bands)
    if sample is None or sample.bands != names:
        sample = take_sample(scene, names)
    ranges = [_range(plane[sample.valid_n]) for plane in sample.values_cn]
    return Normalisation(
        bands=names, low=tuple(low for low, _ in ranges), high=tuple(high for _, high in ranges)
    )


def _range(values: NDArray[np.float32]) -> tuple[float, float]:
    if values.size == 0:
        return 0.0, 1.0
    low, high = (float(np.float32(q)) for q in np.percentile(values, (LOW_PERCENT, HIGH_PERCENT)))
    # A band that is nearly all one value still has its full range to offer.
    if low == high:
        low, high = float(values.min()), float(values.max())
    # Next to large values a span of 1 may vanish in float32.
    return (low, high) if low < high else (low, low + max(1.0, abs(low) * 1e-3))
