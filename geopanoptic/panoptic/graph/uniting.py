"""Average linkage in parts: groups unite within bands of regions, which widen from pass to pass.

Two groups may unite as soon as their contact is the weakest of both, whatever happens elsewhere: what other
unions add up is never weaker than the weaker of its parts, so nothing can come before it any more (reciprocal
nearest neighbours: Murtagh, The Computer Journal 26 (1983), 354-359). A band is therefore worked through on its
own, the weakest contact first, and a group stops where a contact that leaves the band may come first. What has
stopped goes on in wider bands, in the end in one. The unions are those of a search through the whole scene, and
most of them happen in memory that a core has at hand.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geopanoptic.panoptic.graph.contacts import BOUNDARY, LENGTH, strength_of
from geopanoptic.panoptic.graph.contraction import Int32, Int64, start, unite
from geopanoptic.panoptic.parts import Map, places_of
from geopanoptic.panoptic.watershed.forest import find_root

_WIDER = 8
_LEVELS = 64


class Links(NamedTuple):
    """Contacts (m,) of groups, each group by one of its regions, ``a`` and ``b``.

    ``sums`` (m, 4) and ``pass_heat`` (m,) are as in ``Contacts``; ``rank`` (m,) is the first of the original
    contacts that were added up. Of groups that have united at a contact, ``a`` stands for both from then on.
    """

    a: Int32
    b: Int32
    sums: NDArray[np.integer]
    pass_heat: NDArray[np.uint16]
    rank: Int32

    @property
    def strength(self) -> NDArray[np.float64]:
        """(m,) mean boundary, 0 to 1."""
        return strength_of(self.sums)

    def at(self, where: Int64) -> Links:
        """The contacts at these places."""
        return Links._make(values[where] for values in self)


def unite_weakest_first(n: int, links: Links, each: Map = map, *, first_span: int = 1 << 11) -> Links:
    """The contacts at which ``n`` regions unite until no two groups touch, the weakest of all first.

    Of equally strong ones that of the lowest rank comes first. Different means are told apart as long as no
    contact has over 2^22 sides. The first bands are ``first_span`` regions wide; neighbours should have near numbers.
    """
    united, span = [links.at(np.arange(0))], first_span
    while len(links.a):
        span = min(span, n)
        of_bands, links = _unite_within(n, span, links, each)
        united += of_bands
        span *= _WIDER
    together = _joined(united)
    strength, rank = together.strength, together.rank

    def sort(places: Int64) -> Int64:
        return places[np.lexsort((rank[places], strength[places]))]

    of_levels = places_of((strength * _LEVELS).astype(np.uint8), _LEVELS + 1)
    return together.at(np.concatenate(list(each(sort, of_levels))))


def _unite_within(n: int, span: int, links: Links, each: Map) -> tuple[list[Links], Links]:
    """What unites within every band of ``span`` regions, and the contacts that are left."""
    n_bands = -(-n // span)
    band = links.a // span
    band[band != links.b // span] = n_bands
    *of_bands, leaving_at = places_of(band, n_bands + 1)
    leaving = links.at(leaving_at)
    limit = np.full(n, np.inf)
    for end in (leaving.a, leaving.b):
        np.minimum.at(limit, end, leaving.strength)

    def unite_band(first: int, places: Int64) -> tuple[Links, Links, Int32]:
        within = links.at(places)
        # From here on what is added up stands in these arrays.
        within = within._replace(a=within.a - first, b=within.b - first, sums=within.sums.astype(np.int64))
        kept, joined, closed, ends, group = _unite_band(*within, limit[first : first + span])
        (left,) = np.nonzero(ends[:, 0] >= 0)
        return (
            within.at(closed)._replace(a=kept + first, b=joined + first),
            within.at(left)._replace(a=ends[left, 0] + first, b=ends[left, 1] + first),
            group + first,
        )

    united, left, group = zip(*each(unite_band, range(0, n, span), of_bands), strict=True)
    group_of = np.concatenate(group)
    leaving = leaving._replace(a=group_of[leaving.a], b=group_of[leaving.b])
    return list(united), _joined([*left, leaving])


def _joined(links: list[Links]) -> Links:
    return Links._make(map(np.concatenate, zip(*links, strict=True)))


@njit(nogil=True, cache=True)
def _unite_band(a, b, sums, pass_heat, rank, limit):  # type: ignore[no-untyped-def]
    """Unite what may unite, weakest first; no region at a contact as strong as its ``limit`` (n,).

    Returns of every union the group that goes for both, the other one and the contact; the groups (m, 2) at every
    contact, -1 where it is none any more; and the group of every region.
    """
    n = len(limit)
    state = start(n, a, b, sums, pass_heat, rank)
    strength = np.empty(len(a))
    heap = [(0.0, np.int32(0), np.int32(0)) for _ in range(0)]
    for contact in range(len(a)):
        if state.ends[contact, 0] >= 0:
            strength[contact] = _strength(sums, contact)
            heap.append((strength[contact], rank[contact], np.int32(contact)))
    heapq.heapify(heap)
    kept, joined, closed = np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.int32)
    count = 0
    grown = [0 for _ in range(0)]
    while len(heap):
        weakest, _, contact = heapq.heappop(heap)
        p, q = state.ends[contact, 0], state.ends[contact, 1]
        if p < 0 or strength[contact] != weakest:
            continue
        lower = min(limit[p], limit[q])
        if weakest >= lower:
            # Neither unites any more: this contact comes before all others of both.
            limit[p] = limit[q] = lower
            continue
        grown.clear()
        whole = unite(state, contact, grown)
        kept[count], joined[count], closed[count] = whole, p + q - whole, contact
        count += 1
        limit[whole] = lower
        # A contact that has grown is queued again; what says otherwise of it is out of date or comes later.
        for other in grown:
            strength[other] = _strength(sums, other)
            heapq.heappush(heap, (strength[other], rank[other], np.int32(other)))
    group = np.empty(n, np.int32)
    for region in range(n):
        group[region] = find_root(state.handle, region)
    return kept[:count], joined[:count], closed[:count], state.ends, group


@njit(nogil=True, cache=True)
def _strength(sums: Int64, contact: int) -> float:
    return sums[contact, BOUNDARY] / (255.0 * sums[contact, LENGTH])
