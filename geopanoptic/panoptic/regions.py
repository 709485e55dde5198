"""Regions and contacts of one block, and their union over all blocks: the region adjacency graph.

A block is cut into *pieces*: 4-connected sets of pixels that share a watershed label, or, outside every
watershed region, the same stuff class. Per piece and per contact between two pieces only integer sums are
kept. They do not depend on the order in which blocks arrive, so the graph of the whole scene is the same
for every block layout once pieces that meet at a block face have been joined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cc3d
import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geopanoptic.grid import Window

Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the network said about one block's pixels, quantised; all arrays (h, w) uint8."""

    field: NDArray[np.uint8]
    """Probability of any thing, 255 = 1."""
    boundary: NDArray[np.uint8]
    """Probability of a boundary, 255 = 1."""
    thing: NDArray[np.uint8]
    """Most probable thing class, an index into the bundle's thing classes."""
    stuff: NDArray[np.uint8]
    """Most probable stuff class, an index into the bundle's stuff classes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contacts:
    """Pairs of touching pieces ``a < b`` with the number of touching pixel sides and what lies there."""

    a: Int64
    b: Int64
    length_px: Int64
    boundary_sum: Int64
    """Sum over the touching pixel sides of the larger boundary value (uint8) of the two pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """The outermost pixels of a block along one side: piece numbers (0 = nodata) and boundary values."""

    piece: NDArray[np.int32]
    boundary: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRegions:
    """Pieces 1..n of one block (arrays indexed by piece - 1), their contacts, and the block's faces."""

    window: Window
    label: Int64
    """Watershed label (> 0), or -1 - stuff class index."""
    first_px: Int64
    """Smallest pixel index (row * scene width + column)."""
    area_px: Int64
    field_sum: Int64
    thing_counts: Int64
    """(n, thing classes) pixels whose best thing class is that."""
    stuff_counts: Int64
    """(n, stuff classes) pixels whose best stuff class is that."""
    contacts: Contacts
    top: Face
    bottom: Face
    left: Face
    right: Face


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionGraph:
    """Regions 0..n-1 of the whole scene, ordered by their first pixel, and their contacts."""

    label: Int64
    first_px: Int64
    area_px: Int64
    field_sum: Int64
    thing_counts: Int64
    stuff_counts: Int64
    contacts: Contacts


