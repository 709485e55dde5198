"""Ids that stay with a parcel from map to map, and new ones that no parcel ever had."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopanoptic.change.lineage import Lineage
from geopanoptic.change.overlaps import Overlaps
from geopanoptic.change.parcelmap import ParcelMap

NEW_PREFIX = "new-"
"""Before the number of a parcel that is new in a map whose ids are text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StableIds:
    """``ids`` (m,) of the later parcels, int64 or text as the earlier map's; ``next_id`` the first number
    that is still free, for the map after it."""

    ids: NDArray[Any]
    next_id: int


def stable_ids(earlier: ParcelMap, n_later: int, overlaps: Overlaps, lineage: Lineage) -> StableIds:
    """The id of the earlier parcel wherever it goes on, else the next free number, in the later map's order.

    Numbers of parcels that were gone before the earlier map are not given again where that map states its
    ``next_id``, as the maps written here do.
    """
    ids = np.empty(n_later, dtype=earlier.ids.dtype)
    carried = np.zeros(n_later, np.bool_)
    ids[overlaps.later[lineage.carries]] = earlier.ids[overlaps.earlier[lineage.carries]]
    carried[overlaps.later[lineage.carries]] = True
    first = max(_first_free(earlier.ids), earlier.next_id or 1)
    fresh = np.arange(first, first + int(np.count_nonzero(~carried)))
    as_number = ids.dtype.kind == "i"
    ids[~carried] = fresh if as_number else [f"{NEW_PREFIX}{number}" for number in fresh]
    return StableIds(ids=ids, next_id=first + len(fresh))


def _first_free(ids: NDArray[Any]) -> int:
    if ids.dtype.kind == "i":
        return int(ids.max(initial=0)) + 1
    numbers = [each.removeprefix(NEW_PREFIX) for each in ids if each.startswith(NEW_PREFIX)]
    return max((int(number) for number in numbers if number.isdecimal()), default=0) + 1
