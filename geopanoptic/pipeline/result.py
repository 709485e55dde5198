"""What a run gives back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import geopandas
import xarray

from geopanoptic.products.classes import MapClass
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
    classes: tuple[MapClass, ...]
    """What the class ids of the tables and of the raster ``class`` are, with their colours."""

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
        """Draws parcels over the land cover, in map coordinates and the classes' colours, on a matplotlib axes, which it
        returns. The legend beside it names the classes that occur."""
        import matplotlib.pyplot as plt
        from matplotlib.patches import Patch

        axes: Axes = plt.subplots(figsize=(9, 7), layout="compressed")[1] if ax is None else ax
        colour = {each.id: each.colour for each in self.classes}
        for table, style in (
            (self.landcover, {}),
            (self.parcels, {"edgecolor": "black", "linewidth": 0.4}),
        ):
            if len(table):
                table.plot(ax=axes, color=table["class_id"].map(colour), **style)
        occurring = {*self.parcels["class_id"], *self.landcover["class_id"]}
        legend = axes.legend(
            handles=[
                Patch(facecolor=each.colour, edgecolor="black", linewidth=0.4, label=each.name)
                for each in self.classes
                if each.id in occurring
            ],
            bbox_to_anchor=(1.01, 1),
            loc="upper left",
        )
        # matplotlib takes what is between two $ for a formula.
        for text in legend.get_texts():
            text.set_parse_math(False)
        axes.ticklabel_format(style="plain", useOffset=False)
        title = f"{self.report['scene']}: {self.report['parcels']:,} parcels"
        axes.set_title(title, parse_math=False)
        return axes

    def __repr__(self) -> str:
        where = f", out={str(self.out)!r}" if self.out else ""
        n_parcels, n_areas = self.report["parcels"], self.report["landcover_areas"]
        n_warnings = len(self.report["warnings"])
        warned = f", {counted(n_warnings, 'warning')}" if n_warnings else ""
        return (
            f"<Result: {counted(n_parcels, 'parcel')}, {counted(n_areas, 'land-cover area')}{warned}{where}>"
        )
