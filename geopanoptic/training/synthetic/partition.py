"""Cutting ground into parcels: a random binary partition of every block, in the block's own direction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

_SMALLEST_SHARE = 0.2  # no cell is cut below this share of its block's parcel area
_NARROWEST_CUT = 0.25  # no cut leaves less than this share on one side


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutting:
    """How each of n blocks is cut, arrays (n,).

    ``angle`` radians; ``skew`` shears the parcels; ``area_m2`` median; ``spread`` of its logarithm;
    ``aspect`` length over width; ``irregular`` 0..1; ``is_pivot``: cells hold a circle.
    """

    angle: NDArray[np.float64]
    skew: NDArray[np.float64]
    area_m2: NDArray[np.float64]
    spread: NDArray[np.float64]
    aspect: NDArray[np.float64]
    irregular: NDArray[np.float64]
    is_pivot: NDArray[np.bool_]


def partition(
    x_m: NDArray[np.float32],
    y_m: NDArray[np.float32],
    block: NDArray[np.int32],
    cutting: Cutting,
    rng: np.random.Generator,
) -> NDArray[np.int32]:
    """Cell number of every pixel (h, w): even ones are cells or circles, odd ones corners around circles.

    Cells are cut across their longer side, measured with the width stretched by the aspect, until they are
    about as large as their block wants; cuts are not quite parallel where ``irregular``.
    """
    cos, sin = np.cos(cutting.angle), np.sin(cutting.angle)
    bounds = _bounds(x_m, y_m, block, cos, sin, cutting.skew)
    tree = _grow(bounds, cutting.area_m2, cutting.spread, cutting.aspect, cutting.irregular, rng)
    return _descend(x_m, y_m, block, cos, sin, cutting.skew, cutting.is_pivot, *tree)


@njit(nogil=True, cache=True)
def _bounds(x, y, block, cos, sin, skew):  # type: ignore[no-untyped-def]
    """Extent (n, 4) of every block in its own coordinates: u0, u1, v0, v1."""
    bounds = np.empty((len(cos), 4))
    bounds[:, 0::2] = np.inf
    bounds[:, 1::2] = -np.inf
    for row in range(x.shape[0]):
        for col in range(x.shape[1]):
            b = block[row, col]
            u = cos[b] * x[row, col] + sin[b] * y[row, col]
            v = cos[b] * y[row, col] - sin[b] * x[row, col] + skew[b] * u
            bounds[b, 0] = min(bounds[b, 0], u)
            bounds[b, 1] = max(bounds[b, 1], u)
            bounds[b, 2] = min(bounds[b, 2], v)
            bounds[b, 3] = max(bounds[b, 3], v)
    return bounds


@njit(nogil=True, cache=True)
def _grow(bounds, area, spread, aspect, irregular, rng):  # type: ignore[no-untyped-def]
    """Trees of all blocks in one table; block b has its root in node b."""
    n = len(bounds)
    capacity = n
    for b in range(n):
        if bounds[b, 1] >= bounds[b, 0]:
            extent = (bounds[b, 1] - bounds[b, 0]) * (bounds[b, 3] - bounds[b, 2])
            capacity += 2 * int(extent / (_SMALLEST_SHARE * _NARROWEST_CUT * area[b])) + 2
    rect = np.empty((capacity, 4), np.float32)
    owner = np.empty(capacity, np.int32)
    axis = np.full(capacity, -1, np.int8)
    cut = np.zeros(capacity, np.float32)
    slant = np.zeros(capacity, np.float32)
    child = np.zeros(capacity, np.int32)
    count = n
    for b in range(n):
        rect[b] = bounds[b]
        owner[b] = b
    node = 0
    while node < count:
        u0, u1, v0, v1 = rect[node]
        b = owner[node]
        if u1 >= u0:
            wanted = area[b] * max(np.exp(1.1 + spread[b] * rng.standard_normal()), _SMALLEST_SHARE)
            if (u1 - u0) * (v1 - v0) > wanted:
                across_u = (u1 - u0) * aspect[b] > v1 - v0
                share = 0.5 + (0.03 + 0.2 * irregular[b]) * rng.standard_normal()
                share = min(max(share, _NARROWEST_CUT), 1 - _NARROWEST_CUT)
                slant[node] = 0.12 * irregular[b] * rng.standard_normal() / (aspect[b] if across_u else 1.0)
                axis[node] = 0 if across_u else 1
                child[node] = count
                for _side in range(2):
                    rect[count] = rect[node]
                    owner[count] = b
                    count += 1
                if across_u:
                    cut[node] = u0 + share * (u1 - u0)
                    rect[count - 2, 1] = cut[node]
                    rect[count - 1, 0] = cut[node]
                else:
                    cut[node] = v0 + share * (v1 - v0)
                    rect[count - 2, 3] = cut[node]
                    rect[count - 1, 2] = cut[node]
        node += 1
    return rect[:count], axis[:count], cut[:count], slant[:count], child[:count]


@njit(nogil=True, cache=True)
def _descend(x, y, block, cos, sin, skew, is_pivot, rect, axis, cut, slant, child):  # type: ignore[no-untyped-def]
    cell = np.empty(x.shape, np.int32)
    for row in range(x.shape[0]):
        for col in range(x.shape[1]):
            b = block[row, col]
            u = cos[b] * x[row, col] + sin[b] * y[row, col]
            v = cos[b] * y[row, col] - sin[b] * x[row, col] + skew[b] * u
            node = b
            while axis[node] >= 0:
                u0, u1, v0, v1 = rect[node]
                if axis[node] == 0:
                    value = u + slant[node] * (v - (v0 + v1) / 2)
                else:
                    value = v + slant[node] * (u - (u0 + u1) / 2)
                node = child[node] + (1 if value > cut[node] else 0)
            cell[row, col] = 2 * node
            if is_pivot[b]:
                u0, u1, v0, v1 = rect[node]
                radius = 0.485 * min(u1 - u0, v1 - v0)
                if (u - (u0 + u1) / 2) ** 2 + (v - (v0 + v1) / 2) ** 2 > radius**2:
                    cell[row, col] += 1
    return cell


@njit(nogil=True, cache=True)
def border_chance(labels, salt):  # type: ignore[no-untyped-def]
    """(h, w) float32: a number in 0..1 for every pair of neighbours, the same all along their border; 2 off it.

    A pixel is on a border if its right or its lower neighbour has another label.
    """
    chance = np.full(labels.shape, 2.0, np.float32)
    for row in range(labels.shape[0]):
        for col in range(labels.shape[1]):
            here = labels[row, col]
            other = here
            if col + 1 < labels.shape[1] and labels[row, col + 1] != here:
                other = labels[row, col + 1]
            elif row + 1 < labels.shape[0] and labels[row + 1, col] != here:
                other = labels[row + 1, col]
            if other != here:
                key = np.uint64(min(here, other)) * np.uint64(0x9E3779B97F4A7C15)
                key ^= np.uint64(max(here, other)) * np.uint64(0xC2B2AE3D27D4EB4F) + np.uint64(salt)
                key ^= key >> np.uint64(29)
                key *= np.uint64(0xBF58476D1CE4E5B9)
                key ^= key >> np.uint64(32)
                chance[row, col] = np.float32(key >> np.uint64(40)) / np.float32(1 << 24)
    return chance
