"""Fits ``spectra.json``: ``python -m geopanoptic.training.synthetic.spectra_fit POINTS.parquet``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2

from geopanoptic.training.synthetic.season_points import digital_months, first_month, is_clear
from geopanoptic.training.synthetic.spectra import BANDS, TABLE

WORLDCOVER = {"woodland": 10, "shrub": 20, "grass": 30, "crop": 40, "built-up": 50, "bare": 60, "water": 80}
COMPONENTS = {"woodland": 4, "shrub": 3, "grass": 6, "crop": 12, "built-up": 3, "bare": 3, "water": 3}
_TEMPERATE_DEG = 40.0


def fit(points: Path, *, seed: int = 0) -> dict[str, object]:
    """Fit the table from a parquet of points with columns ``OPTICAL-<band>-ts<month>-<10|20>m``."""
    frame = pd.read_parquet(points)
    covers: dict[str, object] = {}
    for cover, code in WORLDCOVER.items():
        rows = frame[frame["WORLDCOVER-LABEL-10m"] == code]
        summer_shift = np.where(rows["lat"].to_numpy() < 0, 6, 0)
        first = first_month(rows) + summer_shift
        calendar = np.concatenate([(first + step) % 12 for step in range(12)])
        temperate = np.tile(rows["lat"].abs().to_numpy() > _TEMPERATE_DEG, 12)
        digital = digital_months(rows).swapaxes(0, 1).reshape(-1, len(BANDS))
        blue, green, nir = (digital[:, i] for i in (0, 1, 6))
        clear = is_clear(digital)
        if cover == "water":
            clear &= (nir < green) & (blue < 800)
        if cover == "woodland":  # dense canopy is dark; what is bright here is open or burnt land
            clear &= blue < 550
        log = np.log(digital[clear] / 10000)
        _, label = kmeans2(log, COMPONENTS[cover], seed=seed, minit="++", iter=50)
        parts: dict[str, list[object]] = {"weight": [], "mean": [], "factor": []}
        kept = []
        for k in range(COMPONENTS[cover]):
            member = log[label == k]
            if len(member) < 12:
                continue
            kept.append(k)
            covariance = np.cov(member.T) + 1e-4 * np.eye(len(BANDS))
            parts["weight"].append(round(len(member) / len(log), 4))
            parts["mean"].append(np.round(member.mean(0), 3).tolist())
            parts["factor"].append(np.round(np.linalg.cholesky(covariance), 4).tolist())
        covers[cover] = {**parts, "season": _season(label, calendar[clear], temperate[clear], kept)}
    return {
        "bands": list(BANDS),
        "source": "WorldCereal global-500 point table, ESA WorldCover labels",
        "covers": covers,
    }


def _season(
    label: NDArray[np.int32], month: NDArray[np.int64], temperate: NDArray[np.bool_], kept: list[int]
) -> list[list[float]]:
    """Shares (12, k) of the kept components by month; the months beside count half."""
    count = np.zeros((12, len(kept)))
    for column, k in enumerate(kept):
        count[:, column] = np.bincount(month[temperate & (label == k)], minlength=12)
    count += (np.roll(count, 1, 0) + np.roll(count, -1, 0)) / 2 + 0.05
    return np.round(count / count.sum(1, keepdims=True), 4).tolist()


if __name__ == "__main__":
    TABLE.write_text(json.dumps(fit(Path(sys.argv[1])), indent=None, separators=(",", ":")) + "\n")
