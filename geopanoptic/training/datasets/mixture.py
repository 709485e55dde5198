"""Several sources as one: every sample comes from one of them, by share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from geopanoptic.models.manifest import ClassSpec
from geopanoptic.training.datasets import Dataset, open_dataset
from geopanoptic.training.datasets.settings import DataSettings
from geopanoptic.training.patches.patch import Patch
from geopanoptic.training.patches.series_patch import SeriesPatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """``shares`` add up to 1."""

    sources: tuple[Dataset, ...]
    shares: tuple[float, ...]
    bands: tuple[str, ...]

    @classmethod
    def open(
        cls, settings: Sequence[DataSettings], *, bands: Sequence[str], classes: Sequence[ClassSpec]
    ) -> Self:
        """Open every source. Raises as ``open_dataset``."""
        total = sum(each.share for each in settings)
        return cls(
            sources=tuple(open_dataset(each, bands=bands, classes=classes) for each in settings),
            shares=tuple(each.share / total for each in settings),
            bands=tuple(bands),
        )

    def draw(self, size_px: int, rng: np.random.Generator, *, sample: int) -> Patch | SeriesPatch:
        chosen = rng.choice(len(self.sources), p=self.shares)
        return self.sources[chosen].draw(size_px, rng, sample=sample)
