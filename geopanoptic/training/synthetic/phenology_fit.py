"""Fits ``phenology.json``: ``python -m geopanoptic.training.synthetic.phenology_fit POINTS.parquet SEASONS.tsv``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopanoptic.training.synthetic.phenology import COVERS, KINDS, TABLE, YEAR_DAYS
from geopanoptic.training.synthetic.season_points import is_winter_shaped, ndvi, read_points

_COMPONENTS = 3
_BARE_NDVI = (0.1, 0.25)
_SHIFTS_DAYS = np.arange(-48, 49, 8)
_STEPS = 46


def fit(points: Path, seasons: Path) -> dict[str, object]:
    """The table of real seasons at ``points`` (see ``season_points``) and index ``seasons``.

    ``seasons`` is tab-separated without header: a class, then 46 values of one year.
    """
    table = read_points(points)
    fitted = {kind: _season(table.log_nmb[table.kind == kind]) for kind in (*KINDS, *COVERS)}
    crops = table.log_nmb[np.isin(table.kind, KINDS[:2])].reshape(-1, table.log_nmb.shape[-1])
    index = ndvi(crops)
    bare = crops[(index > _BARE_NDVI[0]) & (index < _BARE_NDVI[1])]
    factor = np.linalg.cholesky(np.cov(bare.T) + 1e-4 * np.eye(bare.shape[1]))
    return {
        "source": "WorldCereal global-500 points with ESA WorldCover labels; 7,200 index seasons in 46 steps",
        "points": {kind: int((table.kind == kind).sum()) for kind in (*KINDS, *COVERS)},
        "seasons": fitted,
        "soil": {"mean": _rounded(bare.mean(0)), "factor": _rounded(factor)},
        "shift_days": _shifts(np.loadtxt(seasons, delimiter="\t")),
    }


def _season(log_nmb: NDArray[np.float64]) -> dict[str, object]:
    mean = log_nmb.mean(0)
    deviation = (log_nmb - mean).reshape(len(log_nmb), -1)
    _, size, direction = np.linalg.svd(deviation, full_matrices=False)
    count = min(_COMPONENTS, len(log_nmb) - 1)
    components = direction[:count] * size[:count, None] / np.sqrt(max(len(log_nmb) - 1, 1))
    left = deviation - deviation @ direction[:count].T @ direction[:count]
    rest = left.reshape(log_nmb.shape).std(axis=(0, 1), dtype=np.float64)
    return {
        "mean": _rounded(mean),
        "components": _rounded(components.reshape(-1, *mean.shape)),
        "rest": _rounded(rest),
    }


def _shifts(series: NDArray[np.float64]) -> dict[str, float]:
    """Standard deviation in days of the shift that brings a season closest to the mean of its class.

    Only classes with one clear season count, as winter or summer crops by its shape.
    """
    months = np.linspace(0, _STEPS, 13).round().astype(int)
    spread: dict[str, list[float]] = {kind: [] for kind in KINDS[:2]}
    for label in np.unique(series[:, 0]):
        values = series[series[:, 0] == label, 1:]
        mean = values.mean(0)
        if np.ptp(mean) < 0.35:
            continue
        by_month = np.array([mean[a:b].mean() for a, b in zip(months[:-1], months[1:], strict=True)])
        step_days = YEAR_DAYS / _STEPS
        moved = np.stack([np.roll(mean, round(days / step_days)) for days in _SHIFTS_DAYS])
        centred = moved - moved.mean(1, keepdims=True)
        best = (values @ centred.T).argmax(1)
        kind = KINDS[0] if is_winter_shaped(by_month[None])[0] else KINDS[1]
        spread[kind].append(float(_SHIFTS_DAYS[best].std()))
    return {kind: round(float(np.median(days)), 1) for kind, days in spread.items()}


def _rounded(values: NDArray[np.floating[Any]]) -> list[object]:
    return np.round(values, 3).tolist()


def main() -> None:
    points, seasons = map(Path, sys.argv[1:3])
    TABLE.write_text(json.dumps(fit(points, seasons), separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