def describe_block(
    labels: Int64,
    valid: NDArray[np.bool_],
    evidence: Evidence,
    *,
    window: Window,
    scene_width: int,
    n_things: int,
    n_stuff: int,
) -> tuple[NDArray[np.int32], BlockRegions]:
    """Cut one block into pieces.

    ``labels`` (h, w) int64 are watershed labels, 0 where a pixel belongs to no thing; ``valid`` is False on
    nodata. Returns the piece of every pixel (int32, 0 = nodata) and the description of the pieces.

    Raises ValueError where a class index on valid ground is not below ``n_things`` or ``n_stuff``.
    """
    highest = np.max(evidence.thing, where=valid, initial=0), np.max(evidence.stuff, where=valid, initial=0)
    if highest[0] >= n_things or highest[1] >= n_stuff:
        raise ValueError(
            f"class indices reach {highest}, but there are {n_things} things and {n_stuff} stuff"
        )
    value = np.where(labels > 0, labels, -1 - evidence.stuff.astype(np.int64))
    value[~valid] = 0
    numbered, n = cc3d.connected_components(value, connectivity=4, return_N=True, out_dtype=np.uint32)
    piece: NDArray[np.int32] = np.ascontiguousarray(numbered).view(np.int32)
    label, first_px, area_px, field_sum, thing_counts, stuff_counts = _sums(
        piece,
        value,
        evidence.field,
        evidence.thing,
        evidence.stuff,
        n,
        n_things,
        n_stuff,
        window.row0,
        window.col0,
        scene_width,
    )
    a, b, boundary = _sides(piece, evidence.boundary)

    def face(index: tuple[slice | int, slice | int]) -> Face:
        return Face(piece=piece[index].copy(), boundary=evidence.boundary[index].copy())

    return piece, BlockRegions(
        window=window,
        label=label,
        first_px=first_px,
        area_px=area_px,
        field_sum=field_sum,
        thing_counts=thing_counts,
        stuff_counts=stuff_counts,
        contacts=gather_contacts(a, b, np.ones(len(a), np.int64), boundary),
        top=face((0, slice(None))),
        bottom=face((-1, slice(None))),
        left=face((slice(None), 0)),
        right=face((slice(None), -1)),
    )


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
    sides = [_face_sides(blocks, offsets)]
    sides += [
        (
            block.contacts.a + offset,
            block.contacts.b + offset,
            block.contacts.length_px,
            block.contacts.boundary_sum,
        )
        for block, offset in zip(blocks, offsets[:-1], strict=True)
    ]
    a, b, length_px, boundary_sum = (np.concatenate(column) for column in zip(*sides, strict=True))

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
    ra, rb = region[a], region[b]
    apart = ra != rb
    graph = RegionGraph(
        label=label[one_piece],
        first_px=first_of_region,
        area_px=sum_by(region, stacked("area_px"), n_regions),
        field_sum=sum_by(region, stacked("field_sum"), n_regions),
        thing_counts=sum_by(region, stacked("thing_counts"), n_regions),
        stuff_counts=sum_by(region, stacked("stuff_counts"), n_regions),
        contacts=gather_contacts(ra[apart], rb[apart], length_px[apart], boundary_sum[apart]),
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


def gather_contacts(a: Int64, b: Int64, length_px: Int64, boundary_sum: Int64) -> Contacts:
    """One contact per pair: sides of the same two pieces are added up, pairs sorted by (a, b), a < b."""
    low, high = np.minimum(a, b), np.maximum(a, b)
    order = np.lexsort((high, low))
    low, high = low[order], high[order]
    new = np.ones(len(low), bool)
    new[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    starts = np.flatnonzero(new)
    if not len(starts):
        nothing = np.zeros(0, np.int64)
        return Contacts(a=nothing, b=nothing, length_px=nothing, boundary_sum=nothing)
    return Contacts(
        a=low[starts],
        b=high[starts],
        length_px=np.add.reduceat(length_px[order], starts),
        boundary_sum=np.add.reduceat(boundary_sum[order], starts),
    )


def _numbered_by_first_pixel(component: Int64, first_px: Int64) -> Int64:
    if not len(component):
        return component
    first = np.full(int(component.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, component, first_px)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return rank[component]


def _face_sides(blocks: Sequence[BlockRegions], offsets: Int64) -> tuple[Int64, Int64, Int64, Int64]:
    """Pixel sides between blocks as global pieces a, b, ones, boundary values."""
    at: Mapping[tuple[int, int], int] = {
        (block.window.row0, block.window.col0): number for number, block in enumerate(blocks)
    }
    columns: list[tuple[Int64, Int64, Int64]] = []
    for number, block in enumerate(blocks):
        window = block.window
        for corner, mine, theirs in (
            ((window.row1, window.col0), "bottom", "top"),
            ((window.row0, window.col1), "right", "left"),
        ):
            other = at.get(corner)
            if other is None:
                continue
            near, far = getattr(block, mine), getattr(blocks[other], theirs)
            both = (near.piece > 0) & (far.piece > 0)
            columns.append(
                (
                    near.piece[both] - 1 + offsets[number],
                    far.piece[both] - 1 + offsets[other],
                    np.maximum(near.boundary, far.boundary)[both].astype(np.int64),
                )
            )
    if not columns:
        nothing = np.zeros(0, np.int64)
        return nothing, nothing, nothing, nothing
    a, b, boundary = (np.concatenate(column) for column in zip(*columns, strict=True))
    return a, b, np.ones(len(a), np.int64), boundary


@njit(nogil=True, cache=True)
def _sums(piece, value, field, thing, stuff, n, n_things, n_stuff, row0, col0, scene_width):  # type: ignore[no-untyped-def]
    label = np.zeros(n, np.int64)
    first_px = np.full(n, -1, np.int64)
    area_px = np.zeros(n, np.int64)
    field_sum = np.zeros(n, np.int64)
    thing_counts = np.zeros((n, n_things), np.int64)
    stuff_counts = np.zeros((n, n_stuff), np.int64)
    for row in range(piece.shape[0]):
        for col in range(piece.shape[1]):
            k = piece[row, col] - 1
            if k < 0:
                continue
            if first_px[k] < 0:
                first_px[k] = (row0 + row) * scene_width + col0 + col
                label[k] = value[row, col]
            area_px[k] += 1
            field_sum[k] += field[row, col]
            thing_counts[k, thing[row, col]] += 1
            stuff_counts[k, stuff[row, col]] += 1
    return label, first_px, area_px, field_sum, thing_counts, stuff_counts


@njit(nogil=True, cache=True)
def _sides(piece, boundary):  # type: ignore[no-untyped-def]
    height, width = piece.shape
    a, b, strength = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64)
    for filling in (False, True):
        n = 0
        for row in range(height):
            for col in range(width):
                here = piece[row, col]
                if here == 0:
                    continue
                for down in range(2):
                    row2, col2 = row + down, col + 1 - down
                    if row2 == height or col2 == width:
                        continue
                    there = piece[row2, col2]
                    if there == 0 or there == here:
                        continue
                    if filling:
                        a[n], b[n] = here - 1, there - 1
                        strength[n] = max(boundary[row, col], boundary[row2, col2])
                    n += 1
        if not filling:
            a, b, strength = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    return a, b, strength
