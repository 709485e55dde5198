"""A labelled piece of ground on several dates, on its way from a dataset to the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from geopanoptic.training.patches.patch import Patch


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesPatch:
    """Images and labels of a piece of ground.

    image_tchw
        float32 or float16 (T, C, h, w), bands in the network's order and input range; of no meaning where not seen.
    seen_tchw
        bool (T, C, h, w): the band exists and the pixel has data on that date.
    day_t
        float32 (T,): day of the year of the northern seasons, 1 to 366; NaN where unknown.
    instances_hw, classes_hw
        As in ``Patch``; a parcel whose class is ``IGNORED`` is one of unknown kind.
    """

    image_tchw: NDArray[np.floating]
    seen_tchw: NDArray[np.bool_]
    day_t: NDArray[np.float32]
    instances_hw: NDArray[np.int32]
    classes_hw: NDArray[np.uint8]

    @classmethod
    def of(cls, patch: Patch) -> SeriesPatch:
        """A single image, of unknown day."""
        return cls(
            image_tchw=patch.image_chw[None],
            seen_tchw=patch.seen_chw[None],
            day_t=np.full(1, np.nan, np.float32),
            instances_hw=patch.instances_hw,
            classes_hw=patch.classes_hw,
        )

    @property
    def n_dates(self) -> int:
        return len(self.day_t)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the images."""
        return self.image_tchw.shape[2], self.image_tchw.shape[3]

    @property
    def valid_hw(self) -> NDArray[np.bool_]:
        """Label pixels that any band of any date shows."""
        return self.stacked().valid_hw

    def at(self, dates: Sequence[int] | NDArray[np.intp]) -> SeriesPatch:
        """Some of the dates, by number, in the order given."""
        chosen = np.asarray(dates, np.intp)
        return replace(
            self,
            image_tchw=self.image_tchw[chosen],
            seen_tchw=self.seen_tchw[chosen],
            day_t=self.day_t[chosen],
        )

    def stacked(self) -> Patch:
        """The bands of all dates as those of one image, (T * C, h, w)."""
        return Patch(
            image_chw=self.image_tchw.reshape(-1, *self.shape),  # type: ignore[arg-type]  # half precision in memory
            seen_chw=self.seen_tchw.reshape(-1, *self.shape),
            instances_hw=self.instances_hw,
            classes_hw=self.classes_hw,
        )

    def restacked(self, patch: Patch) -> SeriesPatch:
        """What became of ``stacked()``, by dates again."""
        by_date = (self.n_dates, -1, *patch.shape)
        return SeriesPatch(
            image_tchw=patch.image_chw.reshape(by_date),
            seen_tchw=patch.seen_chw.reshape(by_date),
            day_t=self.day_t,
            instances_hw=patch.instances_hw,
            classes_hw=patch.classes_hw,
        )

    def random_window(self, size_px: int, rng: np.random.Generator) -> SeriesPatch:
        """As ``Patch.random_window``, the same ground on every date."""
        return self.restacked(self.stacked().random_window(size_px, rng))
