"""Real seasons at points: monthly Sentinel-2 reflectance by calendar month of the north, clouds taken out.

Reads tables like the WorldCereal project's ``global-500``: columns ``OPTICAL-<band>-ts<month>-<10|20>m`` (x 10000,
65535 missing), ``lat``, ``start_date``, ``WORLDCOVER-LABEL-10m``, ``LANDCOVER_LABEL`` and ``CROPTYPE_LABEL``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geopanoptic.training.synthetic.phenology import KINDS, MONTH_MIDDLE_DAY, YEAR_DAYS
from geopanoptic.training.synthetic.spectra import BANDS, SENTINEL2

if TYPE_CHECKING:
    import pandas

_TEMPERATE_DEG = 30.0
_LEAST_CLEAR_MONTHS = 7
_LEAST_GREEN = 0.5
_BLUE, _GREEN, _RED, _NIR, _SWIR = (BANDS.index(name) for name in ("blue", "green", "red", "nir", "swir16"))

# Codes of the WorldCereal legend. Spring-sown cereals share their season with summer crops.
_WINTER_CODES = (1110, 1510, 1610, 4351)
_SUMMER_CODES = (1120, 1200, 1300, 1400, 1520, 1800, 4100, 4200, 4380, 5000, 5100, 8100)
_EVERYWHERE = ("water", "built-up", "bare")  # few points, and hardly a season to keep apart
_ANNUAL, _PERENNIAL, _GRASS = 11, 12, 13
_COVERS = {
    "water": (80,),
    "woodland": (10,),
    "built-up": (50,),
    "other vegetation": (20, 30, 90),
    "bare": (60,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SeasonPoints:
    """``log_nmb`` (n, 12, 10): log reflectance in January to December, gaps filled; ``kind`` (n,) names."""

    log_nmb: NDArray[np.float64]
    kind: NDArray[np.str_]

    @property
    def ndvi_nm(self) -> NDArray[np.float64]:
        return ndvi(self.log_nmb)


def ndvi(log_b: NDArray[np.float64]) -> NDArray[np.float64]:
    """NDVI of log reflectance (..., 10)."""
    red, nir = np.exp(log_b[..., _RED]), np.exp(log_b[..., _NIR])
    return np.asarray((nir - red) / (nir + red))


def is_winter_shaped(ndvi_nm: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Greener in March to May than in July to September: sown in autumn, ripe in early summer."""
    return ndvi_nm[:, 2:5].mean(1) > ndvi_nm[:, 6:9].mean(1)


def read_points(path: Path) -> SeasonPoints:
    """Points with at least seven clear months, temperate ones of what grows; the south is moved by half a year."""
    import pandas as pd

    frame = pd.read_parquet(path)
    digital, first = digital_months(frame), first_month(frame)
    first += np.where(frame["lat"].to_numpy() < 0, 6, 0)
    month = (np.arange(12) - first[:, None]) % 12
    digital = np.take_along_axis(digital, month[..., None], axis=1)
    clear = is_clear(digital)
    enough = clear.sum(1) >= _LEAST_CLEAR_MONTHS
    log_nmb = np.stack(
        [_filled(values, seen) for values, seen in zip(digital[enough], clear[enough], strict=True)]
    )
    frame = frame[enough]
    kind = _kinds(
        frame["WORLDCOVER-LABEL-10m"].to_numpy(),
        frame["LANDCOVER_LABEL"].to_numpy(),
        frame["CROPTYPE_LABEL"].to_numpy(),
        ndvi(log_nmb),
    )
    kind[(frame["lat"].abs().to_numpy() <= _TEMPERATE_DEG) & ~np.isin(kind, _EVERYWHERE)] = ""
    return SeasonPoints(log_nmb=log_nmb[kind != ""], kind=kind[kind != ""])


def digital_months(frame: pandas.DataFrame) -> NDArray[np.float64]:
    """Reflectance x 10000 (n, 12, 10) of a table's twelve steps."""
    return np.stack(
        [
            frame[
                [next(c for c in frame if c.startswith(f"OPTICAL-{band}-ts{step}-")) for band in SENTINEL2]
            ].to_numpy(np.float64)
            for step in range(12)
        ],
        axis=1,
    )


def first_month(frame: pandas.DataFrame) -> NDArray[np.int64]:
    """Month (n,), 0 for January, of step 0: that of start_date, which some give by the days before it."""
    import pandas as pd

    start = pd.to_datetime(frame["start_date"]) + pd.Timedelta(days=7)
    return start.dt.month.to_numpy(np.int64) - 1


def is_clear(digital_nmb: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Clouds and snow are bright in blue, snow also dark in the short infrared; 65535 is missing."""
    blue, green, swir = (digital_nmb[..., band] for band in (_BLUE, _GREEN, _SWIR))
    known = ((digital_nmb < 12000) & (digital_nmb > 1)).all(-1)
    return np.asarray(known & (blue < 1600) & ~((green > 1500) & (swir < 900)))


def _filled(digital_mb: NDArray[np.float64], clear_m: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Log reflectance with the other months interpolated around the year."""
    known = MONTH_MIDDLE_DAY[clear_m]
    log = np.log(digital_mb[clear_m] / 10000)
    return np.stack([np.interp(MONTH_MIDDLE_DAY, known, band, period=YEAR_DAYS) for band in log.T], axis=1)


def _kinds(
    worldcover: NDArray[np.int64],
    landcover: NDArray[np.int64],
    crop: NDArray[np.int64],
    ndvi_nm: NDArray[np.float64],
) -> NDArray[np.str_]:
    """Names by crop code where there is one, else by land cover and the season's shape; "" for neither."""
    kind = np.full(len(crop), "", dtype="<U24")
    for name, codes in _COVERS.items():
        kind[(crop == 0) & ((landcover >= 20) | np.isin(name, _EVERYWHERE)) & np.isin(worldcover, codes)] = (
            name
        )
    winter = is_winter_shaped(ndvi_nm)
    annual = (landcover == _ANNUAL) & (np.ptp(ndvi_nm, axis=1) > 0.25)
    kind[annual] = np.where(winter, "winter crop", "summer crop")[annual]
    kind[np.isin(crop, _WINTER_CODES)] = "winter crop"
    kind[np.isin(crop, _SUMMER_CODES)] = "summer crop"
    kind[landcover == _GRASS] = "grassland"
    kind[landcover == _PERENNIAL] = "permanent or other crop"
    kind[np.isin(kind, KINDS) & (ndvi_nm.max(1) < _LEAST_GREEN)] = (
        ""  # steppe and fallow, which nobody maps as fields
    )
    return kind
