"""Contacts: what lies along the pixel sides at which two regions touch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

Int64 = NDArray[np.int64]

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
    """

    a: Int64
    b: Int64
    sums: Int64
    pass_heat: Int64

    @property
    def length_px(self) -> Int64:
        return self.sums[:, LENGTH]

    @property
    def boundary_sum(self) -> Int64:
        return self.sums[:, BOUNDARY]

    def select(self, keep: NDArray[np.bool_]) -> Contacts:
        """The contacts where ``keep`` (m,) is True."""
        return Contacts(a=self.a[keep], b=self.b[keep], sums=self.sums[keep], pass_heat=self.pass_heat[keep])

    def renumbered(self, target: Int64) -> Contacts:
        """The contacts between groups of regions, ``target`` giving each region's group."""
        a, b = target[self.a], target[self.b]
        apart = a != b
        return gather_contacts(a[apart], b[apart], self.sums[apart], self.pass_heat[apart])


def gather_contacts(a: Int64, b: Int64, sums: Int64, pass_heat: Int64) -> Contacts:
    """One contact per pair: sides of the same two regions are gathered, pairs sorted by (a, b), a < b."""
    low, high = np.minimum(a, b), np.maximum(a, b)
    order = np.lexsort((high, low))
    low, high = low[order], high[order]
    new = np.ones(len(low), bool)
    new[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    starts = np.flatnonzero(new)
    if not len(starts):
        nothing = np.zeros(0, np.int64)
        return Contacts(a=nothing, b=nothing, sums=np.zeros((0, 4), np.int64), pass_heat=nothing)
    return Contacts(
        a=low[starts],
        b=high[starts],
        sums=np.add.reduceat(sums[order], starts),
        pass_heat=np.maximum.reduceat(pass_heat[order], starts),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """What a row of pixels shows to another row: arrays of one shape, piece numbers with 0 for nodata."""

    piece: NDArray[np.int32]
    boundary: NDArray[np.uint8]
    relief: NDArray[np.uint16]
    heat: NDArray[np.uint16]

    def against(self, other: Sides) -> tuple[NDArray[np.bool_], Int64, Int64]:
        """Sides between facing pixels (n,): which have data on both, their ``sums`` and ``pass_heat``."""
        both = (self.piece > 0) & (other.piece > 0)
        boundary = np.maximum(self.boundary, other.boundary)[both].astype(np.int64)
        relief = np.maximum(self.relief, other.relief)[both].astype(np.int64) >> 8
        ones = np.ones(len(boundary), np.int64)
        sums = np.stack([ones, boundary, (boundary < WEAK_BOUNDARY_U8).astype(np.int64), relief], axis=1)
        return both, sums, np.minimum(self.heat, other.heat)[both].astype(np.int64)


@njit(nogil=True, cache=True)
def sides_within(piece, boundary, relief, heat):  # type: ignore[no-untyped-def]
    """Pieces - 1 (n, 2), ``sums`` (n, 4) and ``pass_heat`` (n,) of every side between two pieces of a block."""
    height, width = piece.shape
    ends, sums, passes = np.empty((0, 2), np.int64), np.empty((0, 4), np.int64), np.empty(0, np.int64)
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
                        strength = max(boundary[row, col], boundary[row2, col2])
                        ends[n, 0], ends[n, 1] = here - 1, there - 1
                        sums[n, 0] = 1
                        sums[n, 1] = strength
                        sums[n, 2] = 1 if strength < WEAK_BOUNDARY_U8 else 0
                        sums[n, 3] = max(relief[row, col], relief[row2, col2]) >> 8
                        passes[n] = min(heat[row, col], heat[row2, col2])
                    n += 1
        if not filling:
            ends, sums = np.empty((n, 2), np.int64), np.empty((n, 4), np.int64)
            passes = np.empty(n, np.int64)
    return ends, sums, passes
