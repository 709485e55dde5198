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
from geopanoptic.panoptic.contacts import Contacts, Int64, Sides, gather_contacts, sides_within

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
    sums: Int64
    """(n, 5), see ``AREA`` and its neighbours."""
    heat_max: Int64
    """Highest heat, uint16."""
    relief_min: Int64
    """Lowest relief, uint16."""
    thing_counts: Int64
    """(n, thing classes) pixels whose best thing class is that."""
    stuff_counts: Int64
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
    highest = np.max(evidence.thing, where=valid, initial=0), np.max(evidence.stuff, where=valid, initial=0)
    if highest[0] >= n_things or highest[1] >= n_stuff:
        raise ValueError(
            f"class indices reach {highest}, but there are {n_things} things and {n_stuff} stuff"
        )
    value = np.where(labels > 0, labels, -1 - evidence.stuff.astype(np.int64))
    value[~valid] = 0
    numbered, n = cc3d.connected_components(value, connectivity=4, return_N=True, out_dtype=np.uint32)
    piece: NDArray[np.int32] = np.ascontiguousarray(numbered).view(np.int32)
    label, first_px, sums, heat_max, relief_min = _sums(
        piece,
        value,
        evidence.field,
        evidence.boundary,
        evidence.relief,
        evidence.heat,
        n,
        (window.row0, window.col0, scene_width),
    )
    ends, side_sums, pass_heat = sides_within(piece, evidence.boundary, evidence.relief, evidence.heat)

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
        sums=sums,
        heat_max=heat_max,
        relief_min=relief_min,
        thing_counts=_class_counts(piece, evidence.thing, n, n_things),
        stuff_counts=_class_counts(piece, evidence.stuff, n, n_stuff),
        contacts=gather_contacts(ends[:, 0], ends[:, 1], side_sums, pass_heat),
        top=face((0, slice(None))),
        bottom=face((-1, slice(None))),
        left=face((slice(None), 0)),
        right=face((slice(None), -1)),
    )


@njit(nogil=True, cache=True)
def _sums(piece, value, field, boundary, relief, heat, n, origin):  # type: ignore[no-untyped-def]
    row0, col0, scene_width = origin
    height, width = piece.shape
    label = np.zeros(n, np.int64)
    first_px = np.full(n, -1, np.int64)
    sums = np.zeros((n, N_SUMS), np.int64)
    heat_max = np.zeros(n, np.int64)
    relief_min = np.full(n, 65535, np.int64)
    for row in range(height):
        for col in range(width):
            k = piece[row, col] - 1
            if k < 0:
                continue
            if first_px[k] < 0:
                first_px[k] = (row0 + row) * scene_width + col0 + col
                label[k] = value[row, col]
            sums[k, AREA] += 1
            sums[k, INNER_SIDES] += col + 1 < width and piece[row, col + 1] == k + 1
            sums[k, INNER_SIDES] += row + 1 < height and piece[row + 1, col] == k + 1
            sums[k, FIELD] += field[row, col]
            sums[k, BOUNDARY] += boundary[row, col]
            sums[k, RELIEF] += relief[row, col] >> 8
            heat_max[k] = max(heat_max[k], heat[row, col])
            relief_min[k] = min(relief_min[k], relief[row, col])
    return label, first_px, sums, heat_max, relief_min


@njit(nogil=True, cache=True)
def _class_counts(piece, best_class, n, n_classes):  # type: ignore[no-untyped-def]
    counts = np.zeros((n, n_classes), np.int64)
    for row in range(piece.shape[0]):
        for col in range(piece.shape[1]):
            if piece[row, col] > 0:
                counts[piece[row, col] - 1, best_class[row, col]] += 1
    return counts
