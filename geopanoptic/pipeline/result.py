"""What a run gives back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import xarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The panoptic map of one scene."""

    parcels: geopandas.GeoDataFrame
    """Things, one valid polygon each, with the columns of ``products.layers.PARCELS``: parcel_id, class_id,
    class_name, score (0..1), area_m2, perimeter_m, centre_x, centre_y."""
    landcover: geopandas.GeoDataFrame
    """Stuff, one polygon per connected area: class_id, class_name, area_m2."""
    rasters: xarray.Dataset | None
    """``class`` (uint8), ``parcel_id`` (int32) and ``confidence`` (uint8, 255 = 1) on the output grid, 0 where
    there is no data. Lazy when read from files; None when the run wrote a GeoPackage without rasters."""
    report: dict[str, Any]
    """What ran: scene, model, parameters, versions, seconds per stage, rates, warnings."""
    out: Path | None
    """The GeoPackage, where one was written."""

    def __repr__(self) -> str:
        where = f", out={str(self.out)!r}" if self.out else ""
        return f"<Result: {len(self.parcels):,} parcels, {len(self.landcover):,} land-cover areas{where}>"
