"""Seasons of crops and land cover: twelve months by ten bands of log reflectance, coherent over the year.

``phenology.json`` beside this file holds, per kind, the mean season, a few principal components over the whole
season (scaled to one standard deviation) and what is left, with the bare soil of fields between crops; and how
far sowing shifts among fields. It summarises the WorldCereal project's ``global-500`` points (Sentinel-2 L2A
monthly composites 2016-2021 with crop codes and ESA WorldCover labels) and a table of 7,200 vegetation index
seasons in 46 steps; numbers, no points. ``python -m geopanoptic.training.synthetic.phenology_fit POINTS.parquet
SEASONS.tsv`` fits it again.

Winter and summer crops are told apart by the crop's code, else by the season: greener in March to May than in
July to September is a winter crop. A monthly mean over many fields has no sharp sowing and harvest; those are
added by ``seasons``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geopanoptic.training.synthetic.spectra import BANDS

KINDS = ("winter crop", "summer crop", "grassland", "permanent or other crop")
"""Kinds of parcels, in the order of the series bundle's classes."""
COVERS = ("water", "woodland", "built-up", "other vegetation", "bare")
"""The ground between parcels, in the order of the series bundle's classes."""
YEAR_DAYS = 365.25
MONTH_MIDDLE_DAY = YEAR_DAYS * (np.arange(12) + 0.5) / 12
TABLE = Path(__file__).with_name("phenology.json")
_FARTHEST = 2.0  # standard deviations

LogReflectance = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Season:
    """One kind: ``mean`` (12, 10) and ``components`` (k, 12, 10) of log reflectance; ``rest`` (10,) deviation."""

    mean: NDArray[np.float64]
    components: NDArray[np.float64]
    rest: NDArray[np.float64]

    def draw(self, rng: np.random.Generator, n: int, *, spread: float = 1.0) -> LogReflectance:
        """``n`` seasons (n, 12, 10) in January to December; ``spread`` 0 gives the mean."""
        score = np.clip(rng.normal(size=(n, len(self.components))), -_FARTHEST, _FARTHEST)
        tint = np.clip(rng.normal(size=(n, 1, len(BANDS))), -_FARTHEST, _FARTHEST) * self.rest * 0.5
        return self.mean + spread * (np.einsum("nk,kmb->nmb", score, self.components) + tint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phenology:
    """All kinds by name; ``soil_mean`` (10,) and ``soil_factor`` (10, 10) of bare fields' log reflectance;
    ``shift_days``, the standard deviation of sowing among fields, by kind of crop."""

    seasons: dict[str, Season]
    soil_mean: NDArray[np.float64]
    soil_factor: NDArray[np.float64]
    shift_days: dict[str, float]

    def soils(self, rng: np.random.Generator, n: int, *, spread: float = 1.0) -> LogReflectance:
        """Log reflectance (n, 10) of ``n`` bare soils."""
        noise = np.clip(rng.normal(size=(n, len(BANDS))), -_FARTHEST, _FARTHEST)
        return self.soil_mean + spread * noise @ self.soil_factor.T


@cache
def phenology() -> Phenology:
    """The fitted table."""
    table = json.loads(TABLE.read_text())
    return Phenology(
        seasons={
            kind: Season(**{name: np.array(values) for name, values in season.items()})
            for kind, season in table["seasons"].items()
        },
        soil_mean=np.array(table["soil"]["mean"]),
        soil_factor=np.array(table["soil"]["factor"]),
        shift_days=table["shift_days"],
    )


def at_day(log_nmb: LogReflectance, day_n: NDArray[np.float64]) -> LogReflectance:
    """(n, 10): every season (n, 12, 10) on a day of the year of its own, linear between mid-months."""
    place = (np.asarray(day_n) / YEAR_DAYS * 12 - 0.5) % 12
    before = np.floor(place).astype(np.intp) % 12
    share = (place - np.floor(place))[:, None]
    rows = np.arange(len(log_nmb))
    return np.asarray(log_nmb[rows, before] * (1 - share) + log_nmb[rows, (before + 1) % 12] * share)
