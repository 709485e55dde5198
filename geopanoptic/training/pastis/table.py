"""Scores in the form in which papers on PASTIS state them, beside the published ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geopanoptic.evaluation.metrics.matching import PROTOCOLS, Protocol
from geopanoptic.evaluation.metrics.panoptic_quality import PanopticQuality
from geopanoptic.training.pastis.folder import CROPS
from geopanoptic.training.pastis.scoring import FoldScore, Score

PUBLISHED = (
    ("U-ConvLSTM + PaPs", 80.2, 43.9, 35.6),
    ("U-TAE + PaPs", 81.5, 53.2, 43.8),
    ("Exchanger + UNet + PaPs", 80.3, 58.9, 47.8),
    ("Exchanger + Mask2Former", 84.6, 61.6, 52.6),
)
"""SQ, RQ and PQ in per cent, means over the five folds; U-TAE after the correction of its metric in 2022."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldTable:
    """Scores of some of the five folds, printed as Markdown or kept as JSON."""

    name: str
    folds: Sequence[FoldScore]

    def __str__(self) -> str:
        rows = ["| model | fold | patches | protocol | SQ | RQ | PQ | PQ of parcels |", "|---" * 8 + "|"]
        for protocol in PROTOCOLS:
            figures = []
            for each in self.folds:
                score = each.scores[protocol]
                figures.append((score.mean.sq, score.mean.rq, score.mean.pq, score.parcels.pq))
                rows.append(_row(self.name, str(each.fold), each.patches, protocol, figures[-1]))
            patches = sum(each.patches for each in self.folds)
            means = tuple(np.mean(figures, axis=0).tolist())
            rows.append(_row(f"**{self.name}**", f"mean of {len(self.folds)}", patches, protocol, means))
        for name, sq, rq, pq in PUBLISHED:
            rows.append(f"| {name}, published | mean of 5 | 2433 | pastis | {sq} | {rq} | {pq} | - |")
        return "\n".join(rows)

    def to_dict(self) -> dict[str, Any]:
        """Counts and qualities of every fold, protocol and class, as JSON has them."""
        return {
            "model": self.name,
            "folds": [fold_to_dict(each) for each in self.folds],
        }


def fold_to_dict(scored: FoldScore) -> dict[str, Any]:
    """Counts and qualities of one fold, as JSON has them."""
    return {
        "fold": scored.fold,
        "patches": scored.patches,
        "protocols": {
            protocol: {
                "sq": _finite(score.mean.sq),
                "rq": _finite(score.mean.rq),
                "pq": _finite(score.mean.pq),
                "parcels": _counts(score.parcels),
                "classes": {CROPS[number - 1]: _counts(q) for number, q in score.by_class.items()},
            }
            for protocol, score in scored.scores.items()
        },
    }


def fold_from_dict(stated: dict[str, Any]) -> FoldScore:
    """What the table needs of a fold, from ``fold_to_dict``. Raises KeyError, TypeError or ValueError otherwise."""
    return FoldScore(
        fold=stated["fold"],
        patches=stated["patches"],
        scores={
            protocol: Score(
                by_class={
                    CROPS.index(name) + 1: _quality(counts)
                    for name, counts in stated["protocols"][protocol]["classes"].items()
                },
                parcels=_quality(stated["protocols"][protocol]["parcels"]),
            )
            for protocol in PROTOCOLS
        },
    )


def _row(name: str, fold: str, patches: int, protocol: Protocol, figures: Sequence[float]) -> str:
    shown = " | ".join("-" if math.isnan(figure) else f"{100 * figure:.1f}" for figure in figures)
    return f"| {name} | {fold} | {patches} | {protocol} | {shown} |"


def _counts(quality: PanopticQuality) -> dict[str, float | None]:
    return {
        "pq": _finite(quality.pq),
        "tp": quality.true_positives,
        "fp": quality.false_positives,
        "fn": quality.false_negatives,
        "iou_sum": quality.iou_sum,
    }


def _quality(counts: dict[str, Any]) -> PanopticQuality:
    return PanopticQuality(
        true_positives=counts["tp"],
        false_positives=counts["fp"],
        false_negatives=counts["fn"],
        iou_sum=counts["iou_sum"],
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
