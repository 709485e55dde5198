"""All figures of one comparison with one rule for ground without a true segment, and how they are made."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from geopanoptic.evaluation.maps.ground import Ground
from geopanoptic.evaluation.maps.labelmap import LabelMap
from geopanoptic.evaluation.maps.segments import Category
from geopanoptic.evaluation.metrics.average_precision import average_precision
from geopanoptic.evaluation.metrics.boundaries import SeamContacts
from geopanoptic.evaluation.metrics.contingency import Contingency
from geopanoptic.evaluation.metrics.covering import (
    SegmentationErrors,
    best_iou,
    class_iou,
    parsing_covering,
    segmentation_errors,
)
from geopanoptic.evaluation.metrics.matching import Matches, Outside, overlap_of
from geopanoptic.evaluation.metrics.panoptic_quality import PanopticQuality, mean_quality, quality_by_category

SIZES_HA = (0.0, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 50.0, math.inf)
"""Edges of the size classes of true objects, in hectares; half-open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapPair:
    """Both maps on their common ground."""

    predicted: LabelMap
    true: LabelMap
    ground: Ground
    predicted_name: str
    true_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFigures:
    """Of one class; NaN where the class has no true ground, the average precisions also without scores."""

    category: Category
    quality: PanopticQuality
    covering: float
    iou: float
    ap: float
    ap50: float
    ap75: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeRecall:
    """True objects of ``from_ha`` to below ``to_ha`` hectares, and how many of them were found."""

    from_ha: float
    to_ha: float
    found: int
    objects: int

    @property
    def name(self) -> str:
        if math.isinf(self.to_ha):
            return f">= {self.from_ha:g} ha"
        return f"{self.from_ha:g}-{self.to_ha:g} ha"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectFigures:
    """Of all things together. ``recall``: share of true objects whose best IoU is above one half."""

    true: int
    predicted: int
    recall: float
    mean_best_iou: float
    errors: SegmentationErrors
    by_size: tuple[SizeRecall, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeamFigures:
    """Things that touch the borders of a lattice of tiles, and the others."""

    touching: PanopticQuality
    others: PanopticQuality


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """With one rule for predictions on ground without a true segment."""

    matches: Matches
    classes: tuple[ClassFigures, ...]
    objects: ObjectFigures
    seams: SeamFigures | None

    def mean(self, which: str) -> dict[str, float]:
        """Means over the classes of ``all``, ``things`` or ``stuff`` that the figure is known of."""
        chosen = [
            each for each in self.classes if which in ("all", f"{each.category.kind}s", each.category.kind)
        ]
        quality = mean_quality([each.quality for each in chosen])
        return {
            "pq": quality.pq,
            "sq": quality.sq,
            "rq": quality.rq,
            "covering": _mean([each.covering for each in chosen]),
            "iou": _mean([each.iou for each in chosen]),
            "ap": _mean([each.ap for each in chosen]),
            "ap50": _mean([each.ap50 for each in chosen]),
            "ap75": _mean([each.ap75 for each in chosen]),
        }


def _mean(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


class SeamPair:
    """Contacts of both maps with one lattice."""

    def __init__(self, pair: MapPair, tile_px: int) -> None:
        self.predicted = SeamContacts(len(pair.predicted.segments), tile_px=tile_px)
        self.true = SeamContacts(len(pair.true.segments), tile_px=tile_px)


def figures_of(
    pair: MapPair,
    table: Contingency,
    matches: Matches,
    categories: tuple[Category, ...],
    rule: Outside,
    min_area_px: float,
    seams: SeamPair | None,
) -> Figures:
    """All figures with one rule; ``matches`` are those of that rule."""
    ours, theirs = pair.predicted.segments, pair.true.segments
    overlap = overlap_of(table, ours, theirs, outside=rule)
    quality = quality_by_category(matches, ours, theirs)
    covering = parsing_covering(overlap, theirs)
    iou = class_iou(table, ours, theirs, outside=rule)
    precision = average_precision(table, ours, theirs, outside=rule)
    classes = []
    for each in categories:
        ap = precision.get(each.id) if each.kind == "thing" else None
        classes.append(
            ClassFigures(
                category=each,
                quality=quality.get(each.id, PanopticQuality()),
                covering=covering.get(each.id, math.nan),
                iou=iou.get(each.id, math.nan),
                ap=ap.ap if ap else math.nan,
                ap50=ap.ap50 if ap else math.nan,
                ap75=ap.ap75 if ap else math.nan,
            )
        )
    things = np.zeros(len(theirs) + 1, bool)
    things[1 : pair.true.n_things + 1] = True
    errors = segmentation_errors(overlap, things)
    counted = things & overlap.countable & (overlap.true_px >= min_area_px)
    known_px = table.predicted_px_where(np.arange(table.n_true + 2) <= table.n_true)
    best = best_iou(overlap)[counted]
    found = np.zeros(len(theirs) + 1, bool)
    found[matches.true] = True
    return Figures(
        matches=matches,
        classes=tuple(classes),
        objects=ObjectFigures(
            true=int(counted.sum()),
            predicted=int((known_px > 0)[1 : pair.predicted.n_things + 1].sum()),
            recall=float((best > 0.5).mean()) if len(best) else math.nan,
            mean_best_iou=float(best.mean()) if len(best) else math.nan,
            errors=errors,
            by_size=_by_size(overlap.true_px * pair.ground.pixel_m2 / 1e4, found, counted),
        ),
        seams=None if seams is None else _seam_figures(matches, pair, seams),
    )


def _by_size(size_ha: np.ndarray, found: np.ndarray, counted: np.ndarray) -> tuple[SizeRecall, ...]:
    rows = []
    for low, high in zip(SIZES_HA[:-1], SIZES_HA[1:], strict=True):
        within = counted & (low <= size_ha) & (size_ha < high)
        if within.any():
            rows.append(
                SizeRecall(
                    from_ha=low, to_ha=high, found=int((found & within).sum()), objects=int(within.sum())
                )
            )
    return tuple(rows)


def _seam_figures(matches: Matches, pair: MapPair, seams: SeamPair) -> SeamFigures:
    """A match belongs to its true object; things only."""
    n, m = pair.predicted.n_things, pair.true.n_things
    sums = []
    for touching in (True, False):
        chosen = (seams.true.touching[matches.true] == touching) & (matches.true <= m)
        wrong = (matches.false_positive & (seams.predicted.touching == touching))[: n + 1]
        missed = (matches.false_negative & (seams.true.touching == touching))[: m + 1]
        sums.append(
            PanopticQuality(
                true_positives=int(chosen.sum()),
                false_positives=int(wrong.sum()),
                false_negatives=int(missed.sum()),
                iou_sum=float(matches.iou[chosen].sum()),
            )
        )
    return SeamFigures(touching=sums[0], others=sums[1])
