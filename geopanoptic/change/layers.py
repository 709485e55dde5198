"""The tables of a comparison, and the GeoPackage that holds them with their colours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import pandas as pd
import pyogrio

from geopanoptic.change.ground import GROUND_KINDS
from geopanoptic.change.lineage import KINDS
from geopanoptic.change.parcelmap import UNSEEN
from geopanoptic.products import layers as products
from geopanoptic.products import style
from geopanoptic.products.geopackage import UNDATED, LayerStyle, add_styles, append_layer, fixed_clock
from geopanoptic.products.layers import Layer
from geopanoptic.products.literal import literally
from geopanoptic.products.writing import writing

PARCELS = Layer(
    name="parcels",
    description="The later map's parcels with stable ids, and what became of them.",
    geometry="MultiPolygon",
    columns={
        "parcel_id": "id",
        "kind": "str",
        "class_name": "str",
        "class_before": "str",
        "class_changed": "bool",
        "earlier_ids": "str",
        "later_id": "str",
        "iou": "float64",
        "area_m2": "float64",
    },
)
"""``parcel_id`` is the earlier parcel's where it goes on; ``earlier_ids`` all earlier parcels linked to this
one, largest overlap first; ``class_before`` the class of the first of them, and ``class_changed`` whether it was
another one, null where one of them has none, or the maps, of ten parcels or more, have no class in common; ``later_id`` the id in the later
map; ``iou`` with the parcel whose id it carries."""

CHANGES = Layer(
    name="changes",
    description="Ground whose parcel changed: gained, lost, or transferred between two parcels.",
    columns={
        "kind": "str",
        "from_id": "id",
        "to_id": "id",
        "from_class": "str",
        "to_class": "str",
        "area_m2": "float64",
    },
)

LINKS = Layer(
    name="links",
    description="Which earlier parcel became which later one; no later one for gone, no earlier one for new.",
    columns={
        "from_id": "id",
        "to_id": "id",
        "kind": "str",
        "carries_id": "bool",
        "overlap_m2": "float64",
        "iou": "float64",
        "share_of_earlier": "float64",
        "share_of_later": "float64",
        "from_class": "str",
        "to_class": "str",
    },
)
"""A table without geometry. One row per link (at least half of one parcel lies in the other), and one for
every parcel without any."""

LANDCOVER = Layer(
    name=products.LANDCOVER.name,
    description="The later map's land cover: ground that it saw, and that is no parcel. None where it has none.",
    geometry="MultiPolygon",
    columns={"class_name": "str", "area_m2": "float64"},
)

UNSEEN_PARCELS = Layer(
    name=UNSEEN,
    description="The earlier map's parcels where the later one shows nothing, as under clouds, with their ids.",
    geometry="MultiPolygon",
    columns={"parcel_id": "id", "kind": "str", "class_name": "str", "area_m2": "float64"},
)
"""The last two are for the comparison with the year after: what was not seen is not new there."""

_COLOURS = {
    "same": "#d9d9d9",
    "moved": "#f2c14e",
    "split": "#c8553d",
    "merged": "#3f7cac",
    "rearranged": "#8e6c8a",
    "new": "#4f9d69",
    "gone": "#5c4742",
    "outside": "#ffffff",
    "transferred": "#f28f3b",
    "gained": "#2a9d4b",
    "lost": "#b3001b",
}
_CHANGE_FILL_ALPHA = 170
_LANDCOVER_COLOUR = "#e9e6df"


@dataclass(frozen=True, slots=True, kw_only=True)
class KindOfChange:
    """A kind as a class of a legend."""

    id: int
    name: str
    colour: str
    kind: str = "thing"


def legend(kinds: tuple[str, ...]) -> list[KindOfChange]:
    """Kinds with their colours, in the given order."""
    return [KindOfChange(id=number, name=each, colour=_COLOURS[each]) for number, each in enumerate(kinds, 1)]


def write_comparison(
    path: Path,
    *,
    parcels: geopandas.GeoDataFrame,
    changes: geopandas.GeoDataFrame,
    links: pd.DataFrame,
    landcover: geopandas.GeoDataFrame,
    unseen: geopandas.GeoDataFrame,
    id_type: str,
    metadata: Mapping[str, Any],
) -> None:
    """Writes the tables to a new GeoPackage, styled by kind.

    ``id_type`` is ``int64`` or ``str``; ``metadata`` becomes items of the layers. Equal arguments give equal
    bytes. Raises OutputError where the disk refuses.
    """
    with writing(path), fixed_clock(UNDATED), literally(path) as plain:
        append_layer(path, _typed(PARCELS, id_type), parcels, metadata)
        append_layer(path, _typed(CHANGES, id_type), changes, metadata)
        pyogrio.write_dataframe(
            _as_columns(links, _typed(LINKS, id_type)), plain, layer=LINKS.name, driver="GPKG", append=True,
            layer_options={"DESCRIPTION": LINKS.description},
        )  # fmt: skip
        append_layer(path, LANDCOVER, landcover, metadata)
        append_layer(path, _typed(UNSEEN_PARCELS, id_type), unseen, metadata)
        add_styles(
            path,
            [
                _style(PARCELS, KINDS, style.PARCEL_FILL_ALPHA),
                _style(CHANGES, GROUND_KINDS, _CHANGE_FILL_ALPHA),
                _landcover_style(landcover["class_name"]),
                _style(UNSEEN_PARCELS, ("outside",), style.PARCEL_FILL_ALPHA),
            ],
            UNDATED,
        )


def _style(layer: Layer, kinds: tuple[str, ...], fill_alpha: int) -> LayerStyle:
    classes = legend(kinds)
    return LayerStyle(
        layer=layer.name,
        qml=style.categorised_qml(classes, fill_alpha=fill_alpha, outline=True, attribute="kind"),
        sld=style.sld(layer.name, classes, fill_opacity=fill_alpha / 255, outline=True, attribute="kind"),
    )


def _landcover_style(class_names: pd.Series) -> LayerStyle:
    names = enumerate(sorted(class_names.dropna().unique()), 1)
    classes = [KindOfChange(id=number, name=each, colour=_LANDCOVER_COLOUR) for number, each in names]
    return LayerStyle(
        layer=LANDCOVER.name,
        qml=style.landcover_qml(classes),
        sld=style.sld(LANDCOVER.name, classes, fill_opacity=1.0, outline=False),
    )


def _typed(layer: Layer, id_type: str) -> Layer:
    columns = {name: id_type if kind == "id" else kind for name, kind in layer.columns.items()}
    return Layer(name=layer.name, description=layer.description, columns=columns, geometry=layer.geometry)


def _as_columns(table: pd.DataFrame, layer: Layer) -> pd.DataFrame:
    nullable = {"int64": "Int64", "float64": "Float64", "bool": "bool", "str": "object"}
    return pd.DataFrame({name: table[name].astype(nullable[kind]) for name, kind in layer.columns.items()})
