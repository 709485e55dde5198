"""Logits in fixed point, so that no rule of fusion decides by a float.

A logit counts in 1/256, from -16 to 16. Tables and clipping make every value depend on its pixel alone.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.int32]
"""Logits in units of 1 / ``LOGIT_UNIT``."""

LOGIT_UNIT = 256
LOGIT_LIMIT = 16 * LOGIT_UNIT
SIGMOID_UNIT = 1 << 15


def logits_of_u8(probability_u8: NDArray[np.integer]) -> Logits:
    """Logits of probabilities, 255 = 1; certainty counts as half a step from it.

    >>> logits_of_u8(np.array([0, 127, 128, 255])).tolist()
    [-1596, -1, 1, 1596]
    """
    return _logit_table()[probability_u8]


def fixed_logits(logits: NDArray[np.number]) -> Logits:
    """Logits as a network gives them, any number; NaN counts as none at all."""
    # Clipped first, and in float32 or wider: integers and halves have no room for the unit.
    clipped = np.clip(logits, np.float32(-LOGIT_LIMIT / LOGIT_UNIT), np.float32(LOGIT_LIMIT / LOGIT_UNIT))
    return np.rint(np.nan_to_num(clipped * np.float32(LOGIT_UNIT), nan=-LOGIT_LIMIT)).astype(np.int32)


def sigmoids(logits: Logits) -> NDArray[np.int64]:
    """Sigmoids of fixed logits, in units of 1 / ``SIGMOID_UNIT``."""
    return _sigmoid_table()[np.clip(logits, -LOGIT_LIMIT, LOGIT_LIMIT) + LOGIT_LIMIT]


def product_u8(a: NDArray[np.integer], b: NDArray[np.integer]) -> NDArray[np.uint8]:
    """The product of two probabilities, 255 = 1 in all of them, rounded."""
    return ((a.astype(np.uint32) * b + 127) // 255).astype(np.uint8)


@cache
def _logit_table() -> Logits:
    probability = np.clip(np.arange(256), 0.5, 254.5) / 255
    table = fixed_logits(np.log(probability / (1 - probability)))
    table.flags.writeable = False
    return table


@cache
def _sigmoid_table() -> NDArray[np.int64]:
    logits = np.arange(-LOGIT_LIMIT, LOGIT_LIMIT + 1) / LOGIT_UNIT
    table = np.rint(SIGMOID_UNIT / (1 + np.exp(-logits))).astype(np.int64)
    table.flags.writeable = False
    return table
