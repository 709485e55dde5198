"""Loss terms of the panoptic heads. A pixel without a label takes part in none of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional

from geopanoptic.training.targets import IGNORED


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetBatch:
    """Targets on output pixels, ``(B, H, W)`` each.

    class_bhw int64 (index of the class, ``IGNORED`` where unknown), field_bhw float (1 thing, 0 not; only
    where weight_bhw > 0), centre_bhw and distance_bhw float in [0, 1], boundary_bhw float (``IGNORED``
    where unknown), weight_bhw and shape_weight_bhw float as in ``DenseTargets``.
    """

    class_bhw: Tensor
    field_bhw: Tensor
    centre_bhw: Tensor
    boundary_bhw: Tensor
    distance_bhw: Tensor
    weight_bhw: Tensor
    shape_weight_bhw: Tensor

    def chunk(self, n_parts: int) -> list[TargetBatch]:
        """The batch cut into ``n_parts`` along its first axis, as ``Tensor.chunk`` cuts it."""
        columns = [getattr(self, entry.name).chunk(n_parts) for entry in fields(self)]
        names = [entry.name for entry in fields(self)]
        return [TargetBatch(**dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]


def panoptic_loss(
    logits: Mapping[str, Tensor], targets: TargetBatch, *, thing_classes: tuple[int, ...] = (0,)
) -> dict[str, Tensor]:
    """The weighted terms by name; their sum is the loss.

    ``field`` learns thing against not-thing wherever parcels are labelled, also where the class of the
    rest is unknown; ``classes`` needs the class. Scalars, differentiable.
    """
    semantic = logits["semantic"].float()
    centre, boundary, distance = (
        logits[name].float().squeeze(1) for name in ("centre", "boundary", "distance")
    )
    weight, shape_weight = targets.weight_bhw, targets.shape_weight_bhw
    field_logit = _thing_logit(semantic, thing_classes)
    field_bce = functional.binary_cross_entropy_with_logits(field_logit, targets.field_bhw, reduction="none")
    known_class = targets.class_bhw != IGNORED
    class_ce = functional.cross_entropy(semantic, targets.class_bhw, ignore_index=IGNORED, reduction="none")

    heat = targets.centre_bhw
    known_edge = targets.boundary_bhw != IGNORED
    edge = targets.boundary_bhw * known_edge
    edge_bce = functional.binary_cross_entropy_with_logits(
        boundary, edge, reduction="none", pos_weight=torch.tensor(2.0)
    )
    in_thing = shape_weight * targets.field_bhw
    return {
        "field": _mean(field_bce, weight) + _dice(field_logit.sigmoid(), targets.field_bhw, weight > 0),
        "classes": _mean(class_ce, known_class.float()),
        "centre": 6 * _mean((centre.sigmoid() - heat).square() * (1 + 8 * heat), shape_weight),
        "boundary": _mean(edge_bce, known_edge * weight) + _dice(boundary.sigmoid(), edge, known_edge),
        "distance": 2 * _mean((distance.sigmoid() - targets.distance_bhw).abs(), in_thing),
    }


def _thing_logit(semantic_bchw: Tensor, things: tuple[int, ...]) -> Tensor:
    """Logit of the total probability of the thing classes."""
    stuff = [index for index in range(semantic_bchw.shape[1]) if index not in things]
    return semantic_bchw[:, list(things)].logsumexp(1) - semantic_bchw[:, stuff].logsumexp(1)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp_min(1.0)


def _dice(probability: Tensor, target: Tensor, known: Tensor) -> Tensor:
    probability, target = probability * known, target * known
    overlap = (probability * target).sum()
    return 1 - (2 * overlap + 1) / (probability.sum() + target.sum() + 1)
