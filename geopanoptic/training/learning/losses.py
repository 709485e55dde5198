"""Loss terms of the panoptic heads. A pixel without a label takes part in none of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional

from geopanoptic.training.config import LossSettings
from geopanoptic.training.patches.targets import IGNORED

_EDGE_WEIGHT = 2.0
_HEAT_EMPHASIS = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetBatch:
    """Targets on output pixels, ``(B, H, W)`` each.

    class_bhw int64 (index of the class, ``IGNORED`` where unknown), field_bhw float (1 thing, 0 not; only
    where weight_bhw > 0), centre_bhw and distance_bhw float in [0, 1], boundary_bhw float (``IGNORED``
    where unknown), weight_bhw and shape_weight_bhw float as in ``DenseTargets``, instance_bhw int64
    (> 0 parcel, 0 none, -1 unlabelled).
    """

    class_bhw: Tensor
    field_bhw: Tensor
    centre_bhw: Tensor
    boundary_bhw: Tensor
    distance_bhw: Tensor
    weight_bhw: Tensor
    shape_weight_bhw: Tensor
    instance_bhw: Tensor

    def chunk(self, n_parts: int) -> list[TargetBatch]:
        """The batch cut into ``n_parts`` along its first axis, as ``Tensor.chunk`` cuts it."""
        columns = [getattr(self, entry.name).chunk(n_parts) for entry in fields(self)]
        names = [entry.name for entry in fields(self)]
        return [TargetBatch(**dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]

    def to(self, device: torch.device) -> TargetBatch:
        """The same on a device."""
        return TargetBatch(
            **{entry.name: getattr(self, entry.name).to(device, non_blocking=True) for entry in fields(self)}
        )


def panoptic_loss(
    logits: Mapping[str, Tensor],
    targets: TargetBatch,
    *,
    thing_classes: tuple[int, ...] = (0,),
    settings: LossSettings | None = None,
) -> dict[str, Tensor]:
    """The weighted terms by name; their sum is the loss.

    ``field`` learns thing against not-thing wherever parcels are labelled, also where the class of the
    rest is unknown; ``classes`` needs the class. Scalars, differentiable.
    """
    settings = settings or LossSettings()
    semantic = logits["semantic"].float()
    centre, boundary, distance = (
        logits[name].float().squeeze(1) for name in ("centre", "boundary", "distance")
    )
    weight, shape_weight = targets.weight_bhw, targets.shape_weight_bhw
    terms = {}
    if settings.field:
        logit = _thing_logit(semantic, thing_classes)
        bce = functional.binary_cross_entropy_with_logits(logit, targets.field_bhw, reduction="none")
        region = _lovasz if settings.field_region == "lovasz" else _dice
        terms["field"] = settings.field * (_mean(bce, weight) + region(logit, targets.field_bhw, weight > 0))
    if settings.classes:
        terms["classes"] = settings.classes * _class_term(semantic, targets.class_bhw, settings.classes_focal)
    if settings.centre:
        term = _focal_heat if settings.centre_kind == "focal" else _squared_heat
        terms["centre"] = settings.centre * term(centre, targets.centre_bhw, shape_weight)
    if settings.boundary:
        known = targets.boundary_bhw != IGNORED
        edge = targets.boundary_bhw * known
        bce = functional.binary_cross_entropy_with_logits(
            boundary, edge, reduction="none", pos_weight=edge.new_tensor(_EDGE_WEIGHT)
        )
        terms["boundary"] = settings.boundary * (_mean(bce, known * weight) + _dice(boundary, edge, known))
    if settings.distance:
        error = (distance.sigmoid() - targets.distance_bhw).abs()
        terms["distance"] = settings.distance * _mean(error, shape_weight * targets.field_bhw)
    return terms


def divergence(
    logits: Mapping[str, Tensor],
    probabilities: Mapping[str, Tensor],
    weight_bhw: Tensor,
    settings: LossSettings,
) -> Tensor:
    """Kullback-Leibler divergence from other outputs, a mean by weight, every head with its term's factor.

    A network learns from another's outputs as from soft labels (Hinton et al., Distilling the knowledge in a neural
    network, 2015): from older weights', not to forget (Li and Hoiem, Learning without forgetting, ECCV 2016), or
    from its own running average's (Tarvainen and Valpola, Mean teachers, NeurIPS 2017).
    """
    semantic, soft = logits["semantic"].float().log_softmax(1), probabilities["semantic"].float()
    apart = -(soft * semantic).sum(1) - torch.special.entr(soft).sum(1)
    total = settings.field * _mean(apart, weight_bhw)
    for name in ("centre", "boundary", "distance"):
        logit, soft = (each[name].float().squeeze(1) for each in (logits, probabilities))
        entropy = torch.special.entr(soft) + torch.special.entr(1 - soft)
        apart = functional.binary_cross_entropy_with_logits(logit, soft, reduction="none") - entropy
        total = total + getattr(settings, name) * _mean(apart, weight_bhw)
    return total


def probabilities_of(logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Probabilities float32 of dense logits, by head."""
    return {
        name: values.float().softmax(1) if name == "semantic" else values.float().sigmoid()
        for name, values in logits.items()
    }


def _thing_logit(semantic_bchw: Tensor, things: tuple[int, ...]) -> Tensor:
    """Logit of the total probability of the thing classes."""
    stuff = [index for index in range(semantic_bchw.shape[1]) if index not in things]
    return semantic_bchw[:, list(things)].logsumexp(1) - semantic_bchw[:, stuff].logsumexp(1)


def _class_term(semantic_bchw: Tensor, class_bhw: Tensor, exponent: float) -> Tensor:
    """Cross entropy, with ``exponent`` above 0 its focal variant (Lin et al., ICCV 2017)."""
    entropy = functional.cross_entropy(semantic_bchw, class_bhw, ignore_index=IGNORED, reduction="none")
    if exponent:
        entropy = entropy * (1 - (-entropy).exp()).clamp_min(1e-6) ** exponent
    return _mean(entropy, (class_bhw != IGNORED).float())


def _squared_heat(logit: Tensor, heat: Tensor, weight: Tensor) -> Tensor:
    return _mean((logit.sigmoid() - heat).square() * (1 + _HEAT_EMPHASIS * heat), weight)


def _focal_heat(logit: Tensor, heat: Tensor, weight: Tensor) -> Tensor:
    """CornerNet's focal loss (Law and Deng, ECCV 2018; alpha 2, beta 4), a mean over the centres."""
    peak = heat >= 1
    missed = functional.softplus(-logit) * torch.sigmoid(-logit).square()
    false = functional.softplus(logit) * logit.sigmoid().square() * (1 - heat) ** 4
    total = (torch.where(peak, missed, false) * weight).sum()
    return total / (weight * peak).sum().clamp_min(1.0)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp_min(1.0)


def _dice(logit: Tensor, target: Tensor, known: Tensor) -> Tensor:
    probability, target = logit.sigmoid() * known, target * known
    overlap = (probability * target).sum()
    return 1 - (2 * overlap + 1) / (probability.sum() + target.sum() + 1)


def _lovasz(logit: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Lovasz hinge of the Jaccard index over the known pixels (Berman et al., CVPR 2018)."""
    logit, target = logit[known], target[known]
    if not len(target):
        return logit.sum()
    errors, order = (1 - logit * (2 * target - 1)).sort(descending=True)
    sorted_target = target[order]
    found = sorted_target.cumsum(0)
    union = target.sum() + (1 - sorted_target).cumsum(0)
    jaccard = 1 - (target.sum() - found) / union.clamp_min(1)
    step = torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])
    return (functional.relu(errors) * step).sum()
