"""What a comparison found, in figures: counts by kind, changed areas, and classes before and after."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import shapely

from geopanoptic.change.ground import GROUND_KINDS
from geopanoptic.change.lineage import KINDS, MEANING
from geopanoptic.change.overlaps import HALF
from geopanoptic.change.parcelmap import NEXT_ID
from geopanoptic.change.tables import Compared


def report_of(found: Compared, changes: pd.DataFrame, *, tolerance_m: float) -> dict[str, Any]:
    """JSON-ready: ``earlier`` and ``later`` parcels by kind, ``changed_m2`` by kind of change, ``classes``
    (m2 shared by each pair of classes), the rules, and notes."""
    area_m2 = changes.groupby("kind")["area_m2"].sum()
    return {
        "maps": {"earlier": found.earlier.name, "later": found.later.name},
        "parcels": {"earlier": len(found.earlier), "later": len(found.later)},
        "tolerance_m": tolerance_m,
        "link_share": HALF,
        "earlier": _counts(found.lineage.earlier_kind),
        "later": _counts(found.lineage.later_kind),
        "ids_carried": int(np.count_nonzero(found.lineage.carries)),
        NEXT_ID: found.next_id,
        "changed_m2": {kind: round(float(area_m2.get(kind, 0.0)), 1) for kind in GROUND_KINDS},
        "changed_areas": {kind: int(np.count_nonzero(changes["kind"] == kind)) for kind in GROUND_KINDS},
        "classes": _classes(found),
        "meaning": dict(MEANING),
        "notes": [
            *found.earlier.notes,
            *found.later.notes,
            *found.plane.notes,
            *_empty(found),
            *_strange(found),
        ],
    }


def _empty(found: Compared) -> list[str]:
    return [
        f"{each.name} has no parcels: those of the {other} map are all {kind}."
        for each, other, kind in ((found.earlier, "later", "new"), (found.later, "earlier", "gone"))
        if not len(each)
    ]


def _strange(found: Compared) -> list[str]:
    if found.share_classes:
        return []
    return [
        "The maps have no class in common: class_changed is left empty. Give the columns that mean the same with "
        "--class-column EARLIER,LATER, or rename the classes of one map."
    ]


def _counts(kinds: np.ndarray) -> dict[str, int]:
    return {kind: int(np.count_nonzero(kinds == kind)) for kind in KINDS}


def _classes(found: Compared) -> list[dict[str, Any]]:
    overlaps = found.overlaps
    shown = np.flatnonzero(shapely.is_geometry(overlaps.pieces))
    pairs = pd.DataFrame(
        {
            "before": found.earlier.class_names[overlaps.earlier[shown]],
            "after": found.later.class_names[overlaps.later[shown]],
            "area_m2": overlaps.area[shown],
        }
    ).dropna()
    total = pairs.groupby(["before", "after"], sort=True)["area_m2"].sum()
    return [
        {"before": before, "after": after, "area_m2": round(float(area), 1)}
        for (before, after), area in total.items()
    ]
