"""Pieces: one block cut into connected parts, each described by integers that add up over blocks.

A piece is a 4-connected set of pixels that share a watershed label, or, outside every watershed region,
the same stuff class. Of its pixels and of its contacts only integer sums and extremes are kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geopanoptic.grid import Window
from geopanoptic.panoptic.graph.contacts import Contacts, Int64, Sides, compact, contacts_of, sides_within
from geopanoptic.panoptic.watershed.forest import find_root

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

    def labelled(self, label: Int64) -> BlockRegions:
        """The same where ``label`` (labels + 1,) gives each label a new one: 0 where it is none, and what it
        was given to is stuff."""
        new = np.where(self.label > 0, label[np.maximum(self.label, 0)], self.label)
        (is_stuff,) = np.nonzero(new == 0)
        new[is_stuff] = -1 - self.stuff_counts[is_stuff].argmax(axis=1)
        return replace(self, label=new)


def describe_block(
    labels: NDArray[np.integer],
    valid: NDArray[np.bool_],
    evidence: Evidence,
    *,
    window: Window,
    scene_width: int,
    n_things: int,
    n_stuff: int,
    n_certain: int | None = None,
) -> tuple[NDArray[np.int32], BlockRegions]:
    """Cut one block into pieces.

    ``labels`` (h, w) are watershed labels, 0 where a pixel belongs to no thing; ``valid`` is False on nodata,
    where ``evidence`` may hold anything. Labels above ``n_certain``, where that is given, may turn out to be none:
    their pieces are also of one stuff class. Returns the piece of every pixel (int32, 0 = nodata) and the description
    of the pieces.

    Raises ValueError where a class index on valid ground is not below ``n_things`` or ``n_stuff``.
    """
    # Large arrays come from numpy, which asks the system for huge pages; compiled code does not.
    piece, parent = np.empty(labels.shape, np.int32), np.empty(labels.size + 1, np.int32)
    n, *highest = _number_pieces(
        labels,
        valid,
        evidence.thing,
        evidence.stuff,
        np.iinfo(np.int64).max if n_certain is None else n_certain,
        piece,
        parent,
    )
    if highest[0] >= n_things or highest[1] >= n_stuff:
        raise ValueError(
            f"class indices reach {highest}, but there are {n_things} things and {n_stuff} stuff"
        )
    first_px, sums, heat_max, relief_min, thing_sums, stuff_counts = _sums(
        piece,
        evidence.field,
        evidence.boundary,
        evidence.relief,
        evidence.heat,
        evidence.thing,
        evidence.thing_score,
        evidence.stuff,
        (n, n_things, n_stuff),
    )
    label = labels.ravel()[first_px].astype(np.int64)
    label = np.where(label > 0, label, np.int64(-1) - evidence.stuff.ravel()[first_px])
    rows, cols = np.divmod(first_px, window.width)

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
        first_px=(window.row0 + rows) * scene_width + window.col0 + cols,
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
def _number_pieces(labels, valid, thing, stuff, n_certain, piece, parent):  # type: ignore[no-untyped-def]
    """Fill in the piece of every pixel, by first pixel, 0 on nodata; ``parent`` (h * w + 1,) may hold anything.

    Returns their number, and the highest class indices of things and of stuff on valid ground.
    """
    height, width = labels.shape
    # What the pixels of one piece share; a border of nodata to the left saves asking for it.
    above, here = np.zeros(width + 1, np.int64), np.zeros(width + 1, np.int64)
    parent[0] = 0
    count = 1
    highest_thing, highest_stuff = 0, 0
    for row in range(height):
        above, here = here, above
        for col in range(width):
            label, cover = np.int64(labels[row, col]), np.int64(stuff[row, col])
            of_label = label | np.int64(label > n_certain) * (cover + 1) << 32
            here[col + 1] = (of_label if label > 0 else -1 - cover) * valid[row, col]
        for col in range(width):
            highest_thing = max(highest_thing, thing[row, col] * valid[row, col])
            highest_stuff = max(highest_stuff, stuff[row, col] * valid[row, col])
        for col in range(width):
            value = here[col + 1]
            if value == 0:
                piece[row, col] = 0
            elif value == here[col]:
                piece[row, col] = piece[row, col - 1]
                # Where the pixel before touches the row above too, the two are joined already.
                if value == above[col + 1] and value != above[col]:
                    a = find_root(parent, piece[row, col - 1])
                    b = find_root(parent, piece[row - 1, col])
                    parent[max(a, b)] = min(a, b)
            elif value == above[col + 1]:
                piece[row, col] = piece[row - 1, col]
            else:
                piece[row, col] = parent[count] = count
                count += 1
    # Parents have smaller numbers, so one ascending pass renumbers them all.
    n = 0
    for number in range(1, count):
        if parent[number] == number:
            n += 1
            parent[number] = n
        else:
            parent[number] = parent[parent[number]]
    for row in range(height):
        for col in range(width):
            piece[row, col] = parent[piece[row, col]]
    return n, highest_thing, highest_stuff


@njit(nogil=True, cache=True)
def _sums(piece, field, boundary, relief, heat, thing, thing_score, stuff, counts):  # type: ignore[no-untyped-def]
    n, n_things, n_stuff = counts
    height, width = piece.shape
    first_px = np.full(n, -1, np.int64)
    sums = np.zeros((n, N_SUMS), np.int64)
    heat_max = np.zeros(n, np.uint16)
    relief_min = np.full(n, 65535, np.uint16)
    thing_sums = np.zeros((n, n_things), np.int64)
    stuff_counts = np.zeros((n, n_stuff), np.int64)
    others = max(n_things - 1, 1)
    for row in range(height):
        pieces, below = piece[row], piece[min(row + 1, height - 1)]
        things, covers, shares = thing[row], stuff[row], thing_score[row]
        fields, edges, heights, heats = field[row], boundary[row], relief[row], heat[row]
        end = 0
        while end < width:
            # A run of one piece and one class of either kind goes to the sums at once.
            begin, number, best, cover = end, pieces[end], things[end], covers[end]
            while end < width and pieces[end] == number and things[end] == best and covers[end] == cover:
                end += 1
            k, length = number - 1, end - begin
            if k < 0:
                continue
            if first_px[k] < 0:
                first_px[k] = row * width + begin
            sides = length - 1 + (end < width and pieces[end] == number)
            highest, lowest = heat_max[k], relief_min[k]
            in_field = in_boundary = in_relief = score = np.int64(0)
            for col in range(begin, end):
                sides += below[col] == number
                in_field += fields[col]
                in_boundary += edges[col]
                in_relief += heights[col] >> 8
                score += shares[col]
                highest, lowest = max(highest, heats[col]), min(lowest, heights[col])
            of_piece = sums[k]
            of_piece[AREA] += length
            of_piece[INNER_SIDES] += sides if row + 1 < height else sides - length
            of_piece[FIELD] += in_field
            of_piece[BOUNDARY] += in_boundary
            of_piece[RELIEF] += in_relief
            heat_max[k], relief_min[k] = highest, lowest
            for other in range(n_things):
                thing_sums[k, other] += score * others if other == best else 255 * length - score
            stuff_counts[k, cover] += length
    return first_px, sums, heat_max, relief_min, thing_sums, stuff_counts
