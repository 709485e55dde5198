"""Panoptic quality (Kirillov et al., CVPR 2019) from counts that can be summed over images."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from geopanoptic.evaluation.maps.segments import Segments
from geopanoptic.evaluation.metrics.contingency import UNKNOWN, Contingency, contingency
from geopanoptic.evaluation.metrics.matching import Matches, Outside, Protocol, match

NAN = float("nan")


@dataclass(slots=True)
class PanopticQuality:
    """Counts of one class; ``iou_sum`` over the true positives. All qualities are NaN without a segment."""

    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0
    iou_sum: float = 0.0
    recall_by_size: dict[str, list[int]] = field(default_factory=dict)
    """Size class -> [found, true segments]."""

    @property
    def segments(self) -> float:
        """True positives and half of the wrong ones: what PQ and RQ are shares of."""
        return self.true_positives + (self.false_positives + self.false_negatives) / 2

    @property
    def sq(self) -> float:
        """Segmentation quality: mean IoU of the matches."""
        return self.iou_sum / self.true_positives if self.true_positives else NAN

    @property
    def rq(self) -> float:
        """Recognition quality: the F1 score of the segments."""
        return self.true_positives / self.segments if self.segments else NAN

    @property
    def pq(self) -> float:
        """Panoptic quality, SQ x RQ."""
        return self.iou_sum / self.segments if self.segments else NAN


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanQuality:
    """Means of PQ, SQ and RQ over ``classes`` classes with a segment; NaN without any class."""

    pq: float
    sq: float
    rq: float
    classes: int


def mean_quality(qualities: Sequence[PanopticQuality]) -> MeanQuality:
    """As both protocols average: classes without any segment are left out, SQ without a match counts as 0."""
    seen = [each for each in qualities if each.segments]
    if not seen:
        return MeanQuality(pq=NAN, sq=NAN, rq=NAN, classes=0)
    return MeanQuality(
        pq=float(np.mean([each.pq for each in seen])),
        sq=float(np.mean([each.sq if each.true_positives else 0.0 for each in seen])),
        rq=float(np.mean([each.rq for each in seen])),
        classes=len(seen),
    )


def quality_by_category(matches: Matches, predicted: Segments, true: Segments) -> dict[int, PanopticQuality]:
    """Counts of every category that has a segment, without recall by size."""
    size = 1 + int(max(predicted.category.max(), true.category.max()))
    of_match = true.category[matches.true]
    hits = np.bincount(of_match, minlength=size)
    iou = np.bincount(of_match, matches.iou, minlength=size)
    wrong = np.bincount(predicted.category[matches.false_positive], minlength=size)
    missed = np.bincount(true.category[matches.false_negative], minlength=size)
    return {
        category: PanopticQuality(
            true_positives=int(hits[category]),
            false_positives=int(wrong[category]),
            false_negatives=int(missed[category]),
            iou_sum=float(iou[category]),
        )
        for category in np.flatnonzero(hits + wrong + missed).tolist()
    }


SIZE_CLASSES_PX = ((0, 100), (100, 400), (400, 1200), (1200, 4000), (4000, 10**12))
"""Half-open ranges of true size in pixels for the recall table of images without a place on the ground."""


def add_image(
    total: dict[int, PanopticQuality],
    predicted: NDArray[np.integer],
    predicted_class: Mapping[int, int],
    true: NDArray[np.integer],
    true_class: Mapping[int, int],
    *,
    void: NDArray[np.bool_] | None = None,
    void_segments: Collection[int] = (),
    outside: Outside = "count",
    protocol: Protocol = "coco",
    min_area_px: float = 0,
) -> None:
    """Add one image's segments to ``total`` (class id -> counts).

    ``predicted`` and ``true`` (h, w) hold segment ids, 0 for none; the mappings give each id's class (> 0).
    ``void`` (h, w) is True where the truth is unknown; true segments there are left out. ``void_segments`` are
    the ids of true objects of unknown class, which need no class. The other options are those of
    :func:`~geopanoptic.evaluation.metrics.matching.match`. Raises ValueError where the shapes differ or an id is
    negative, KeyError for an id without a class.
    """
    if true.size and true.min() < 0:
        raise ValueError("segment ids must not be negative")
    known = true if void is None else np.where(void, UNKNOWN, true.astype(np.int64))
    n, m = int(predicted.max(initial=0)), int(known.max(initial=0))
    table = contingency(predicted, known, n_predicted=n, n_true=m)
    ours = Segments.of(_classes(table.predicted, predicted_class, n))
    unknown = np.isin(np.arange(1, m + 1), list(void_segments))
    theirs = Segments.of(
        _classes(table.true, {**true_class, **dict.fromkeys(void_segments, 0)}, m), void=unknown
    )
    matches = match(table, ours, theirs, outside=outside, protocol=protocol, min_area_px=min_area_px)
    for category, counts in quality_by_category(matches, ours, theirs).items():
        sums = total.setdefault(category, PanopticQuality())
        sums.true_positives += counts.true_positives
        sums.false_positives += counts.false_positives
        sums.false_negatives += counts.false_negatives
        sums.iou_sum += counts.iou_sum
        of_category = theirs.category == category
        for name, (found, of) in _recall_by_size(matches, table, of_category).items():
            row = sums.recall_by_size.setdefault(name, [0, 0])
            row[0] += found
            row[1] += of


def _classes(labels: NDArray[np.int64], classes: Mapping[int, int], n: int) -> NDArray[np.int64]:
    result = np.zeros(n, np.int64)
    for label in np.unique(labels[labels > 0]).tolist():
        result[label - 1] = classes[label]
    return result


def _recall_by_size(matches: Matches, table: Contingency, chosen: NDArray[np.bool_]) -> dict[str, list[int]]:
    found = np.zeros(len(chosen), bool)
    found[matches.true] = True
    counted = (found | matches.false_negative) & chosen
    sizes = table.true_px[:-1][counted]
    rows = {}
    for low, high in SIZE_CLASSES_PX:
        within = (low <= sizes) & (sizes < high)
        if within.any():
            name = f"{low}-{high}" if high < 10**12 else f"{low}+"
            rows[name] = [int(found[counted][within].sum()), int(within.sum())]
    return rows
