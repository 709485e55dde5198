"""Panoptic quality of a fold by both protocols, every patch counted exactly once.

Counts are summed over the patches of the fold, then divided, by class; the means are over the classes 1 to 18
that occur. Void parcels are excused as the protocol says, and background is not scored, as in the papers. The
original meter has two faults that are not copied (a class that fills a patch counts as no instance; an instance
of mixed classes can reach IoU 2), and its loader drops the patches of an incomplete last batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from geopanoptic.evaluation.metrics.matching import PROTOCOLS, Protocol
from geopanoptic.evaluation.metrics.panoptic_quality import (
    MeanQuality,
    PanopticQuality,
    add_image,
    mean_quality,
)
from geopanoptic.training.pastis.folder import CROPS, VOID, PastisLabels
from geopanoptic.training.pastis.mapping import OTHER, ParcelMap

_PARCEL = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One protocol's counts: by class 1 to 18, and of parcels whatever their class."""

    by_class: Mapping[int, PanopticQuality]
    parcels: PanopticQuality

    @property
    def mean(self) -> MeanQuality:
        """Over the classes that occur."""
        return mean_quality(list(self.by_class.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldScore:
    """Scores of one test fold by protocol; ``patches`` counts what was scored."""

    fold: int
    patches: int
    scores: Mapping[Protocol, Score]


def score_fold(fold: int, mapped: Iterable[tuple[ParcelMap, PastisLabels]]) -> FoldScore:
    """Score the maps of a fold's patches, ``fold`` being the number of the experiment."""
    by_class: dict[Protocol, dict[int, PanopticQuality]] = {protocol: {} for protocol in PROTOCOLS}
    parcels: dict[Protocol, dict[int, PanopticQuality]] = {
        protocol: {_PARCEL: PanopticQuality()} for protocol in PROTOCOLS
    }
    patches = 0
    for predicted, labels in mapped:
        patches += 1
        classes, void = _true_classes(labels)
        found = dict(enumerate(predicted.class_of.tolist()))
        for protocol in PROTOCOLS:
            for totals, ours, theirs in (
                (by_class, found, classes),
                (parcels, dict.fromkeys(found, _PARCEL), dict.fromkeys(classes, _PARCEL)),
            ):
                add_image(
                    totals[protocol],
                    predicted.instances_hw,
                    ours,
                    labels.instances_hw,
                    theirs,
                    void_segments=void,
                    protocol=protocol,
                )
    return FoldScore(
        fold=fold,
        patches=patches,
        scores={
            protocol: Score(
                by_class={number: q for number, q in sorted(totals.items()) if number != OTHER},
                parcels=parcels[protocol][_PARCEL],
            )
            for protocol, totals in by_class.items()
        },
    )


def _true_classes(labels: PastisLabels) -> tuple[dict[int, int], list[int]]:
    """The class of every true parcel, the most frequent one of its pixels, and which parcels are void."""
    n = int(labels.instances_hw.max(initial=0))
    votes = np.zeros((n + 1, len(CROPS) + 2), np.int64)
    np.add.at(votes, (labels.instances_hw, labels.target_hw), 1)
    class_of = votes.argmax(axis=1)
    void = [int(number) for number in np.flatnonzero(class_of == VOID) if number]
    return {number: int(class_of[number]) for number in range(1, n + 1)}, void
