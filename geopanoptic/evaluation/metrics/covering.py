"""Figures without a matching threshold: Parsing Covering, and mean IoU of the classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geopanoptic.evaluation.maps.segments import Segments
from geopanoptic.evaluation.metrics.contingency import Contingency
from geopanoptic.evaluation.metrics.matching import Outside, Overlap, void_labels

Figures = dict[int, float]


def parsing_covering(overlap: Overlap, true: Segments) -> Figures:
    """Covering of every category with true ground (Yang et al., DeeperLab, 2019).

    The mean over true segments, weighted by their size, of the greatest IoU with a predicted segment of
    their class; void pixels are left out of both.
    """
    best = best_iou(overlap)
    weight = np.where(overlap.countable, overlap.true_px, 0)
    size = int(true.category.max()) + 1
    area = np.bincount(true.category, weight, minlength=size)
    covered = np.bincount(true.category, weight * best, minlength=size)
    return {each: float(covered[each] / area[each]) for each in np.flatnonzero(area).tolist()}


def best_iou(overlap: Overlap) -> np.ndarray:
    """Greatest IoU of every true segment with one of its class, (n_true + 1,), 0 where nothing overlaps."""
    best = np.zeros(len(overlap.countable))
    np.maximum.at(best, overlap.true, overlap.iou)
    return best


def class_iou(table: Contingency, predicted: Segments, true: Segments, *, outside: Outside) -> Figures:
    """IoU of the pixels of every category with true ground; void and crowds are left out."""
    skipped = void_labels(true, outside)
    skipped[:-1] |= true.crowd
    known = ~skipped[table.true]
    of_predicted = predicted.category[table.predicted[known]]
    of_true = true.category[table.true[known]]
    pixels = table.shared_px[known]
    size = 1 + int(max(predicted.category.max(), true.category.max()))
    both = of_predicted == of_true
    shared = np.bincount(of_true[both], pixels[both], minlength=size)
    ours = np.bincount(of_predicted, pixels, minlength=size)
    theirs = np.bincount(of_true, pixels, minlength=size)
    union = ours + theirs - shared
    return {each: float(shared[each] / union[each]) for each in np.flatnonzero(theirs).tolist() if each}


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentationErrors:
    """How true objects are cut up and joined.

    ``over`` and ``under``: means over true objects of 1 - |O & S| / |O| and 1 - |O & S| / |S|, where S is the
    predicted object that shares most with O (Persello and Bruzzone, 2010; Clinton et al., 2010); an object
    that nothing overlaps has over 1 and no under. ``distance``: root mean square of the two, of the means.
    ``splits`` (k,) true labels and ``merges`` (m,) predicted labels after Hoover et al., 1996, with T = 1/2:
    an object is split where at least two predicted ones lie by half in it and cover half of it together; a
    predicted object is a merge where at least two true ones lie by half in it and fill half of it.
    """

    over: float
    under: float
    distance: float
    splits: np.ndarray
    merges: np.ndarray
    objects: int


def segmentation_errors(overlap: Overlap, things: np.ndarray) -> SegmentationErrors:
    """Of the countable true segments whose label is set in ``things`` (n_true + 1,) bool.

    Only predictions of the object's class are looked at; void pixels are left out.
    """
    chosen = things[overlap.true]
    p, t, shared = overlap.predicted[chosen], overlap.true[chosen], overlap.shared_px[chosen]
    p_px, t_px = overlap.predicted_px, overlap.true_px
    objects = np.flatnonzero(things & overlap.countable)

    order = np.lexsort((p, -shared, t))
    _, first = np.unique(t[order], return_index=True)
    best = order[first]
    of_object = 1 - shared[best] / t_px[t[best]]
    of_predicted = 1 - shared[best] / p_px[p[best]]
    n = len(objects)
    over = (of_object.sum() + (n - len(best))) / n if n else float("nan")
    under = float(of_predicted.mean()) if len(best) else float("nan")
    return SegmentationErrors(
        over=float(over),
        under=under,
        distance=float(np.sqrt((over**2 + under**2) / 2)),
        splits=_composed(t, 2 * shared >= p_px[p], shared, t_px),
        merges=_composed(p, 2 * shared >= t_px[t], shared, p_px),
        objects=n,
    )


def _composed(whole: np.ndarray, is_part: np.ndarray, shared: np.ndarray, whole_px: np.ndarray) -> np.ndarray:
    parts = np.bincount(whole[is_part], minlength=len(whole_px))
    covered = np.bincount(whole[is_part], shared[is_part], minlength=len(whole_px))
    return np.flatnonzero((parts >= 2) & (2 * covered >= whole_px))
