"""Contacts: what lies along the pixel sides at which two regions touch."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geopanoptic.panoptic.contact_table import (
    ContactTable,
    Int64,
    recent_slot,
    row_of,
    start_table,
    with_room,
)
from geopanoptic.panoptic.parts import Map, places_of

LENGTH, BOUNDARY, WEAK, RELIEF = range(4)
"""Columns of ``Contacts.sums``."""

WEAK_BOUNDARY_U8 = 64
"""A side whose boundary value is below this is weak: hardly anything parts the two regions there."""

_REGIONS_AT_ONCE = 1 << 13
_RECENT = 1 << 11


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


def gather_contacts(
    a: NDArray[np.integer],
    b: NDArray[np.integer],
    sums: NDArray[np.integer],
    pass_heat: NDArray[np.integer],
    *,
    each: Map = map,
) -> Contacts:
    """One contact per pair of different regions: equal pairs are added up, sorted by (a, b), a < b.

    ``each`` computes bands of regions.
    """
    low = np.minimum(a, b)
    n_bands = int(low.max(initial=0)) // _REGIONS_AT_ONCE + 1
    band = low // _REGIONS_AT_ONCE
    band[a == b] = n_bands
    del low
    *of_bands, _ = places_of(band, n_bands + 1)
    del band

    names = [field.name for field in fields(Contacts)]

    def gather(places: Int64) -> list[NDArray[np.integer]]:
        here, there = a[places], b[places]
        keys = np.minimum(here, there).astype(np.int64) << 32 | np.maximum(here, there)
        order = np.argsort(keys)
        contacts = _of_keys(*_added_up(keys[order], places[order], sums, pass_heat))
        return [getattr(contacts, name) for name in names]

    columns = dict(zip(names, zip(*each(gather, of_bands), strict=True), strict=True))
    del of_bands
    # One after the other: each is there twice for a moment.
    return Contacts(**{name: np.concatenate(columns.pop(name)) for name in names})


@njit(nogil=True, cache=True)
def _added_up(keys, places, sums, pass_heat):  # type: ignore[no-untyped-def]
    """Every key once, of ascending ``keys`` (m,), with the sums and the highest heat at its ``places`` (m,)."""
    count = 0
    total = np.zeros((len(keys), sums.shape[1]), np.int64)
    highest = np.zeros(len(keys), np.uint16)
    for i in range(len(keys)):
        if i and keys[i] != keys[count]:
            count += 1
        keys[count] = keys[i]
        for column in range(sums.shape[1]):
            total[count, column] += sums[places[i], column]
        highest[count] = max(highest[count], pass_heat[places[i]])
    count += len(keys) > 0
    return keys[:count], total[:count], highest[:count]


def _of_keys(keys: Int64, sums: Int64, pass_heat: NDArray[np.uint16]) -> Contacts:
    """The contacts of ascending keys ``a << 32 | b``."""
    return Contacts(
        a=(keys >> 32).astype(np.int32),
        b=keys.astype(np.int32),  # the lower half
        sums=compact(sums),
        pass_heat=pass_heat,
    )


def strength_of(sums: NDArray[np.integer]) -> NDArray[np.float64]:
    """(m,) mean boundary, 0 to 1, along contacts with such ``sums`` (m, 4)."""
    return sums[:, BOUNDARY] / (255.0 * sums[:, LENGTH])


def contacts_of(table: ContactTable) -> Contacts:
    """The contacts of a table, sorted by (a, b)."""
    n = int(table.size[0])
    order = np.argsort(table.keys[:n])
    return _of_keys(table.keys[order], table.sums[order], table.pass_heat[order])


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
    # Sides that follow each other mostly belong to contacts met just before: these are found without the table.
    keys, rows = np.full(_RECENT, -1, np.int64), np.empty(_RECENT, np.int32)
    # Whether a side parts two pieces; whole words, since mostly it does not.
    parts = np.zeros(-(-width // 8) * 8, np.uint8)
    places = np.empty(len(parts) + 1, np.int32)
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
            for col in places[: _find_marked(parts, places)]:
                here, there = np.int64(first[col]) - 1, np.int64(second[col]) - 1
                key = min(here, there) << 32 | max(here, there)
                slot = recent_slot(key, _RECENT)
                if keys[slot] != key:
                    keys[slot], rows[slot] = key, row_of(table, key)
                at, col2 = rows[slot], col + 1 - down
                strength = max(boundary[row, col], boundary[row2, col2])
                sums = table.sums[at]
                sums[LENGTH] += 1
                sums[BOUNDARY] += strength
                sums[WEAK] += strength < WEAK_BOUNDARY_U8
                sums[RELIEF] += max(relief[row, col], relief[row2, col2]) >> 8
                table.pass_heat[at] = max(table.pass_heat[at], min(heat[row, col], heat[row2, col2]))
    return table


@njit(nogil=True, cache=True)
def _find_marked(marks: NDArray[np.uint8], places: NDArray[np.int32]) -> int:
    """Fill in the places of the ``marks`` (0 or 1), ascending; returns how many there are.

    Without a branch at each: a processor guesses wrong whether a pixel lies on a border.
    """
    words = marks.view(np.uint64)
    count = 0
    for word in range(len(words)):
        if words[word]:
            for place in range(8 * word, 8 * word + 8):
                places[count] = place
                count += marks[place]
    return count
