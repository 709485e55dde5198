"""What happened to each parcel: same, moved, split, merged, rearranged, new, gone, or outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from geopanoptic.change.matching import best_pairs, components
from geopanoptic.change.overlaps import HALF, Overlaps
from geopanoptic.change.plane import Plane
from geopanoptic.change.seen import is_seen

Kind = Literal["same", "moved", "split", "merged", "rearranged", "new", "gone", "outside"]
KINDS: tuple[Kind, ...] = get_args(Kind)

MEANING: dict[Kind, str] = {
    "same": "one to one; no ground changed but slivers narrower than the tolerance",
    "moved": "one to one with a boundary that moved by more than the tolerance",
    "split": "one earlier parcel became several",
    "merged": "several earlier parcels became one",
    "rearranged": "several earlier parcels became several others",
    "new": "no earlier parcel is linked to it",
    "gone": "no later parcel is linked to it",
    "outside": "lies where the other map shows neither parcels nor land cover, as under clouds; beyond its bounding box where it has no land cover",
}
"""What each kind means; parcels are linked where at least half of one lies in the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """``earlier_kind`` (n,) and ``later_kind`` (m,) hold kinds; ``links`` and ``carries`` (p,) say which pairs
    of the overlaps are links, and along which of these the earlier parcel's id goes on."""

    earlier_kind: NDArray[np.object_]
    later_kind: NDArray[np.object_]
    links: NDArray[np.bool_]
    carries: NDArray[np.bool_]


def trace_lineage(overlaps: Overlaps) -> Lineage:
    """Kinds by the connected parts of the graph of links: one to one, one to many and so on.

    An id goes on along a pair of the best one-to-one pairing (largest sum of IoU) that is the only link of
    both its parcels, or whose IoU is at least one half: of a parcel that was split, the piece that is most of
    it keeps the id. One-to-one parcels are ``moved`` until :func:`with_same` has seen what ground changed.
    """
    links = overlaps.links
    part_earlier, part_later = components(overlaps, links)
    size = int(max(part_earlier.max(initial=-1), part_later.max(initial=-1))) + 1
    n_earlier, n_later = np.bincount(part_earlier, minlength=size), np.bincount(part_later, minlength=size)
    kind = np.empty(size, dtype=object)
    kind[(n_earlier == 1) & (n_later == 1)] = "moved"
    kind[(n_earlier == 1) & (n_later > 1)] = "split"
    kind[(n_earlier > 1) & (n_later == 1)] = "merged"
    kind[(n_earlier > 1) & (n_later > 1)] = "rearranged"
    kind[n_later == 0] = "gone"
    kind[n_earlier == 0] = "new"
    only = kind[part_earlier[overlaps.earlier]] == "moved"
    carries = best_pairs(overlaps, links)
    carries &= only | (overlaps.iou >= HALF)
    return Lineage(earlier_kind=kind[part_earlier], later_kind=kind[part_later], links=links, carries=carries)


def with_outside(lineage: Lineage, plane: Plane) -> Lineage:
    """Parcels without a link that the other map cannot show are ``outside``, not gone or new."""
    return Lineage(
        earlier_kind=_outside(lineage.earlier_kind, plane.earlier, plane.later, plane.later_landcover),
        later_kind=_outside(lineage.later_kind, plane.later, plane.earlier, plane.earlier_landcover),
        links=lineage.links,
        carries=lineage.carries,
    )


def with_same(
    lineage: Lineage,
    overlaps: Overlaps,
    *,
    earlier_changed: NDArray[np.bool_],
    later_changed: NDArray[np.bool_],
) -> Lineage:
    """One-to-one parcels of whose ground nothing changed, by (n,) and (m,) flags, are the same."""
    still = lineage.carries & ~earlier_changed[overlaps.earlier] & ~later_changed[overlaps.later]
    earlier_kind, later_kind = lineage.earlier_kind.copy(), lineage.later_kind.copy()
    for kind, rows in ((earlier_kind, overlaps.earlier[still]), (later_kind, overlaps.later[still])):
        rows = rows[kind[rows] == "moved"]
        kind[rows] = "same"
    return Lineage(
        earlier_kind=earlier_kind, later_kind=later_kind, links=lineage.links, carries=lineage.carries
    )


def _outside(
    kind: NDArray[np.object_],
    polygons: NDArray[np.object_],
    other: NDArray[np.object_],
    other_landcover: NDArray[np.object_],
) -> NDArray[np.object_]:
    alone = np.flatnonzero(np.isin(kind, ("new", "gone")))
    kind = kind.copy()
    kind[alone[~is_seen(polygons[alone], other, other_landcover)]] = "outside"
    return kind
