"""The region adjacency graph of a scene: the union of what its blocks say of their pieces.

Only integer sums and extremes are joined. They do not depend on the order in which blocks arrive, so the
graph of the whole scene is the same for every block layout once pieces that meet at a block face have been
joined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geopanoptic.panoptic.contacts import LENGTH, Contacts, Int64, gather_contacts
from geopanoptic.panoptic.pieces import AREA, FIELD, INNER_SIDES, BlockRegions


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionGraph:
    """Regions 0..n-1 of the whole scene, ordered by their first pixel, and their contacts.

    The arrays mean what they mean in ``BlockRegions``.
    """

    label: Int64
    first_px: Int64
    sums: Int64
    heat_max: Int64
    relief_min: Int64
    thing_counts: Int64
    stuff_counts: Int64
    contacts: Contacts

    @property
    def area_px(self) -> Int64:
        return self.sums[:, AREA]

    @property
    def field_sum(self) -> Int64:
        return self.sums[:, FIELD]


def join_blocks(blocks: Sequence[BlockRegions]) -> tuple[RegionGraph, list[Int64]]:
    """The region graph of the scene, and for every block the region of each of its pieces.

    Pieces are one region where they carry the same watershed label, or where they are stuff of one class
    and meet at a block face. Regions are numbered by their first pixel, so neither their order nor any sum
    depends on the block layout. The second value holds int64 arrays of length n + 1 per block, indexed by
    piece; index 0 (nodata) is -1. The blocks lie on one regular lattice; at least one is needed.
    """
    counts = np.array([len(block.label) for block in blocks], np.int64)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    n_pieces = int(offsets[-1])

    def stacked(name: str) -> Int64:
        return np.concatenate([getattr(block, name) for block in blocks])

    label, first_px = stacked("label"), stacked("first_px")
    a, b, side_sums, pass_heat = _sides(blocks, offsets)

    # Pieces of one watershed label are chained in label order; pieces of one stuff class through the faces.
    order = np.argsort(label, kind="stable")
    chained = (label[order][1:] == label[order][:-1]) & (label[order][1:] > 0)
    touching = (label[a] == label[b]) & (label[a] < 0)
    joined_a = np.concatenate([order[:-1][chained], a[touching]])
    joined_b = np.concatenate([order[1:][chained], b[touching]])
    region = components(n_pieces, joined_a, joined_b)

    region = _numbered_by_first_pixel(region, first_px)
    n_regions = int(region.max()) + 1 if n_pieces else 0
    first_of_region = np.full(n_regions, np.iinfo(np.int64).max)
    np.minimum.at(first_of_region, region, first_px)
    one_piece = np.zeros(n_regions, np.int64)
    one_piece[region] = np.arange(n_pieces)
    heat_max, relief_min = np.zeros(n_regions, np.int64), np.full(n_regions, 65535, np.int64)
    np.maximum.at(heat_max, region, stacked("heat_max"))
    np.minimum.at(relief_min, region, stacked("relief_min"))

    ra, rb = region[a], region[b]
    apart = ra != rb
    sums = sum_by(region, stacked("sums"), n_regions)
    sums[:, INNER_SIDES] += sum_by(ra[~apart], side_sums[~apart, LENGTH], n_regions)
    graph = RegionGraph(
        label=label[one_piece],
        first_px=first_of_region,
        sums=sums,
        heat_max=heat_max,
        relief_min=relief_min,
        thing_counts=sum_by(region, stacked("thing_counts"), n_regions),
        stuff_counts=sum_by(region, stacked("stuff_counts"), n_regions),
        contacts=gather_contacts(ra[apart], rb[apart], side_sums[apart], pass_heat[apart]),
    )
    of_piece = [
        np.concatenate([[-1], region[start:stop]])
        for start, stop in zip(offsets[:-1], offsets[1:], strict=True)
    ]
    return graph, of_piece


def components(n: int, a: Int64, b: Int64) -> Int64:
    """Component number of each of ``n`` nodes joined by the undirected edges ``a``-``b``."""
    if n == 0:
        return np.zeros(0, np.int64)
    edges = coo_array((np.ones(len(a), np.int8), (a, b)), shape=(n, n))
    return connected_components(edges, directed=False)[1].astype(np.int64)


def sum_by(group: Int64, values: Int64, n_groups: int) -> Int64:
    """Integer sums of ``values`` (n,) or (n, k) over equal ``group``: (n_groups,) or (n_groups, k)."""
    total = np.zeros((n_groups, *values.shape[1:]), np.int64)
    np.add.at(total, group, values)
    return total


def _numbered_by_first_pixel(component: Int64, first_px: Int64) -> Int64:
    if not len(component):
        return component
    first = np.full(int(component.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, component, first_px)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return rank[component]


def _sides(blocks: Sequence[BlockRegions], offsets: Int64) -> tuple[Int64, Int64, Int64, Int64]:
    """Contacts within blocks and pixel sides between them: global pieces a and b, sums, pass heat."""
    at: Mapping[tuple[int, int], int] = {
        (block.window.row0, block.window.col0): number for number, block in enumerate(blocks)
    }
    columns: list[tuple[Int64, Int64, Int64, Int64]] = []
    for block, offset in zip(blocks, offsets[:-1], strict=True):
        own, window = block.contacts, block.window
        columns.append((own.a + offset, own.b + offset, own.sums, own.pass_heat))
        for corner, mine, theirs in (
            ((window.row1, window.col0), "bottom", "top"),
            ((window.row0, window.col1), "right", "left"),
        ):
            other = at.get(corner)
            if other is None:
                continue
            near, far = getattr(block, mine), getattr(blocks[other], theirs)
            both, sums, pass_heat = near.against(far)
            columns.append(
                (near.piece[both] - 1 + offset, far.piece[both] - 1 + offsets[other], sums, pass_heat)
            )
    a, b, sums, pass_heat = (np.concatenate(column) for column in zip(*columns, strict=True))
    return a, b, sums, pass_heat
