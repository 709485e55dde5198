"""The five official folds: three to train on, one to choose by, one to be scored on, in turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Part = Literal["training", "validation", "test"]

FOLDS: Mapping[int, Mapping[Part, tuple[int, ...]]] = {
    fold: {
        "training": tuple((fold - 1 + step) % 5 + 1 for step in range(3)),
        "validation": ((fold + 2) % 5 + 1,),
        "test": ((fold + 3) % 5 + 1,),
    }
    for fold in range(1, 6)
}
"""Folds of patches by experiment and part: 123/4/5, 234/5/1, 345/1/2, 451/2/3, 512/3/4."""
