"""Probabilities to the integers that a run stores, on the device that computed them.

A GPU then sends 10 bytes for every output pixel instead of four for each class and head.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Layers = Mapping[str, NDArray[np.generic]]


class Quantisation(Protocol):
    """Which classes are things and stuff, and how the relief is mixed, see ``panoptic.quantisation.Quantiser``."""

    @property
    def thing_channels(self) -> tuple[int, ...]: ...

    @property
    def stuff_channels(self) -> tuple[int, ...]: ...

    @property
    def relief_boundary_weight(self) -> float: ...


def layers_of(classes_bchw: Tensor, others_bchw: Tensor, how: Quantisation) -> dict[str, Tensor]:
    """The layers (B, h, w) of probabilities of the classes and of centre, boundary and distance, as if all were valid.

    ``Quantiser`` makes the same integers of the same probabilities: each step is rounded as it is there.
    """
    centre, boundary, distance = others_bchw.clamp(0, 1).unbind(1)
    weight = np.float32(how.relief_boundary_weight)
    relief = boundary * float(weight) + (1 - distance) * float(np.float32(1) - weight)
    field, thing, thing_score = _shared(classes_bchw, how.thing_channels)
    _, stuff, stuff_score = _shared(classes_bchw, how.stuff_channels)
    return {
        "heat": _in_steps(centre, torch.uint16),
        "relief": _in_steps(relief, torch.uint16),
        "boundary": _in_steps(boundary, torch.uint8),
        "field": _in_steps(field, torch.uint8),
        "thing": thing,
        "thing_score": _in_steps(thing_score, torch.uint8),
        "stuff": stuff,
        "stuff_score": _in_steps(stuff_score, torch.uint8),
    }


def _shared(classes_bchw: Tensor, channels: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Sum of some channels, the number of the greatest, the first of equal ones, and its share of the sum."""
    total = torch.zeros_like(classes_bchw[:, 0])
    best, which = total.clone(), total.to(torch.uint8)
    for number, channel in enumerate(channels):
        value = classes_bchw[:, channel]
        total = total + value
        which = torch.where(value > best, number, which)
        best = torch.maximum(best, value)
    return total, which, best / torch.where(total > 0, total, 1)


def _in_steps(share: Tensor, dtype: torch.dtype) -> Tensor:
    return (share.clamp(max=1) * torch.iinfo(dtype).max + 0.5).to(torch.int32).to(dtype)
