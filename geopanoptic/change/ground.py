"""The ground that changed: gained, lost, or transferred from one parcel to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import shapely
from numpy.typing import NDArray

from geopanoptic.change.overlaps import Overlaps, areas_only, wider_than
from geopanoptic.change.plane import Plane
from geopanoptic.change.seen import is_seen

GroundKind = Literal["transferred", "gained", "lost"]
GROUND_KINDS: tuple[GroundKind, ...] = get_args(GroundKind)

NONE = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedGround:
    """``polygons`` (g,) single Polygons of the plane, wider than the tolerance somewhere; ``earlier`` and
    ``later`` (g,) the rows of the parcels before and after, -1 for none; ``kind`` (g,)."""

    polygons: NDArray[np.object_]
    earlier: NDArray[np.int64]
    later: NDArray[np.int64]
    kind: NDArray[np.object_]

    def seen_by_both(self, plane: Plane) -> ChangedGround:
        """Without what was lost where the later map shows nothing, and gained where the earlier one does not."""
        kept = np.ones(len(self.polygons), bool)
        for kind, parcels, landcover in (
            ("lost", plane.later, plane.later_landcover),
            ("gained", plane.earlier, plane.earlier_landcover),
        ):
            rows = np.flatnonzero(self.kind == kind)
            kept[rows] = is_seen(self.polygons[rows], parcels, landcover)
        return ChangedGround(
            polygons=self.polygons[kept],
            earlier=self.earlier[kept],
            later=self.later[kept],
            kind=self.kind[kept],
        )

    def changed(
        self,
        side: Literal["earlier", "later"],
        plane: Plane,
        overlaps: Overlaps,
        *,
        carries: NDArray[np.bool_],
        tolerance_m: float,
    ) -> NDArray[np.bool_]:
        """(n,) or (m,) the parcels of one side that gained, lost, took or gave ground.

        What lies in the parcel both before and after did not change for it. Of maps without overlaps that is
        never among ``polygons``; but a parcel that clouds hid for a year may come back to find that the parcel
        beside it was drawn over a part of it.
        """
        mine, other = (
            (overlaps.earlier, overlaps.later) if side == "earlier" else (overlaps.later, overlaps.earlier)
        )
        shapes, others = (plane.earlier, plane.later) if side == "earlier" else (plane.later, plane.earlier)
        partner = np.full(len(shapes), NONE)
        partner[mine[carries]] = other[carries]
        row = self.earlier if side == "earlier" else self.later
        counts = row != NONE
        shared = np.flatnonzero(self.kind == "transferred")
        shared = shared[partner[row[shared]] != NONE]
        beyond = shapely.difference(self.polygons[shared], others[partner[row[shared]]])
        counts[shared] = wider_than(beyond, tolerance_m)
        return np.bincount(row[counts], minlength=len(shapes)) > 0


def changed_ground(
    earlier: NDArray[np.object_],
    later: NDArray[np.object_],
    overlaps: Overlaps,
    *,
    carries: NDArray[np.bool_],
    tolerance_m: float,
) -> ChangedGround:
    """Every piece of ground whose parcel is not the same before and after.

    Transferred: shared by two parcels of which the later does not carry the earlier one's id (``carries``,
    (p,)). Lost: of an earlier parcel and of no later one; gained: the other way round. Pieces that are nowhere wider
    than ``tolerance_m`` are the slivers of two drawings of one boundary, and are left out.
    """
    passed = np.flatnonzero(~carries & shapely.is_geometry(overlaps.pieces))
    rows, cols, area = overlaps.earlier, overlaps.later, overlaps.area
    lost = _remainders(earlier, later, rows, cols, area, tolerance_m)
    by_later = np.lexsort((rows, cols))
    gained = _remainders(later, earlier, cols[by_later], rows[by_later], area[by_later], tolerance_m)
    parts = [
        (overlaps.pieces[passed], overlaps.earlier[passed], overlaps.later[passed], "transferred"),
        (gained[1], np.full(len(gained[0]), NONE), gained[0], "gained"),
        (lost[1], lost[0], np.full(len(lost[0]), NONE), "lost"),
    ]
    return _single_wide(parts, tolerance_m)


def _remainders(
    whole: NDArray[np.object_],
    other: NDArray[np.object_],
    row: NDArray[np.int64],
    partner: NDArray[np.int64],
    shared: NDArray[np.float64],
    tolerance_m: float,
) -> tuple[NDArray[np.int64], NDArray[np.object_]]:
    """Rows and polygons of what remains of ``whole`` without its partners in ``other``; ``row`` ascends."""
    total = shapely.area(whole)
    covered = np.bincount(row, shared, minlength=len(whole))
    # What is covered but for less than a disc of the tolerance has no wide part left; more than covered means
    # that the other map overlaps itself, and then only cutting tells.
    disc = np.pi * tolerance_m**2 / 4
    is_open = (total - covered > disc) | (covered > total * (1 + 1e-6))
    open_rows = np.flatnonzero(is_open)
    rest = whole.copy()
    pairs = np.flatnonzero(is_open[row])
    cut, of = np.unique(row[pairs], return_inverse=True)
    # One cut for each parcel, whatever the number of its partners: what remains of a large one has their corners.
    partners = shapely.geometrycollections(other[partner[pairs]], indices=of)
    rest[cut] = areas_only(shapely.difference(whole[cut], shapely.union_all(partners[:, None], axis=1)))
    left = open_rows[shapely.area(rest[open_rows]) > 0]
    return left, rest[left]


def _single_wide(
    groups: list[tuple[NDArray[np.object_], NDArray[np.int64], NDArray[np.int64], str]], tolerance_m: float
) -> ChangedGround:
    polygons, earlier, later, kind = [], [], [], []
    for geometries, before, after, name in groups:
        single, of = shapely.get_parts(geometries, return_index=True)
        wide = wider_than(single, tolerance_m)
        polygons.append(single[wide])
        earlier.append(before[of[wide]])
        later.append(after[of[wide]])
        kind.append(np.full(int(wide.sum()), name, dtype=object))
    return ChangedGround(
        polygons=np.concatenate(polygons),
        earlier=np.concatenate(earlier).astype(np.int64),
        later=np.concatenate(later).astype(np.int64),
        kind=np.concatenate(kind),
    )
