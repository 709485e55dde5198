"""Network probabilities to integers: the last place where a float decides anything about a pixel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

NODATA_CLASS = 255
"""``stuff`` where a pixel has no data."""

LAYERS = ("heat", "relief", "boundary", "field", "thing", "thing_score", "stuff", "stuff_score")
BYTES_PER_PX = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiser:
    """Which semantic channels are things and stuff, and how the relief is mixed.

    ``relief = w * boundary + (1 - w) * (1 - distance)`` with ``w = relief_boundary_weight``.
    """

    thing_channels: tuple[int, ...]
    stuff_channels: tuple[int, ...]
    relief_boundary_weight: float

    def __call__(
        self, outputs: Mapping[str, NDArray[np.float32]], valid: NDArray[np.bool_]
    ) -> dict[str, NDArray[np.generic]]:
        """Quantise one tile.

        ``outputs``: probabilities ``semantic`` (C, h, w), ``centre``, ``boundary``, ``distance`` (1, h, w) or
        (h, w). ``valid`` (h, w). Returns ``LAYERS``: heat and relief uint16 (65535 = 1), boundary and field
        uint8 (255 = 1), thing and stuff uint8 indices into the thing and stuff classes, and thing_score and
        stuff_score uint8, their shares of all things' and all stuff's probability (255 = 1); invalid pixels
        are 0, and ``stuff`` is ``NODATA_CLASS`` there.
        """
        shape = valid.shape
        layers = _quantise(
            outputs["semantic"],
            outputs["centre"].reshape(shape),
            outputs["boundary"].reshape(shape),
            outputs["distance"].reshape(shape),
            valid,
            np.array(self.thing_channels, np.int64),
            np.array(self.stuff_channels, np.int64),
            np.float32(self.relief_boundary_weight),
        )
        return dict(zip(LAYERS, layers, strict=True))


@njit(nogil=True, cache=True, error_model="numpy")
def _quantise(semantic, centre, boundary, distance, valid, things, stuffs, weight):  # type: ignore[no-untyped-def]
    height, width = valid.shape
    heat = np.zeros((height, width), np.uint16)
    relief = np.zeros((height, width), np.uint16)
    edge = np.zeros((height, width), np.uint8)
    field = np.zeros((height, width), np.uint8)
    thing = np.zeros((height, width), np.uint8)
    thing_score = np.zeros((height, width), np.uint8)
    stuff = np.full((height, width), NODATA_CLASS, np.uint8)
    stuff_score = np.zeros((height, width), np.uint8)
    one, half = np.float32(1), np.float32(0.5)
    for row in range(height):
        for col in range(width):
            if not valid[row, col]:
                continue
            total, best, best_thing = np.float32(0), np.float32(-1), 0
            for k in range(len(things)):
                p = semantic[things[k], row, col]
                total += p
                if p > best:
                    best, best_thing = p, k
            if total > np.float32(0):
                thing_score[row, col] = np.uint8(min(best / total, one) * np.float32(255) + half)
            rest, best, best_stuff = np.float32(0), np.float32(-1), 0
            for k in range(len(stuffs)):
                p = semantic[stuffs[k], row, col]
                rest += p
                if p > best:
                    best, best_stuff = p, k
            b = min(max(boundary[row, col], np.float32(0)), one)
            d = min(max(distance[row, col], np.float32(0)), one)
            c = min(max(centre[row, col], np.float32(0)), one)
            heat[row, col] = np.uint16(c * np.float32(65535) + half)
            relief[row, col] = np.uint16((weight * b + (one - weight) * (one - d)) * np.float32(65535) + half)
            edge[row, col] = np.uint8(b * np.float32(255) + half)
            field[row, col] = np.uint8(min(total, one) * np.float32(255) + half)
            thing[row, col] = best_thing
            stuff[row, col] = best_stuff
            if rest > np.float32(0):
                stuff_score[row, col] = np.uint8(min(best / rest, one) * np.float32(255) + half)
    return heat, relief, edge, field, thing, thing_score, stuff, stuff_score
