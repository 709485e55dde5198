"""Leftovers: regions that are field, as the network says, but of no parcel that was worth drawing.

The best set of parcels leaves some out: a strip of a field whose union with the rest was judged worse than the rest
alone. Drawn as the stuff that they look like most, which is hardly, they are bites out of even fields. So each runs on
into a parcel along the weakest contacts, as long as hardly a boundary lies there; parcels never unite through them.
What is left then is open ground (``repair``), not the water that dark fields resemble.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geopanoptic.panoptic.graph.contacts import Int64, strength_of
from geopanoptic.panoptic.graph.pieces import FIELD
from geopanoptic.panoptic.graph.regions import RegionGraph, sum_by
from geopanoptic.panoptic.watershed.forest import find_root

LEAST_FIELD = 0.5
"""Mean thing probability of a region that counts as left over; others are stuff with reason."""
SURE_FIELD = 0.8
"""Mean thing probability from which on the likeliest stuff says nothing; below it, gardens around villages would no
longer be built-up."""
OPEN_BOUNDARY = 0.3
"""Mean boundary probability of contacts across which leftovers run on: above it, on validation images, they joined what
was another field (``tests/benchmarks/RESULTS.md``)."""


def is_field(graph: RegionGraph, least: float, group: NDArray[np.integer] | None = None) -> NDArray[np.bool_]:
    """Of each region (n,), whether it is one of field whose mean thing probability is at least ``least``; of those that
    are the first of their ``group``, whether all of it together is."""
    labelled: NDArray[np.integer] = (graph.label > 0).astype(np.int64)
    field_sum, area_px = graph.sums[:, FIELD], graph.area_px
    if group is not None:
        labelled, field_sum, area_px = (
            sum_by(group, each, len(group)) for each in (labelled, field_sum, area_px)
        )
    return (labelled > 0) & (field_sum.astype(np.float64) >= least * 255 * area_px)


def with_leftovers(graph: RegionGraph, node: Int64) -> Int64:
    """``node`` (n,) of each region, -1 for none, where leftovers have that of the parcel that they run into.

    Contacts are taken by their strength, of equal ones the first, whatever the blocks were.
    """
    owned = node >= 0
    left = ~owned & is_field(graph, LEAST_FIELD)
    a, b, takes_part = graph.contacts.a, graph.contacts.b, left | owned
    between = np.flatnonzero((left[a] | left[b]) & takes_part[a] & takes_part[b])
    strength = strength_of(graph.contacts.sums[between])
    between = between[np.argsort(strength, kind="stable")[: np.count_nonzero(strength < OPEN_BOUNDARY)]]
    return _run_on(a[between], b[between], node)  # type: ignore[no-any-return]


@njit(nogil=True, cache=True)
def _run_on(a, b, node):  # type: ignore[no-untyped-def]
    """``node`` after groups at contacts ``a``-``b`` (m,), in this order, have become one where one of them has no node."""
    parent = np.arange(len(node))
    of_root = node.copy()
    for contact in range(len(a)):
        p, q = find_root(parent, a[contact]), find_root(parent, b[contact])
        if p == q or (of_root[p] >= 0 and of_root[q] >= 0):
            continue
        parent[q] = p
        of_root[p] = max(of_root[p], of_root[q])
    for region in range(len(node)):
        of_root[region] = of_root[find_root(parent, region)]
    return of_root
