"""What annotators' parts of the work contradict each other in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import geopandas
import pyproj
import shapely

CONFLICTS = "conflicts"
"""Layer of a merged GeoPackage, there only where there are any."""

KINDS = {
    "missing": "a part of the work was not given",
    "class": "one object has two classes",
    "changed": "one object was changed by two annotators",
    "removed": "one annotator removed an object that another changed, or kept beyond a border",
    "seam": "two annotators drew the ground that both saw differently",
    "overlap": "objects of two annotators lie on the same ground",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """One contradiction, and what was done about it. ``ground`` is None where it has no place."""

    kind: str
    parts: tuple[str, ...]
    object_ids: tuple[int, ...]
    message: str
    ground: shapely.Geometry | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values, without geometry."""
        return {
            "kind": self.kind,
            "parts": list(self.parts),
            "object_ids": list(self.object_ids),
            "message": self.message,
        }


def conflict_layer(conflicts: Sequence[Conflict], crs: pyproj.CRS | None) -> geopandas.GeoDataFrame:
    """A table to open beside the merged labels: kind, meaning, parts, object_ids, message, geometry."""
    table = {
        "kind": [each.kind for each in conflicts],
        "meaning": [KINDS[each.kind] for each in conflicts],
        "parts": [", ".join(each.parts) for each in conflicts],
        "object_ids": [", ".join(map(str, each.object_ids)) for each in conflicts],
        "message": [each.message for each in conflicts],
    }
    return geopandas.GeoDataFrame(table, geometry=[each.ground for each in conflicts], crs=crs)
