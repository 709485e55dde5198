"""Average precision of scored objects, as COCO computes it for masks (Lin et al., ECCV 2014)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geopanoptic.evaluation.maps.segments import Segments
from geopanoptic.evaluation.metrics.contingency import Contingency
from geopanoptic.evaluation.metrics.matching import Outside, excused, overlap_of

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True, slots=True, kw_only=True)
class AveragePrecision:
    """``ap`` over IoU 0.50:0.05:0.95, and at 0.50 and 0.75."""

    ap: float
    ap50: float
    ap75: float


def average_precision(
    table: Contingency, predicted: Segments, true: Segments, *, outside: Outside
) -> dict[int, AveragePrecision]:
    """Of every category with countable true objects whose predictions have scores.

    Predictions are taken by falling score, equal ones in label order, without a limit to their number. The
    IoU is that of the panoptic quality, and an unmatched prediction that the COCO protocol excuses is left
    out. Predicted segments must not overlap each other, nor true ones; then every prediction has at most
    one candidate whose IoU another prediction also reaches, and no search is needed.
    """
    overlap = overlap_of(table, predicted, true, outside=outside)
    ignored = excused(table, predicted, true, overlap, protocol="coco", outside=outside)
    present = overlap.predicted_px + overlap.void_px > 0
    present[0] = False
    result = {}
    for category in np.unique(true.category[overlap.countable]).tolist():
        detections = np.flatnonzero(present & (predicted.category == category))
        if np.isnan(predicted.score[detections]).any():
            continue
        ranked = detections[np.argsort(-predicted.score[detections], kind="stable")]
        rank = np.full(len(predicted) + 1, -1)
        rank[ranked] = np.arange(len(ranked))
        pairs = true.category[overlap.true] == category
        order = np.lexsort((-overlap.iou[pairs], rank[overlap.predicted[pairs]]))
        p, t, iou = (each[pairs][order] for each in (overlap.predicted, overlap.true, overlap.iou))
        n_true = int(np.count_nonzero(overlap.countable & (true.category == category)))
        at = []
        for threshold in IOU_THRESHOLDS:
            found = _first_of_each(p[iou >= threshold], t[iou >= threshold])
            hit = np.zeros(len(predicted) + 1, bool)
            hit[found] = True
            at.append(_area_below(hit[ranked], ignored[ranked], n_true))
        result[category] = AveragePrecision(ap=float(np.mean(at)), ap50=at[0], ap75=at[5])
    return result


def _first_of_each(p: NDArray[np.int64], t: NDArray[np.int64]) -> NDArray[np.int64]:
    """Predictions that get a true object: each takes its first, each is taken by its first."""
    _, first = np.unique(p, return_index=True)
    first.sort()
    p, t = p[first], t[first]
    return p[np.unique(t, return_index=True)[1]]


def _area_below(hit: NDArray[np.bool_], ignored: NDArray[np.bool_], n_true: int) -> float:
    counted = hit | ~ignored
    hits = np.cumsum(hit[counted])
    if not len(hits):
        return 0.0
    precision = hits / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(hits / n_true, RECALLS, side="left")
    return float(np.append(envelope, 0.0)[at].mean())
