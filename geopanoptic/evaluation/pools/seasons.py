"""Figures of a bundle on seasons, by the number of dates that it sees.

Parcels are scored as on single images, once on the ground that is known and seen (``known``), and once on all
that is known, where ground that no date shows counts as missed (``whole``). Of the parcels that are found, the
kind is right where it is the commonest one among the pixels of the true parcel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geopanoptic.evaluation.maps.segments import Segments
from geopanoptic.evaluation.metrics.contingency import UNKNOWN, contingency
from geopanoptic.evaluation.metrics.matching import Protocol, match
from geopanoptic.evaluation.metrics.panoptic_quality import PanopticQuality, add_image
from geopanoptic.evaluation.pools.reliability import calibration_error
from geopanoptic.evaluation.pools.samples import Prediction
from geopanoptic.evaluation.pools.season_samples import SEASON_CLASSES, LabelledSeason

NUMBERS_OF_DATES = (1, 3, 6, 12, 24)
GROUND = ("known", "whole")
_PARCEL = 1
_UNLABELLED = 255

SeasonMapper = Callable[[LabelledSeason], Prediction]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kinds:
    """Found parcels whose true kind is known, (n,) each: places in ``SEASON_CLASSES`` (predicted -1: a class of
    another name) and the map's class score."""

    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    score: NDArray[np.float64]

    @property
    def accuracy(self) -> float:
        """Share of the right kind; NaN without a parcel."""
        return float((self.true == self.predicted).mean()) if len(self.true) else float("nan")

    @property
    def recall(self) -> dict[str, tuple[float, int]]:
        """By true kind: share of the right kind, and number of parcels."""
        return {
            SEASON_CLASSES[kind]: (float((self.predicted[self.true == kind] == kind).mean()), int(count))
            for kind, count in zip(*np.unique(self.true, return_counts=True), strict=True)
        }

    @property
    def calibration_error(self) -> float:
        """Expected calibration error of the class score."""
        return calibration_error(self.score, self.true == self.predicted)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeasonFigures:
    """``quality`` by ground, and the kinds of the parcels found on known ground."""

    n_dates: int
    quality: dict[str, PanopticQuality]
    kinds: Kinds

    def to_row(self) -> dict[str, object]:
        """Plain numbers for JSON."""
        by_ground = {
            name: {"pq": round(each.pq, 4), "sq": round(each.sq, 4), "rq": round(each.rq, 4)}
            for name, each in self.quality.items()
        }
        return by_ground | {
            "kinds": {
                "parcels": len(self.kinds.true),
                "accuracy": round(self.kinds.accuracy, 4),
                "recall": {name: (round(share, 4), n) for name, (share, n) in self.kinds.recall.items()},
                "calibration_error": round(self.kinds.calibration_error, 4),
            }
        }

    def in_words(self) -> str:
        known, whole = (self.quality[name] for name in GROUND)
        recall = ", ".join(f"{name} {share:.2f} of {n}" for name, (share, n) in self.kinds.recall.items())
        return (
            f"{self.n_dates:>2} dates   known: PQ {known.pq:.3f} SQ {known.sq:.3f} RQ {known.rq:.3f}, "
            f"whole: PQ {whole.pq:.3f}, kind right {self.kinds.accuracy:.3f} ({recall}), "
            f"class calibration error {self.kinds.calibration_error:.3f}"
        )


def figures_by_dates(
    seasons: Sequence[LabelledSeason],
    mapper: SeasonMapper,
    *,
    kinds: Sequence[str],
    numbers: Sequence[int] = NUMBERS_OF_DATES,
    protocol: Protocol = "coco",
) -> Iterator[SeasonFigures]:
    """The figures for every number of dates that any of the seasons has.

    ``kinds`` are the names of the thing classes in the order of the predictions' indices.
    """
    longest = max(len(season.dates) for season in seasons)
    for count in (number for number in numbers if number <= longest):
        shown = [season.some(count) for season in seasons]
        with ThreadPoolExecutor() as pool:
            predictions = list(pool.map(mapper, shown))
        yield season_figures(shown, predictions, kinds=kinds, n_dates=count, protocol=protocol)


def season_figures(
    seasons: Sequence[LabelledSeason],
    predictions: Sequence[Prediction],
    *,
    kinds: Sequence[str],
    n_dates: int,
    protocol: Protocol = "coco",
) -> SeasonFigures:
    """Figures of maps of seasons, all in one sum."""
    place_of = np.array([SEASON_CLASSES.index(each) if each in SEASON_CLASSES else -1 for each in kinds])
    totals: dict[str, dict[int, PanopticQuality]] = {name: {_PARCEL: PanopticQuality()} for name in GROUND}
    found = []
    for season, prediction in zip(seasons, predictions, strict=True):
        parcels = np.where(prediction.labels <= prediction.n_things, prediction.labels, 0)
        truth = np.maximum(season.instances, 0)
        ours = dict.fromkeys(range(1 + int(parcels.max(initial=0))), _PARCEL)
        theirs = dict.fromkeys(range(1 + int(truth.max(initial=0))), _PARCEL)
        for name, void in (("known", season.void), ("whole", season.instances < 0)):
            add_image(totals[name], parcels, ours, truth, theirs, void=void, protocol=protocol)
        found.append(_kinds(season, parcels, prediction, place_of))
    return SeasonFigures(
        n_dates=n_dates,
        quality={name: totals[name][_PARCEL] for name in GROUND},
        kinds=Kinds(
            true=np.concatenate([each.true for each in found]),
            predicted=np.concatenate([each.predicted for each in found]),
            score=np.concatenate([each.score for each in found]),
        ),
    )


def _kinds(
    season: LabelledSeason,
    parcels: NDArray[np.int32],
    prediction: Prediction,
    place_of: NDArray[np.int64],
) -> Kinds:
    known = np.where(season.void, UNKNOWN, season.instances.astype(np.int64))
    n, m = prediction.n_things, int(known.max(initial=0))
    table = contingency(parcels, known, n_predicted=n, n_true=m)
    every = (Segments.of(np.full(count, _PARCEL)) for count in (n, m))
    matches = match(table, *every)
    kind_of = _true_kinds(season, m)[matches.true]
    labelled = kind_of != _UNLABELLED
    found = matches.predicted[labelled] - 1
    return Kinds(
        true=kind_of[labelled],
        predicted=place_of[prediction.class_index[found]],
        score=prediction.class_score[found],
    )


def _true_kinds(season: LabelledSeason, n_true: int) -> NDArray[np.int64]:
    """Commonest class of every true parcel, (n_true + 1,), ``_UNLABELLED`` where none is given."""
    counts = np.zeros((n_true + 1, 256), np.int64)
    inside = (season.instances > 0) & (season.instances <= n_true)
    np.add.at(counts, (season.instances[inside], season.classes[inside]), 1)
    counts[:, _UNLABELLED] = 0
    return np.where(counts.any(axis=1), counts.argmax(axis=1), _UNLABELLED)
