"""Pieces: one block cut into connected parts, each described by integers that add up over blocks.

A piece is a 4-connected set of pixels that share a watershed label, or, outside every watershed region,
the same stuff class. Of its pixels and of its contacts only integer sums and extremes are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np
from numba import njit
from numpy.typing import NDArray

from geopanoptic.grid import Window
from geopanoptic.panoptic.contacts import Contacts, Int64, Sides, compact, contacts_of, sides_within

AREA, INNER_SIDES, FIELD, BOUNDARY, RELIEF = range(5)
"""Columns of the sums over a region's pixels: their number; the pixel sides between two of them; and the
sums of the thing probability (uint8), the boundary (uint8) and the relief (uint8)."""
N_SUMS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the network said about one block's pixels, quantised; all arrays (h, w)."""

    field: NDArray[np.uint8]
    """Probability of any thing, 255 = 1."""
    boundary: NDArray[np.uint8]
    """Probability of a boundary, 255 = 1."""
    relief: NDArray[np.uint16]
    """The watershed's relief, 65535 = 1: low inside a parcel, high at its edge."""
    heat: NDArray[np.uint16]
    """Heat of centres, 65535 = 1."""
    thing: NDArray[np.uint8]
    """Most probable thing class, an index into the bundle's thing classes."""
    thing_score: NDArray[np.uint8]
    """Its share of the probability of any thing, 255 = 1."""
    stuff: NDArray[np.uint8]
    """Most probable stuff class, an index into the bundle's stuff classes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRegions:
    """Pieces 1..n of one block (arrays indexed by piece - 1), their contacts, and the block's faces."""

    window: Window
    label: Int64
    """Watershed label (> 0), or -1 - stuff class index."""
    first_px: Int64
    """Smallest pixel index (row * scene width + column)."""
    sums: NDArray[np.integer]
    """(n, 5), see ``AREA`` and its neighbours."""
    heat_max: NDArray[np.uint16]
    """Highest heat."""
    relief_min: NDArray[np.uint16]
    """Lowest relief."""
    thing_sums: NDArray[np.integer]
    """(n, thing classes) each class's share of the probability of any thing, summed over pixels in units of
    1 / (255 * max(classes - 1, 1)): what the best class leaves is divided equally among the others."""
    stuff_counts: NDArray[np.integer]
    """(n, stuff classes) pixels whose best stuff class is that."""
    contacts: Contacts
    top: Sides
    bottom: Sides
    left: Sides
    right: Sides


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
    value, *highest = _values(labels, valid, evidence.thing, evidence.stuff)
    if highest[0] >= n_things or highest[1] >= n_stuff:
        raise ValueError(
            f"class indices reach {highest}, but there are {n_things} things and {n_stuff} stuff"
        )
    numbered, n = cc3d.connected_components(value, connectivity=4, return_N=True, out_dtype=np.uint32)
    piece: NDArray[np.int32] = np.ascontiguousarray(numbered).view(np.int32)
    label, first_px, sums, heat_max, relief_min, thing_sums, stuff_counts = _sums(
        piece,
        value,
        evidence.field,
        evidence.boundary,
        evidence.relief,
        evidence.heat,
        evidence.thing,
        evidence.thing_score,
        evidence.stuff,
        (n, n_things, n_stuff),
        (window.row0, window.col0, scene_width),
    )

    def face(index: tuple[slice | int, slice | int]) -> Sides:
        return Sides(
            piece=piece[index].copy(),
            boundary=evidence.boundary[index].copy(),
            relief=evidence.relief[index].copy(),
            heat=evidence.heat[index].copy(),
        )

    return piece, BlockRegions(
        window=window,
        label=label,
        first_px=first_px,
        sums=compact(sums),
        heat_max=heat_max,
        relief_min=relief_min,
        thing_sums=compact(thing_sums),
        stuff_counts=compact(stuff_counts),
        contacts=contacts_of(sides_within(piece, evidence.boundary, evidence.relief, evidence.heat)),
        top=face((0, slice(None))),
        bottom=face((-1, slice(None))),
        left=face((slice(None), 0)),
        right=face((slice(None), -1)),
    )


@njit(nogil=True, cache=True)
def _values(labels, valid, thing, stuff):  # type: ignore[no-untyped-def]
    """What the pixels of one piece share, int64 (h, w), 0 on nodata; the highest class indices there."""
    value = np.zeros(labels.shape, np.int64)
    highest_thing, highest_stuff = 0, 0
    for row in range(labels.shape[0]):
        for col in range(labels.shape[1]):
            if valid[row, col]:
                label = labels[row, col]
                value[row, col] = label if label > 0 else np.int64(-1) - stuff[row, col]
                highest_thing = max(highest_thing, thing[row, col])
                highest_stuff = max(highest_stuff, stuff[row, col])
    return value, highest_thing, highest_stuff


@njit(nogil=True, cache=True)
def _sums(  # type: ignore[no-untyped-def]
    piece, value, field, boundary, relief, heat, thing, thing_score, stuff, counts, origin
):
    n, n_things, n_stuff = counts
    row0, col0, scene_width = origin
    height, width = piece.shape
    label = np.zeros(n, np.int64)
    first_px = np.full(n, -1, np.int64)
    sums = np.zeros((n, N_SUMS), np.int64)
    heat_max = np.zeros(n, np.uint16)
    relief_min = np.full(n, 65535, np.uint16)
    thing_sums = np.zeros((n, n_things), np.int64)
    stuff_counts = np.zeros((n, n_stuff), np.int64)
    for row in range(height):
        for col in range(width):
            k = piece[row, col] - 1
            if k < 0:
                continue
            if first_px[k] < 0:
                first_px[k] = (row0 + row) * scene_width + col0 + col
                label[k] = value[row, col]
            of_piece = sums[k]
            of_piece[AREA] += 1
            of_piece[INNER_SIDES] += col + 1 < width and piece[row, col + 1] == k + 1
            of_piece[INNER_SIDES] += row + 1 < height and piece[row + 1, col] == k + 1
            of_piece[FIELD] += field[row, col]
            of_piece[BOUNDARY] += boundary[row, col]
            of_piece[RELIEF] += relief[row, col] >> 8
            heat_max[k] = max(heat_max[k], heat[row, col])
            relief_min[k] = min(relief_min[k], relief[row, col])
            score = np.int64(thing_score[row, col])
            for number in range(n_things):
                is_best = number == thing[row, col]
                thing_sums[k, number] += score * max(n_things - 1, 1) if is_best else 255 - score
            stuff_counts[k, stuff[row, col]] += 1
    return label, first_px, sums, heat_max, relief_min, thing_sums, stuff_counts
