"""Network probabilities to integers: the last place where a float decides anything about a pixel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geopanoptic.grid import Window

NODATA_CLASS = 255
"""``stuff`` where a pixel has no data."""

LAYERS = ("heat", "relief", "boundary", "field", "thing", "thing_score", "stuff", "stuff_score")
BYTES_PER_PX = 10

_WIDE = ("heat", "relief")


def empty_layers(shape: tuple[int, int]) -> dict[str, NDArray[np.generic]]:
    """``LAYERS`` (h, w) without a valid pixel: 0, and ``stuff`` is ``NODATA_CLASS``."""
    layers: dict[str, NDArray[np.generic]] = {
        name: np.zeros(shape, np.uint16 if name in _WIDE else np.uint8) for name in LAYERS
    }
    layers["stuff"] = np.full(shape, NODATA_CLASS, np.uint8)
    return layers


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

        ``outputs``: probabilities ``semantic`` (C, H, W), ``centre``, ``boundary``, ``distance`` (1, H, W) or
        (H, W), of which ``valid`` (h, w) is the middle. Returns ``LAYERS``: heat and relief uint16 (65535 = 1),
        boundary and field uint8 (255 = 1), thing and stuff uint8 indices into the thing and stuff classes, and
        thing_score and stuff_score uint8, their shares of all things' and all stuff's probability (255 = 1);
        invalid pixels are as in ``empty_layers``.
        """
        layers, window = empty_layers(valid.shape), Window(0, 0, *valid.shape)
        self.fill(layers, window, outputs, valid, window)
        return layers

    def fill(
        self,
        layers: Mapping[str, NDArray[np.generic]],
        block: Window,
        outputs: Mapping[str, NDArray[Any]],
        valid: NDArray[np.bool_],
        tile: Window,
    ) -> None:
        """Quantise what lies of ``tile``, which is that of ``valid``, in ``block``, which is that of ``layers``.

        ``outputs`` are as in ``__call__``, or ``LAYERS`` (H, W) already, with any values where pixels are invalid. Without a copy of ``outputs`` in C order. Safe to call from several threads for tiles that do not
        overlap.
        """
        part = tile.intersection(block)
        if part is None:
            return
        in_tile = (part.row0 - tile.row0, part.col0 - tile.col0)
        in_block = (part.row0 - block.row0, part.col0 - block.col0)
        shape = outputs["semantic" if "semantic" in outputs else LAYERS[0]].shape[-2:]
        middle = ((shape[0] - tile.height) // 2, (shape[1] - tile.width) // 2)
        if "semantic" not in outputs:
            there = _at((middle[0] + in_tile[0], middle[1] + in_tile[1]), part.shape)
            for name in LAYERS:
                here = layers[name][_at(in_block, part.shape)]
                np.copyto(here, outputs[name][there], where=valid[_at(in_tile, part.shape)])
            return
        centre, boundary, distance = (
            np.ascontiguousarray(outputs[name]).reshape(shape) for name in ("centre", "boundary", "distance")
        )
        _quantise(
            np.ascontiguousarray(outputs["semantic"]),
            centre,
            boundary,
            distance,
            valid,
            np.array(self.thing_channels, np.int64),
            np.array(self.stuff_channels, np.int64),
            np.float32(self.relief_boundary_weight),
            tuple(layers[name] for name in LAYERS),
            part.shape,
            in_tile,
            in_block,
            middle,
        )


def _at(origin: tuple[int, int], shape: tuple[int, int]) -> tuple[slice, slice]:
    return slice(origin[0], origin[0] + shape[0]), slice(origin[1], origin[1] + shape[1])


def was_compiled() -> bool:
    """Whether numba has kept this kernel, and so most probably all others, from an earlier run on this machine."""
    kept = _quantise.stats.cache_path
    return kept is not None and any(Path(kept).glob("quantisation._quantise-*.nbi"))


@njit(nogil=True, cache=True, error_model="numpy")
def _quantise(  # type: ignore[no-untyped-def]
    semantic,
    centre,
    boundary,
    distance,
    valid,
    things,
    stuffs,
    weight,
    layers,
    shape,
    in_tile,
    in_block,
    middle,
):
    heat, relief, edge, field, thing, thing_score, stuff, stuff_score = layers
    height, width = shape
    one, half, full, wide = np.float32(1), np.float32(0.5), np.float32(255), np.float32(65535)
    total, best, which = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.int32)
    for row in range(height):
        # A row at a time, and no branch within a loop: these loops vectorise.
        of_tile, of_block = in_tile[0] + row, in_block[0] + row
        of_output = middle[0] + of_tile
        cols = slice(in_tile[1], in_tile[1] + width)
        here = slice(in_block[1], in_block[1] + width)
        there = slice(middle[1] + in_tile[1], middle[1] + in_tile[1] + width)
        is_valid = valid[of_tile, cols]

        _gather(semantic, things, of_output, there, total, best, which)
        fields, kinds, scores = field[of_block, here], thing[of_block, here], thing_score[of_block, here]
        for col in range(width):
            fields[col] = np.int32(_at_most_one(total[col]) * full + half) * is_valid[col]
        _share(total, best, is_valid, scores)
        for col in range(width):
            kinds[col] = which[col] * is_valid[col]

        _gather(semantic, stuffs, of_output, there, total, best, which)
        kinds, scores = stuff[of_block, here], stuff_score[of_block, here]
        _share(total, best, is_valid, scores)
        for col in range(width):
            kinds[col] = which[col] if is_valid[col] else NODATA_CLASS

        centres, edges, away = (
            centre[of_output, there],
            boundary[of_output, there],
            distance[of_output, there],
        )
        heats, reliefs, bounds = heat[of_block, here], relief[of_block, here], edge[of_block, here]
        for col in range(width):
            heats[col] = np.int32(_within_one(centres[col]) * wide + half) * is_valid[col]
        for col in range(width):
            b = _within_one(edges[col])
            mixed = weight * b + (one - weight) * (one - _within_one(away[col]))
            reliefs[col] = np.int32(mixed * wide + half) * is_valid[col]
            bounds[col] = np.int32(b * full + half) * is_valid[col]


@njit(nogil=True, cache=True)
def _at_most_one(value):  # type: ignore[no-untyped-def]
    return value if value < np.float32(1) else np.float32(1)


@njit(nogil=True, cache=True)
def _within_one(value):  # type: ignore[no-untyped-def]
    return _at_most_one(value if value > np.float32(0) else np.float32(0))


@njit(nogil=True, cache=True, error_model="numpy")
def _share(total, best, is_valid, scores):  # type: ignore[no-untyped-def]
    for col in range(len(total)):
        whole = total[col] if total[col] > np.float32(0) else np.float32(1)
        share = _at_most_one(best[col] / whole)
        scores[col] = np.int32(share * np.float32(255) + np.float32(0.5)) * is_valid[col]


@njit(nogil=True, cache=True)
def _gather(semantic, channels, row, cols, total, best, which):  # type: ignore[no-untyped-def]
    """Sum of some channels along a row, the greatest of them, and its number; the first of equal ones."""
    total[:] = 0
    best[:] = 0
    which[:] = 0
    for number in range(len(channels)):
        values = semantic[channels[number], row, cols]
        for col in range(len(total)):
            value = values[col]
            total[col] += value
            which[col] = number if value > best[col] else which[col]
            best[col] = value if value > best[col] else best[col]
