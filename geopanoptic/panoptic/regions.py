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

from geopanoptic.panoptic.contacts import LENGTH, Contacts, Int64, compact, gather_contacts
from geopanoptic.panoptic.contraction import Int32
from geopanoptic.panoptic.parts import Map
from geopanoptic.panoptic.pieces import AREA, FIELD, INNER_SIDES, BlockRegions


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

    @property
    def field_sum(self) -> NDArray[np.integer]:
        return self.sums[:, FIELD]


def join_blocks(
    blocks: Sequence[BlockRegions], *, by_contact: bool = False, each: Map = map
) -> tuple[RegionGraph, list[NDArray[np.int32]]]:
    """The region graph of the scene, and for every block the region of each of its pieces.

    Pieces are one region where they carry the same watershed label, or where they are stuff of one class
    and meet; with ``by_contact`` those of one label must meet too. Regions are numbered by their first pixel,
    so neither their order nor any sum depends on the block layout. The second value holds int32 arrays of
    length n + 1 per block, indexed by piece; index 0 (nodata) is -1. The blocks lie on one regular lattice; at
    least one is needed. ``each`` computes what is independent.
    """
    counts = np.array([len(block.label) for block in blocks], np.int64)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    n_pieces = int(offsets[-1])
    label, first_px = _stacked(blocks, "label"), _stacked(blocks, "first_px")

    # Pieces of one watershed label are chained in label order; pieces of one stuff class through their contacts.
    met = [
        (block.contacts.a + offset, block.contacts.b + offset, block.contacts.sums, block.contacts.pass_heat)
        for block, offset in zip(blocks, offsets[:-1], strict=True)
    ]
    met += _sides_between(blocks, offsets)
    order = np.argsort(label)
    chained = (label[order][1:] == label[order][:-1]) & (label[order][1:] > 0) & (not by_contact)

    def joined(a: Int32, b: Int32, *_: NDArray[np.integer]) -> tuple[Int32, Int32]:
        touching = (label[a] == label[b]) & ((label[a] < 0) | by_contact)
        return a[touching], b[touching]

    edges = [(order[:-1][chained], order[1:][chained]), *each(joined, *zip(*met, strict=True))]
    region = components(n_pieces, *map(np.concatenate, zip(*edges, strict=True)))
    region = _numbered_by_first_pixel(region, first_px).astype(np.int32)
    n_regions = int(region.max()) + 1 if n_pieces else 0
    of_block = [region[start:stop] for start, stop in zip(offsets[:-1], offsets[1:], strict=True)]

    first_of_region = np.full(n_regions, np.iinfo(np.int64).max)
    np.minimum.at(first_of_region, region, first_px)
    one_piece = np.zeros(n_regions, np.int64)
    one_piece[region] = np.arange(n_pieces)
    heat_max, relief_min = np.zeros(n_regions, np.uint16), np.full(n_regions, 65535, np.uint16)
    np.maximum.at(heat_max, region, _stacked(blocks, "heat_max"))
    np.minimum.at(relief_min, region, _stacked(blocks, "relief_min"))

    def summed(name: str) -> Int64:
        total = np.zeros((n_regions, getattr(blocks[0], name).shape[1]), np.int64)
        for block, regions in zip(blocks, of_block, strict=True):
            _add_rows(total, regions, getattr(block, name))
        return total

    sums, thing_sums, stuff_counts = each(summed, ("sums", "thing_sums", "stuff_counts"))

    def renumbered(a: Int32, b: Int32, *of_contact: NDArray[np.integer]) -> tuple[NDArray[np.integer], ...]:
        return region[a], region[b], *of_contact

    columns = each(renumbered, *zip(*met, strict=True))
    a, b, side_sums, pass_heat = map(np.concatenate, zip(*columns, strict=True))
    met.clear()
    within = np.flatnonzero(a == b)
    np.add.at(sums[:, INNER_SIDES], a[within], side_sums[within, LENGTH])
    graph = RegionGraph(
        width_px=max(block.window.col1 for block in blocks),
        label=label[one_piece],
        first_px=first_of_region,
        sums=compact(sums),
        heat_max=heat_max,
        relief_min=relief_min,
        thing_sums=compact(thing_sums),
        stuff_counts=compact(stuff_counts),
        contacts=gather_contacts(a, b, side_sums, pass_heat, each=each),
    )
    return graph, [np.concatenate([np.full(1, -1, np.int32), regions]) for regions in of_block]


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


def _numbered_by_first_pixel(component: Int64, first_px: Int64) -> Int64:
    if not len(component):
        return component
    first = np.full(int(component.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, component, first_px)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return rank[component]


def _stacked(blocks: Sequence[BlockRegions], name: str) -> Int64:
    return np.concatenate([getattr(block, name) for block in blocks])


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
