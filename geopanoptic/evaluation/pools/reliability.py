"""How far a score can be taken at its word: reliability diagram and expected calibration error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_BINS = 10


def calibration_error(score: NDArray[np.float64], matched: NDArray[np.bool_]) -> float:
    """Mean distance of score and share of matches over ten bins of score, weighted by their parcels.

    ``score`` (n,) in 0..1, ``matched`` (n,). Naeini et al., AAAI 2015. NaN without a parcel.
    """
    if not len(score):
        return float("nan")
    _, count, mean_score, share = _bins(score, matched)
    return float((count * np.abs(mean_score - share)).sum() / count.sum())


def draw_reliability(path: Path, score: NDArray[np.float64], matched: NDArray[np.bool_]) -> None:
    """Draw the share of parcels that match a true one over their score, as PNG."""
    from matplotlib.figure import Figure

    _, count, mean_score, share = _bins(score, matched)
    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    axes.plot(mean_score, share, color="#1f6b3a", linewidth=1.5)
    axes.scatter(
        mean_score, share, s=10 + 240 * count / count.max(), color="#1f6b3a", alpha=0.8, linewidths=0
    )
    axes.set(
        xlim=(0, 1),
        ylim=(0, 1),
        aspect="equal",
        xlabel="score",
        ylabel="share that matches a true parcel",
        title=f"{len(score)} parcels, calibration error {calibration_error(score, matched):.3f}",
    )
    figure.savefig(path, dpi=150, format="png")


def _bins(
    score: NDArray[np.float64], matched: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Of every bin that holds a parcel: its number, parcels, mean score, share of matches."""
    bins, inverse, count = np.unique(
        np.minimum((score * _BINS).astype(np.int64), _BINS - 1), return_inverse=True, return_counts=True
    )
    return bins, count, np.bincount(inverse, score) / count, np.bincount(inverse, matched) / count
