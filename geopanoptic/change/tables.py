"""Rows of a comparison: parcels, changes and links, from lineage, ids and changed ground."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from geopanoptic.change.ground import NONE, ChangedGround
from geopanoptic.change.lineage import Lineage
from geopanoptic.change.overlaps import Overlaps
from geopanoptic.change.parcelmap import ParcelMap
from geopanoptic.change.plane import Plane, valid_areas
from geopanoptic.products.measures import measure

FEW_PARCELS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Two maps and all that was found out about them; ``ids`` (m,) are the later parcels' stable ids,
    ``next_id`` the first number still free."""

    earlier: ParcelMap
    later: ParcelMap
    plane: Plane
    overlaps: Overlaps
    lineage: Lineage
    ids: NDArray[Any]
    next_id: int
    ground: ChangedGround

    @property
    def share_classes(self) -> bool:
        """Whether a class is in both maps: without one they speak of other things, and nothing tells what changed.

        Maps of few parcels may have changed altogether.
        """
        if min(len(self.earlier.ids), len(self.later.ids)) < FEW_PARCELS:
            return True
        earlier, later = (
            {*each.class_names[~pd.isna(each.class_names)]} for each in (self.earlier, self.later)
        )
        return not (earlier and later) or bool(earlier & later)


def parcel_table(found: Compared) -> geopandas.GeoDataFrame:
    """Columns of ``layers.PARCELS``: a row per later parcel in its order, MultiPolygons in the earlier CRS."""
    overlaps, lineage, m = found.overlaps, found.lineage, len(found.later)
    linked = np.flatnonzero(lineage.links)
    linked = linked[np.lexsort((overlaps.earlier[linked], -overlaps.area[linked], overlaps.later[linked]))]
    rows, cols = overlaps.earlier[linked], overlaps.later[linked]
    largest = np.unique(cols, return_index=True)
    before = np.full(m, None, dtype=object)
    before[largest[0]] = found.earlier.class_names[rows[largest[1]]]
    earlier_ids: list[list[str]] = [[] for _ in range(m)]
    for row, col in zip(rows.tolist(), cols.tolist(), strict=True):
        earlier_ids[col].append(str(found.earlier.ids[row]))
    iou = np.full(m, np.nan)
    iou[overlaps.later[lineage.carries]] = overlaps.iou[lineage.carries]
    polygons = found.plane.at_home(found.plane.later)
    after = found.later.class_names
    return geopandas.GeoDataFrame(
        {
            "parcel_id": found.ids,
            "kind": lineage.later_kind,
            "class_name": after,
            "class_before": before,
            "class_changed": _differ(before, after) if found.share_classes else np.full(m, None, object),
            "earlier_ids": np.array([",".join(each) for each in earlier_ids], dtype=object),
            "later_id": found.later.ids.astype(str).astype(object),
            "iou": iou,
            "area_m2": measure(polygons, found.plane.home).area_m2,
        },
        geometry=_multi(polygons),
        crs=found.plane.home,
    )


def change_table(found: Compared) -> geopandas.GeoDataFrame:
    """Columns of ``layers.CHANGES``: Polygons in the earlier map's CRS, largest first."""
    ground = found.ground
    polygons = shapely.normalize(valid_areas(found.plane.at_home(ground.polygons)))
    area_m2 = measure(polygons, found.plane.home).area_m2
    table = geopandas.GeoDataFrame(
        {
            "kind": ground.kind,
            "from_id": _taken(found.earlier.ids, ground.earlier),
            "to_id": _taken(found.ids, ground.later),
            "from_class": _taken(found.earlier.class_names, ground.earlier),
            "to_class": _taken(found.later.class_names, ground.later),
            "area_m2": area_m2,
        },
        geometry=polygons,
        crs=found.plane.home,
    )
    order = np.lexsort((ground.later, ground.earlier, -area_m2))
    return table.iloc[order].reset_index(drop=True)


def landcover_table(found: Compared) -> geopandas.GeoDataFrame:
    """Columns of ``layers.LANDCOVER``: the later map's, in the earlier map's CRS."""
    return _area_table(found, found.plane.later_landcover, class_name=found.later.landcover_names)


def unseen_table(found: Compared) -> geopandas.GeoDataFrame:
    """Columns of ``layers.UNSEEN_PARCELS``: the earlier parcels that are ``outside`` the later map."""
    rows = np.flatnonzero(found.lineage.earlier_kind == "outside")
    return _area_table(
        found,
        found.plane.earlier[rows],
        parcel_id=found.earlier.ids[rows],
        kind=found.lineage.earlier_kind[rows],
        class_name=found.earlier.class_names[rows],
    )


def _area_table(
    found: Compared, polygons: NDArray[np.object_], **columns: NDArray[Any]
) -> geopandas.GeoDataFrame:
    polygons = found.plane.at_home(polygons)
    # Of land cover, what the earlier map's CRS does not reach is empty.
    there = shapely.area(polygons) > 0
    home = found.plane.home
    return geopandas.GeoDataFrame(
        {
            **{name: values[there] for name, values in columns.items()},
            "area_m2": measure(polygons[there], home).area_m2,
        },
        geometry=_multi(polygons[there]),
        crs=home,
    )


def link_table(found: Compared) -> pd.DataFrame:
    """Columns of ``layers.LINKS``: the links by earlier parcel, then what is gone, then what is new."""
    overlaps, lineage = found.overlaps, found.lineage
    linked = np.flatnonzero(lineage.links)
    gone = np.flatnonzero(np.isin(lineage.earlier_kind, ("gone", "outside")))
    new = np.flatnonzero(np.isin(lineage.later_kind, ("new", "outside")))
    rows = np.concatenate([overlaps.earlier[linked], gone, np.full(len(new), NONE)])
    cols = np.concatenate([overlaps.later[linked], np.full(len(gone), NONE), new])
    alone = np.full(len(gone) + len(new), np.nan)
    polygons = valid_areas(found.plane.at_home(overlaps.pieces[linked]))
    figures = {
        "overlap_m2": measure(polygons, found.plane.home).area_m2,
        "iou": overlaps.iou[linked],
        "share_of_earlier": overlaps.share_of_earlier[linked],
        "share_of_later": overlaps.share_of_later[linked],
    }
    kind = np.concatenate(
        [lineage.earlier_kind[overlaps.earlier[linked]], lineage.earlier_kind[gone], lineage.later_kind[new]]
    )
    return pd.DataFrame(
        {
            "from_id": _taken(found.earlier.ids, rows),
            "to_id": _taken(found.ids, cols),
            "kind": kind,
            "carries_id": np.concatenate([lineage.carries[linked], np.zeros(len(alone), np.bool_)]),
            **{name: np.concatenate([values, alone]) for name, values in figures.items()},
            "from_class": _taken(found.earlier.class_names, rows),
            "to_class": _taken(found.later.class_names, cols),
        }
    )


def _taken(values: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[np.object_]:
    """``values[rows]`` as objects, None where the row is -1."""
    if not len(values):
        return np.full(len(rows), None, dtype=object)
    taken = values.astype(object)[rows]
    taken[rows == NONE] = None
    return np.asarray(taken)


def _differ(before: NDArray[np.object_], after: NDArray[np.object_]) -> NDArray[np.object_]:
    differ = np.asarray(before != after, dtype=object)
    differ[pd.isna(before) | pd.isna(after)] = None
    return differ


def _multi(polygons: NDArray[np.object_]) -> NDArray[np.object_]:
    parts, of = shapely.get_parts(polygons, return_index=True)
    return np.asarray(shapely.multipolygons(parts, indices=of)) if len(polygons) else polygons
