"""Panoptic quality by the COCO protocol (Kirillov et al., CVPR 2019), summed over images.

A predicted and a true segment of one class match where their IoU is above one half, strictly; the union
leaves out predicted pixels whose truth is void. An unmatched prediction that lies by more than half on
void is ignored, every other one is a false positive; an unmatched true segment is a false negative.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from geopanoptic.evaluation.matching import overlaps


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
    def sq(self) -> float:
        """Segmentation quality: mean IoU of the matches."""
        return self.iou_sum / self.true_positives if self.true_positives else float("nan")

    @property
    def rq(self) -> float:
        """Recognition quality: the F1 score of the segments."""
        weight = self.true_positives + (self.false_positives + self.false_negatives) / 2
        return self.true_positives / weight if weight else float("nan")

    @property
    def pq(self) -> float:
        """Panoptic quality, SQ x RQ."""
        weight = self.true_positives + (self.false_positives + self.false_negatives) / 2
        return self.iou_sum / weight if weight else float("nan")


SIZE_CLASSES_PX = ((0, 100), (100, 400), (400, 1200), (1200, 4000), (4000, 10**12))
"""Half-open ranges of true size in pixels for the recall table."""


def add_image(
    total: dict[int, PanopticQuality],
    predicted: NDArray[np.integer],
    predicted_class: Mapping[int, int],
    true: NDArray[np.integer],
    true_class: Mapping[int, int],
    *,
    void: NDArray[np.bool_] | None = None,
) -> None:
    """Add one image's segments to ``total`` (class id -> counts).

    ``predicted`` and ``true`` (h, w) hold segment ids, 0 for none; the mappings give each id's class.
    ``void`` (h, w) is True where the truth is unknown; true segments there are left out.
    """
    true = np.where(void, 0, true) if void is not None else true
    # Void is told apart from "known to be no segment" by an id of its own.
    void_id = int(true.max(initial=0)) + 1
    table = overlaps(predicted, np.where(void, void_id, true) if void is not None else true)
    on_void = dict.fromkeys(table.predicted_px, 0)
    for p, t, shared in zip(
        table.predicted.tolist(), table.true.tolist(), table.shared_px.tolist(), strict=True
    ):
        if t == void_id:
            on_void[p] = shared

    matched_predicted: set[int] = set()
    matched_true: set[int] = set()
    for p, t, shared in zip(
        table.predicted.tolist(), table.true.tolist(), table.shared_px.tolist(), strict=True
    ):
        if p == 0 or t in (0, void_id) or predicted_class[p] != true_class[t]:
            continue
        union = table.predicted_px[p] + table.true_px[t] - shared - on_void[p]
        if 2 * shared > union:
            counts = total.setdefault(true_class[t], PanopticQuality())
            counts.true_positives += 1
            counts.iou_sum += shared / union
            matched_predicted.add(p)
            matched_true.add(t)
    for p, size in table.predicted_px.items():
        if p and p not in matched_predicted and 2 * on_void[p] <= size:
            total.setdefault(predicted_class[p], PanopticQuality()).false_positives += 1
    for t, size in table.true_px.items():
        if t in (0, void_id):
            continue
        counts = total.setdefault(true_class[t], PanopticQuality())
        counts.false_negatives += t not in matched_true
        for low, high in SIZE_CLASSES_PX:
            if low <= size < high:
                found = counts.recall_by_size.setdefault(
                    f"{low}-{high}" if high < 10**12 else f"{low}+", [0, 0]
                )
                found[0] += t in matched_true
                found[1] += 1
