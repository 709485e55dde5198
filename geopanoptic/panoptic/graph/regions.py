"""The region adjacency graph of a scene: the union of what its blocks say of their pieces.

Only integer sums and extremes are joined. They do not depend on the order in which blocks arrive, so the
graph of the whole scene is the same for every block layout once pieces that meet at a block face have been
joined.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geopanoptic.panoptic.graph.contacts import LENGTH, Contacts, Int64, compact, gather_contacts
from geopanoptic.panoptic.graph.contraction import Int32
from geopanoptic.panoptic.graph.pieces import AREA, INNER_SIDES, BlockRegions
from geopanoptic.panoptic.numbering import require_numbers
from geopanoptic.panoptic.parts import Map, over_parts
from geopanoptic.panoptic.watershed.lookup import look_up


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionGraph:
    """Regions 0..n-1 of the whole scene, ordered by their first pixel, and their contacts.

    The arrays mean what they mean in ``BlockRegions``.
    """

    width_px: int
    """Of the scene, as far as it has blocks."""
    label: Int64
    first_px: Int64
    sums: NDArray[np.integer]
    heat_max: NDArray[np.uint16]
    relief_min: NDArray[np.uint16]
    thing_sums: NDArray[np.integer]
    stuff_counts: NDArray[np.integer]
    contacts: Contacts

    @property
    def area_px(self) -> NDArray[np.integer]:
        return self.sums[:, AREA]


def join_blocks(
    blocks: Sequence[BlockRegions], *, by_contact: bool = False, each: Map = map
) -> tuple[RegionGraph, list[NDArray[np.int32]]]:
    """The region graph of the scene, and for every block the region of each of its pieces.

    Pieces are one region where they carry the same watershed label, or where they are stuff of one class
    and meet; with ``by_contact`` those of one label must meet too. Regions are numbered by their first pixel,
    so neither their order nor any sum depends on the block layout. The second value holds int32 arrays of
    length n + 1 per block, indexed by piece; index 0 (nodata) is -1. The blocks lie on one regular lattice; at
    least one is needed. ``each`` computes what is independent. Raises ResourceError where there are too many to number.
    """
    counts = np.array([len(block.label) for block in blocks], np.int64)
    require_numbers(int(counts.sum()), "pieces of regions")
    require_numbers(2 * sum(len(block.contacts.a) for block in blocks), "ends of contacts between regions")
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    n_pieces = int(offsets[-1])
    label, first_px = _stacked(blocks, "label"), _stacked(blocks, "first_px")
    a, b, side_sums, pass_heat = _met(blocks, offsets)
    region = _numbered_by_first_pixel(_joined(label, a, b, by_contact=by_contact, each=each), first_px)
    n_regions = int(region.max()) + 1 if n_pieces else 0
    of_block = [region[start:stop] for start, stop in zip(offsets[:-1], offsets[1:], strict=True)]

    first_of_region = np.full(n_regions, np.iinfo(np.int64).max)
    np.minimum.at(first_of_region, region, first_px)
    label_of_region = np.zeros(n_regions, np.int64)
    label_of_region[region] = label
    del label, first_px
    heat_max, relief_min = np.zeros(n_regions, np.uint16), np.full(n_regions, 65535, np.uint16)
    np.maximum.at(heat_max, region, _stacked(blocks, "heat_max"))
    np.minimum.at(relief_min, region, _stacked(blocks, "relief_min"))

    def look_up_regions(begin: int, end: int) -> None:
        for pieces in (a[None, begin:end], b[None, begin:end]):
            look_up(region, pieces, pieces)

    # From here on these are regions: nothing is larger in the memory of a run, so there is no second of them.
    over_parts(look_up_regions, len(a), each)
    within = np.flatnonzero(a == b)

    def summed(name: str) -> NDArray[np.integer]:
        total = np.zeros((n_regions, getattr(blocks[0], name).shape[1]), np.int64)
        for block, regions in zip(blocks, of_block, strict=True):
            _add_rows(total, regions, getattr(block, name))
        if name == "sums":
            np.add.at(total[:, INNER_SIDES], a[within], side_sums[within, LENGTH])
        return compact(total)

    sums, thing_sums, stuff_counts = each(summed, ("sums", "thing_sums", "stuff_counts"))
    graph = RegionGraph(
        width_px=max(block.window.col1 for block in blocks),
        label=label_of_region,
        first_px=first_of_region,
        sums=sums,
        heat_max=heat_max,
        relief_min=relief_min,
        thing_sums=thing_sums,
        stuff_counts=stuff_counts,
        contacts=gather_contacts(a, b, side_sums, pass_heat, each=each),
    )
    return graph, [np.concatenate([np.full(1, -1, np.int32), regions]) for regions in of_block]


def _joined(label: Int64, a: Int32, b: Int32, *, by_contact: bool, each: Map) -> Int64:
    """A number for every piece (n,), the same for those that are one region; ``a`` and ``b`` (m,) meet."""

    def touching(begin: int, end: int) -> tuple[Int32, Int32]:
        one, other = a[begin:end], b[begin:end]
        alike = (label[one] == label[other]) & ((label[one] < 0) | by_contact)
        return one[alike], other[alike]

    # Pieces of one watershed label are chained in label order; pieces of one stuff class through their contacts.
    order = np.argsort(label)
    chained = (label[order][1:] == label[order][:-1]) & (label[order][1:] > 0) & (not by_contact)
    edges = [(order[:-1][chained], order[1:][chained]), *over_parts(touching, len(a), each)]
    return components(len(label), *map(np.concatenate, zip(*edges, strict=True)))


def components(n: int, a: Int64, b: Int64) -> Int64:
    """Component number of each of ``n`` nodes joined by the undirected edges ``a``-``b``."""
    if n == 0:
        return np.zeros(0, np.int64)
    edges = coo_array((np.ones(len(a), np.int8), (a, b)), shape=(n, n))
    return connected_components(edges, directed=False)[1].astype(np.int64)


def sum_by(group: NDArray[np.integer], values: NDArray[np.integer], n_groups: int) -> Int64:
    """Integer sums of ``values`` (n,) or (n, k) over equal ``group``: (n_groups,) or (n_groups, k)."""
    total = np.zeros((n_groups, *values.shape[1:]), np.int64)
    columns = math.prod(values.shape[1:])
    _add_rows(total.reshape(n_groups, columns), group, values.reshape(len(values), columns))
    return total


@njit(nogil=True, cache=True)
def _add_rows(total: Int64, group: NDArray[np.integer], values: NDArray[np.integer]) -> None:
    for i in range(len(group)):
        for column in range(total.shape[1]):
            total[group[i], column] += values[i, column]


def _numbered_by_first_pixel(component: Int64, first_px: Int64) -> Int32:
    if not len(component):
        return component.astype(np.int32)
    first = np.full(int(component.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, component, first_px)
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return rank[component]


def _stacked(blocks: Sequence[BlockRegions], name: str) -> Int64:
    return np.concatenate([getattr(block, name) for block in blocks])


def _met(
    blocks: Sequence[BlockRegions], offsets: Int32
) -> tuple[Int32, Int32, NDArray[np.integer], NDArray[np.uint16]]:
    """Contacts within blocks and between them: pieces of the scene a and b (m,), ``sums`` and ``pass_heat``."""
    within = (
        (block.contacts.a + offset, block.contacts.b + offset, block.contacts.sums, block.contacts.pass_heat)
        for block, offset in zip(blocks, offsets[:-1], strict=True)
    )
    a, b, sums, pass_heat = map(np.concatenate, zip(*within, *_sides_between(blocks, offsets), strict=True))
    return a, b, sums, pass_heat


def _sides_between(
    blocks: Sequence[BlockRegions], offsets: Int32
) -> Iterator[tuple[Int32, Int32, NDArray[np.integer], NDArray[np.uint16]]]:
    """Pixel sides between neighbouring blocks: pieces of the scene a and b, ``sums`` and ``pass_heat``."""
    at: Mapping[tuple[int, int], int] = {
        (block.window.row0, block.window.col0): number for number, block in enumerate(blocks)
    }
    for block, offset in zip(blocks, offsets[:-1], strict=True):
        window = block.window
        for corner, mine, theirs in (
            ((window.row1, window.col0), "bottom", "top"),
            ((window.row0, window.col1), "right", "left"),
        ):
            other = at.get(corner)
            if other is None:
                continue
            near, far = getattr(block, mine), getattr(blocks[other], theirs)
            both, sums, pass_heat = near.against(far)
            yield near.piece[both] - 1 + offset, far.piece[both] - 1 + offsets[other], sums, pass_heat
