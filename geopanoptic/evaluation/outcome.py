"""What became of every true and predicted thing: the words that the picture colours."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from geopanoptic.evaluation.metrics.contingency import Contingency
from geopanoptic.evaluation.metrics.covering import SegmentationErrors
from geopanoptic.evaluation.metrics.matching import Matches


class Outcome(IntEnum):
    """Of a true object: found to merged; of a predicted one: found, false or excused; of both: none."""

    NONE = 0
    FOUND = 1
    MISSED = 2
    SPLIT = 3
    MERGED = 4
    FALSE = 5
    EXCUSED = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """``Outcome`` of every label, ``true`` (n_true + 2,) with unknown ground last, ``predicted``
    (n_predicted + 1,); labels after the things are ``NONE``."""

    true: NDArray[np.uint8]
    predicted: NDArray[np.uint8]

    @property
    def counts(self) -> dict[Outcome, int]:
        """True objects by what became of them, and false parcels."""
        of_true = (Outcome.FOUND, Outcome.SPLIT, Outcome.MERGED, Outcome.MISSED)
        counts = {each: int(np.count_nonzero(self.true == each)) for each in of_true}
        return counts | {Outcome.FALSE: int(np.count_nonzero(self.predicted == Outcome.FALSE))}

    def of_pixels(self, predicted: NDArray[np.integer], true: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Of labels (h, w) what became of the true object, and where there is none, whether a parcel is false."""
        of_true, is_false = self.true[true], self.predicted[predicted] == Outcome.FALSE
        return np.where(of_true > 0, of_true, np.where(is_false, np.uint8(Outcome.FALSE), np.uint8(0)))


def outcomes(
    table: Contingency,
    matches: Matches,
    errors: SegmentationErrors,
    *,
    n_true_things: int,
    n_predicted_things: int,
) -> Outcomes:
    """An object that was not found is split, else merged, else missed.

    It is merged where a predicted object that is a merge covers at least half of it.
    """
    true = np.zeros(table.n_true + 2, np.uint8)
    true[:-1][matches.false_negative] = Outcome.MISSED
    is_merge = np.zeros(table.n_predicted + 1, bool)
    is_merge[errors.merges] = True
    swallowed = is_merge[table.predicted] & (table.true > 0)
    swallowed &= 2 * table.shared_px >= table.true_px[table.true]
    for labels, outcome in ((table.true[swallowed], Outcome.MERGED), (errors.splits, Outcome.SPLIT)):
        lost = labels[true[labels] > Outcome.FOUND]
        true[lost] = outcome
    true[matches.true] = Outcome.FOUND
    predicted = np.full(table.n_predicted + 1, Outcome.EXCUSED, np.uint8)
    predicted[matches.false_positive] = Outcome.FALSE
    predicted[matches.predicted] = Outcome.FOUND
    predicted[0] = Outcome.NONE
    true[n_true_things + 1 :] = Outcome.NONE
    predicted[n_predicted_things + 1 :] = Outcome.NONE
    return Outcomes(true=true, predicted=predicted)
