"""What a run gives back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import geopandas
import xarray

from geopanoptic.wording import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class VectorLayers(Protocol):
    """Where the two vector layers are to be had."""

    def parcels(self) -> geopandas.GeoDataFrame: ...

    def landcover(self) -> geopandas.GeoDataFrame: ...


@dataclass(frozen=True, kw_only=True)
class Result:
    """The panoptic map of one scene: ``parcels``, ``landcover``, ``rasters`` and ``report``. Its tables are made, or read from the file, when first asked for."""

    layers: VectorLayers
    rasters: xarray.Dataset | None
    """``class`` (uint8), ``parcel_id`` (int32) and ``confidence`` (uint8, 255 = 1) on the output grid, 0 where
    there is no data. Lazy when read from files; None when the run wrote a GeoPackage without rasters."""
    report: dict[str, Any]
    """What ran: scene, model, parameters, versions, seconds per stage, rates, warnings."""
    out: Path | None
    """The GeoPackage, where one was written."""

    @cached_property
    def parcels(self) -> geopandas.GeoDataFrame:
        """Things, one valid polygon each, with the columns of ``products.layers.PARCELS``: parcel_id, class_id,
        class_name, class_score and score (0..1), area_m2, perimeter_m, centre_x, centre_y."""
        return self.layers.parcels()

    @cached_property
    def landcover(self) -> geopandas.GeoDataFrame:
        """Stuff, one polygon per connected area: class_id, class_name, area_m2."""
        return self.layers.landcover()

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Draws parcels by class over the land cover, in map coordinates, on a matplotlib axes, which it returns."""
        import matplotlib.pyplot as plt

        axes: Axes = plt.subplots(figsize=(7, 7))[1] if ax is None else ax
        # As text: a legend would also list classes that do not occur.
        if len(self.landcover):
            kinds = self.landcover["class_name"].astype(str)
            self.landcover.plot(kinds, ax=axes, cmap="Pastel2", categorical=True)
        if len(self.parcels):
            self.parcels.plot(
                self.parcels["class_name"].astype(str), ax=axes, cmap="Set1", categorical=True, alpha=0.75,
                legend=True, edgecolor="black", linewidth=0.4, legend_kwds={"loc": "upper right"},
            )  # fmt: skip
        axes.set_aspect("equal")
        axes.ticklabel_format(style="plain", useOffset=False)
        axes.set_title(f"{self.report['scene']}: {self.report['parcels']:,} parcels")
        return axes

    def __repr__(self) -> str:
        where = f", out={str(self.out)!r}" if self.out else ""
        n_parcels, n_areas = self.report["parcels"], self.report["landcover_areas"]
        n_warnings = len(self.report["warnings"])
        warned = f", {counted(n_warnings, 'warning')}" if n_warnings else ""
        return (
            f"<Result: {counted(n_parcels, 'parcel')}, {counted(n_areas, 'land-cover area')}{warned}{where}>"
        )
