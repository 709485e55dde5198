"""Which predicted segments are true ones, by the COCO or the PASTIS protocol.

In both, a predicted and a true segment of one class match where their IoU is above one half, strictly; the
union leaves out predicted pixels whose truth is void. They differ in which unmatched predictions are excused:

``coco``
    those that lie by more than half on void or on crowds of their class (Kirillov et al., CVPR 2019);
``pastis``
    those whose IoU with one void object is above one half, and those that lie on void altogether (Garnot and
    Landrieu, ICCV 2021). The former are dropped before anything is matched: they find nothing either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from geopanoptic.evaluation.maps.segments import Segments
from geopanoptic.evaluation.metrics.contingency import UNKNOWN, Contingency

Protocol = Literal["coco", "pastis"]
Outside = Literal["count", "ignore"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
OUTSIDE: tuple[Outside, ...] = get_args(Outside)

Bool = NDArray[np.bool_]
Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """The pairs of segments of one class that share pixels, void taken out.

    ``predicted``, ``true`` (n,) labels; ``shared_px``, ``union_px`` (n,); ``predicted_px`` (n_predicted + 1,)
    and ``true_px`` (n_true + 1,) sizes of all segments, of predicted ones without ``void_px`` of the same
    shape; ``countable`` (n_true + 1,) the true segments that can be found: neither void nor crowd.
    """

    predicted: Int64
    true: Int64
    shared_px: Int64
    union_px: Int64
    predicted_px: Int64
    true_px: Int64
    void_px: Int64
    countable: Bool

    @property
    def iou(self) -> NDArray[np.float64]:
        """(n,)"""
        return self.shared_px / self.union_px


def overlap_of(table: Contingency, predicted: Segments, true: Segments, *, outside: Outside) -> Overlap:
    """Pairs of predicted and countable true segments of one class.

    ``outside`` says whether predicted pixels on ground without a true segment count against a prediction or
    are void.
    """
    void = void_labels(true, outside)
    void_px = table.predicted_px_where(void)
    predicted_px, true_px = table.predicted_px - void_px, table.true_px[:-1]
    countable = ~(true.crowd | void[:-1]) & (true_px > 0)
    countable[0] = False
    p, t = table.predicted, table.true
    pairs = (p > 0) & (t > 0)
    pairs[pairs] = countable[t[pairs]] & (predicted.category[p[pairs]] == true.category[t[pairs]])
    p, t, shared = p[pairs], t[pairs], table.shared_px[pairs]
    return Overlap(
        predicted=p,
        true=t,
        shared_px=shared,
        union_px=predicted_px[p] + true_px[t] - shared,
        predicted_px=predicted_px,
        true_px=true_px,
        void_px=void_px,
        countable=countable,
    )


def void_labels(true: Segments, outside: Outside) -> Bool:
    """Which true labels are void, (n_true + 2,), unknown ground last."""
    void = np.append(true.void, True)
    void[0] = outside == "ignore"
    return void


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """``predicted``, ``true`` (n,) labels of the matches and their ``iou`` (n,), sorted by predicted label;
    ``false_positive`` (n_predicted + 1,) and ``false_negative`` (n_true + 1,) the segments that fail."""

    predicted: Int64
    true: Int64
    iou: NDArray[np.float64]
    false_positive: Bool
    false_negative: Bool


def match(
    table: Contingency,
    predicted: Segments,
    true: Segments,
    *,
    outside: Outside = "count",
    protocol: Protocol = "coco",
    min_area_px: float = 0,
) -> Matches:
    """Match every segment, or count it as wrong.

    True segments below ``min_area_px`` are neither found nor missed, and predictions that match them or,
    unmatched, are as small are neither right nor wrong.
    """
    overlap = overlap_of(table, predicted, true, outside=outside)
    # In integers: an IoU of exactly one half is no match, whatever a division rounds to.
    hit = 2 * overlap.shared_px > overlap.union_px
    if protocol == "pastis":
        hit &= ~_covers_void(table, predicted, true, overlap)[overlap.predicted]
    p, t = overlap.predicted[hit], overlap.true[hit]
    matched_p, matched_t = np.zeros(len(predicted) + 1, bool), np.zeros(len(true) + 1, bool)
    matched_p[p], matched_t[t] = True, True
    size_px = overlap.predicted_px + overlap.void_px
    wrong = ~matched_p & (size_px > 0) & (size_px >= min_area_px)
    wrong &= ~excused(table, predicted, true, overlap, protocol=protocol, outside=outside)
    wrong[0] = False
    large = overlap.true_px >= min_area_px
    counted = large[t]
    return Matches(
        predicted=p[counted],
        true=t[counted],
        iou=overlap.iou[hit][counted],
        false_positive=wrong,
        false_negative=overlap.countable & ~matched_t & large,
    )


def excused(
    table: Contingency,
    predicted: Segments,
    true: Segments,
    overlap: Overlap,
    *,
    protocol: Protocol,
    outside: Outside,
) -> Bool:
    """Predicted segments that are not wrong even where they match nothing, (n_predicted + 1,)."""
    p, t = table.predicted, table.true
    size_px = overlap.predicted_px + overlap.void_px
    if protocol == "pastis":
        return _covers_void(table, predicted, true, overlap) | (overlap.predicted_px == 0)
    on_crowd = (p > 0) & (t > UNKNOWN)
    on_crowd[on_crowd] = (true.crowd & ~void_labels(true, outside)[:-1])[t[on_crowd]] & (
        predicted.category[p[on_crowd]] == true.category[t[on_crowd]]
    )
    crowd_px = np.bincount(p[on_crowd], table.shared_px[on_crowd], minlength=len(size_px)).astype(np.int64)
    return 2 * (overlap.void_px + crowd_px) > size_px


def _covers_void(table: Contingency, predicted: Segments, true: Segments, overlap: Overlap) -> Bool:
    """Predicted segments whose IoU with one void object is above one half, (n_predicted + 1,)."""
    on_object = table.true > 0
    on_object[on_object] = true.void[table.true[on_object]]
    p, shared_px = table.predicted[on_object], table.shared_px[on_object]
    size_px = overlap.predicted_px + overlap.void_px
    covers = 2 * shared_px > size_px[p] + overlap.true_px[table.true[on_object]] - shared_px
    found = np.zeros(len(predicted) + 1, np.bool_)
    found[p[covers]] = True
    return found
