"""Reflectance of land cover as mixtures of log-normals, fitted to real Sentinel-2 seasons.

``spectra.json`` beside this file holds, per cover, component weights (over the year and by month), means and
Cholesky factors of the natural logarithm of reflectance (0..1) in the ten bands of ``BANDS``. It summarises 500 points worldwide
over twelve months (Sentinel-2 L2A monthly composites with ESA WorldCover labels; the point table
``global-500`` of the WorldCereal project); numbers, no points. ``python -m geopanoptic.training.synthetic.spectra_fit
POINTS.parquet`` fits it again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BANDS = (
    "blue",
    "green",
    "red",
    "rededge1",
    "rededge2",
    "rededge3",
    "nir",
    "nir08",
    "swir16",
    "swir22",
)
SENTINEL2 = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
TABLE = Path(__file__).with_name("spectra.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """Components of one cover: weight (k,), mean (k, 10) and Cholesky factor (k, 10, 10) of log reflectance.

    ``season`` (12, k): weights in January to December of the northern temperate zone.
    """

    weight: NDArray[np.float64]
    season: NDArray[np.float64]
    mean: NDArray[np.float64]
    factor: NDArray[np.float64]

    def draw(
        self,
        rng: np.random.Generator,
        n: int,
        *,
        month: int | None = None,
        components: NDArray[np.int64] | None = None,
        spread: float = 1.0,
    ) -> NDArray[np.float64]:
        """``n`` reflectances (n, 10) of a month (1..12) or of any, from all components or only ``components``."""
        chosen = np.arange(len(self.weight)) if components is None else components
        weight = (self.weight if month is None else self.season[month - 1])[chosen]
        weight = weight / weight.sum()
        k = rng.choice(chosen, size=n, p=weight)
        noise = np.einsum("nij,nj->ni", self.factor[k], rng.normal(size=(n, len(BANDS))))
        return np.clip(np.exp(self.mean[k] + spread * noise), 1e-3, 1.0)


@cache
def mixtures() -> dict[str, Mixture]:
    """The fitted mixtures by cover."""
    table = json.loads(TABLE.read_text())
    return {
        cover: Mixture(**{name: np.array(values) for name, values in parts.items()})
        for cover, parts in table["covers"].items()
    }
