"""Contacts: what lies along the pixel sides at which two regions touch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geopanoptic.panoptic.contact_table import (
    ContactTable,
    Int64,
    row_of,
    start_table,
    with_room,
)

LENGTH, BOUNDARY, WEAK, RELIEF = range(4)
"""Columns of ``Contacts.sums``."""

WEAK_BOUNDARY_U8 = 64
"""A side whose boundary value is below this is weak: hardly anything parts the two regions there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contacts:
    """Pairs ``a < b`` of touching regions, ascending, and integers gathered over the touching pixel sides.

    ``sums`` (m, 4): the number of sides; the sum of their boundary values (uint8, the larger of the two
    pixels); how many of them are weak; the sum of their relief (uint8, the larger of the two pixels).
    ``pass_heat`` (m,): the highest heat (uint16) that a side lets through, the lower of its two pixels.
    ``a`` and ``b`` are int32, ``pass_heat`` uint16, ``sums`` int64 or, where that is enough, uint32.
    """

    a: NDArray[np.int32]
    b: NDArray[np.int32]
    sums: NDArray[np.integer]
    pass_heat: NDArray[np.uint16]

    @property
    def length_px(self) -> NDArray[np.integer]:
        return self.sums[:, LENGTH]

    @property
    def boundary_sum(self) -> NDArray[np.integer]:
        return self.sums[:, BOUNDARY]

    def select(self, keep: NDArray[np.bool_]) -> Contacts:
        """The contacts where ``keep`` (m,) is True."""
        return Contacts(a=self.a[keep], b=self.b[keep], sums=self.sums[keep], pass_heat=self.pass_heat[keep])

    def lengths_only(self) -> Contacts:
        """The contacts with the first column of their ``sums`` only, in a quarter of the memory."""
        return Contacts(a=self.a, b=self.b, sums=self.sums[:, LENGTH : LENGTH + 1], pass_heat=self.pass_heat)

    def renumbered(self, target: Int64 | NDArray[np.int32]) -> Contacts:
        """The contacts between groups of regions, ``target`` giving each region's group."""
        return gather_contacts(target[self.a], target[self.b], self.sums, self.pass_heat)


def gather_contacts(
    a: NDArray[np.integer], b: NDArray[np.integer], sums: NDArray[np.integer], pass_heat: NDArray[np.integer]
) -> Contacts:
    """One contact per pair of different regions: equal pairs are added up, sorted by (a, b), a < b."""
    apart = np.flatnonzero(a != b)
    keys = np.minimum(a[apart], b[apart]).astype(np.int64)
    keys <<= 32
    keys |= np.maximum(a[apart], b[apart])
    order = np.argsort(keys)
    keys, order = keys[order], apart[order]
    del apart
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    total = np.zeros((len(starts), sums.shape[1]), np.int64)
    highest = np.zeros(len(starts), np.uint16)
    if len(starts):
        # Column by column: the sorted copy of all would be as large as everything else together.
        for column in range(sums.shape[1]):
            total[:, column] = np.add.reduceat(sums[order, column], starts, dtype=np.int64)
        highest[:] = np.maximum.reduceat(pass_heat[order], starts)
    return Contacts(
        a=(keys[starts] >> 32).astype(np.int32),
        b=keys[starts].astype(np.int32),  # the lower half
        sums=compact(total),
        pass_heat=highest,
    )


def contacts_of(table: ContactTable) -> Contacts:
    """The contacts of a table, sorted by (a, b)."""
    n = int(table.size[0])
    order = np.argsort(table.keys[:n])
    keys = table.keys[order]
    return Contacts(
        a=(keys >> 32).astype(np.int32),
        b=keys.astype(np.int32),  # the lower half
        sums=compact(table.sums[order]),
        pass_heat=table.pass_heat[order],
    )


def compact(counts: NDArray[np.integer]) -> NDArray[np.integer]:
    """The same numbers from 0 as uint32 where they fit, in half the memory."""
    return counts.astype(np.uint32) if counts.max(initial=0) <= np.iinfo(np.uint32).max else counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """What a row of pixels shows to another row: arrays of one shape, piece numbers with 0 for nodata."""

    piece: NDArray[np.int32]
    boundary: NDArray[np.uint8]
    relief: NDArray[np.uint16]
    heat: NDArray[np.uint16]

    def against(self, other: Sides) -> tuple[NDArray[np.bool_], NDArray[np.uint32], NDArray[np.uint16]]:
        """Sides between facing pixels (n,): which have data on both, their ``sums`` and ``pass_heat``."""
        both = (self.piece > 0) & (other.piece > 0)
        boundary = np.maximum(self.boundary, other.boundary)[both]
        relief = np.maximum(self.relief, other.relief)[both] >> 8
        sums = np.stack([np.ones(len(boundary)), boundary, boundary < WEAK_BOUNDARY_U8, relief], axis=1)
        return both, sums.astype(np.uint32), np.minimum(self.heat, other.heat)[both]


@njit(nogil=True, cache=True)
def sides_within(piece, boundary, relief, heat):  # type: ignore[no-untyped-def]
    """The table of contacts between the pieces - 1 of a block."""
    height, width = piece.shape
    table = start_table()
    # Whether a side parts two pieces; in words, since mostly it does not.
    parts = np.zeros(-(-width // 8) * 8, np.uint8)
    words = parts.view(np.uint64)
    for row in range(height):
        table = with_room(table, 2 * width)
        for down in range(2):
            row2, n_cols = row + down, width - 1 + down
            if row2 == height:
                continue
            first, second = piece[row, :n_cols], piece[row2, 1 - down :]
            parts[:] = 0
            for col in range(n_cols):
                parts[col] = (first[col] != second[col]) & (first[col] > 0) & (second[col] > 0)
            # Neighbouring sides mostly belong to one contact.
            latest, at = np.int64(-1), 0
            for word in range(len(words)):
                if not words[word]:
                    continue
                for col in range(8 * word, min(8 * word + 8, n_cols)):
                    if not parts[col]:
                        continue
                    here, there = np.int64(first[col]) - 1, np.int64(second[col]) - 1
                    key = min(here, there) << 32 | max(here, there)
                    if key != latest:
                        latest, at = key, row_of(table, key)
                    col2 = col + 1 - down
                    strength = max(boundary[row, col], boundary[row2, col2])
                    sums = table.sums[at]
                    sums[LENGTH] += 1
                    sums[BOUNDARY] += strength
                    sums[WEAK] += strength < WEAK_BOUNDARY_U8
                    sums[RELIEF] += max(relief[row, col], relief[row2, col2]) >> 8
                    table.pass_heat[at] = max(table.pass_heat[at], min(heat[row, col], heat[row2, col2]))
    return table
