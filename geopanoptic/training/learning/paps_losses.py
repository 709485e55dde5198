"""Loss terms of the PaPs heads (Garnot and Landrieu, ICCV 2021): centre, size, class and shape, all of weight 1.

As in the original, a parcel's centre while learning is the pixel of its zone with the highest predicted heat;
the network is asked for size, class and shape there. Unlabelled ground teaches no heat, and a parcel of unknown
class no class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from geopanoptic.models.networks.paps import Box, PapsHeads
from geopanoptic.training.pastis.targets import SIGMA_SHARE
from geopanoptic.training.patches.targets import IGNORED

if TYPE_CHECKING:
    from geopanoptic.training.learning.losses import TargetBatch

_BETA = 4
_TINY = 1e-8
_SUREST = -1e-6  # logarithm of a mask's probability: beyond, what it is not has no logarithm


def paps_loss(
    heads: PapsHeads, outputs_of_batch: Mapping[str, Tensor], targets: TargetBatch
) -> dict[str, Tensor]:
    """The terms by name, means over the parcels of the batch (the shape's: over pixels of their boxes); their sum is
    the loss. Differentiable scalars; ``outputs_of_batch`` are what ``heads`` gave."""
    terms: dict[str, list[Tensor]] = {"centre": [], "size": [], "classes": [], "shape": []}
    for number in range(len(targets.instance_bhw)):
        outputs = {name: values[number].float() for name, values in outputs_of_batch.items()}
        instances_hw, classes_hw = targets.instance_bhw[number], targets.class_bhw[number]
        ids = instances_hw[instances_hw > 0].unique()
        log_heats_nhw, sizes_n2 = _log_heats(instances_hw, ids)
        heat_hw = log_heats_nhw.amax(0).exp() if len(ids) else torch.zeros_like(outputs["heat"][0])
        terms["centre"].append(_focal(outputs["heat"][0], heat_hw, instances_hw >= 0))
        if not len(ids):
            continue
        row_n, col_n = _predicted_centres(outputs["heat"][0].detach(), log_heats_nhw)
        stated = heads.at(outputs, row_n, col_n)
        terms["size"].append(((stated.size_n2 - sizes_n2).abs() / (sizes_n2 + _TINY)).sum(1))
        class_n = torch.stack([classes_hw[instances_hw == each].mode().values for each in ids])
        entropy = functional.cross_entropy(
            stated.semantic_nk, class_n, ignore_index=IGNORED, reduction="none"
        )
        terms["classes"].append(entropy[class_n != IGNORED])
        sizes = stated.size_n2.detach().round().int().tolist()
        places = zip(ids, row_n.tolist(), col_n.tolist(), sizes, stated.shape_n1ss, strict=True)
        for each, row, col, (height, width), shape_1ss in places:
            box = Box.around((row, col), (height, width), (instances_hw.shape[0], instances_hw.shape[1]))
            inside = heads.mask_log_probability(shape_1ss, outputs["saliency"], box).clamp_max(_SUREST)
            outside = torch.log(-torch.expm1(inside))
            truth = instances_hw[box.rows, box.cols] == each
            terms["shape"].append(-torch.where(truth, inside, outside).reshape(-1))
    # Without a parcel in the batch all parameters still have gradients.
    every = (*outputs_of_batch.values(), *heads.parameters())
    nothing = torch.stack([values.sum() * 0.0 for values in every]).sum()
    return {
        name: torch.cat([each.reshape(-1) for each in parts]).sum() / max(sum(map(Tensor.numel, parts)), 1)
        + nothing
        if parts
        else nothing
        for name, parts in terms.items()
    }


def _log_heats(instances_hw: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithm of every parcel's heat (n, H, W) by ``pastis.targets``, and height and width (n, 2) of its box."""
    height, width = instances_hw.shape
    rows = torch.arange(height, device=instances_hw.device, dtype=torch.float32)
    cols = torch.arange(width, device=instances_hw.device, dtype=torch.float32)
    heats, sizes = [], []
    for each in ids:
        mask = instances_hw == each
        along = []
        for line, places, length in ((mask.any(1), rows, height), (mask.any(0), cols, width)):
            inside = line.nonzero()
            first, last = int(inside[0]), int(inside[-1])
            low, high = max(first - 1, 0), min(last + 1, length - 1)
            sigma = SIGMA_SHARE * (high - low)
            along.append(-((places - (low + (high - low) // 2)) ** 2) / (2 * sigma**2))
            sizes.append(last + 1 - first)
        heats.append(along[0][:, None] + along[1][None])
    stacked = torch.stack(heats) if heats else rows.new_zeros((0, height, width))
    return stacked, rows.new_tensor(sizes).view(-1, 2)


def _predicted_centres(heat_hw: Tensor, log_heats_nhw: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column (n,) of the highest predicted heat within each parcel's zone."""
    zone_hw = log_heats_nhw.argmax(0)
    of_zone = torch.arange(len(log_heats_nhw), device=heat_hw.device)[:, None, None] == zone_hw
    place_n = torch.where(of_zone, heat_hw, -torch.inf).flatten(1).argmax(1)
    return place_n // heat_hw.shape[1], place_n % heat_hw.shape[1]


def _focal(logit: Tensor, heat: Tensor, known: Tensor) -> Tensor:
    """CornerNet's loss (Law and Deng, ECCV 2018) with alpha 0 and beta 4: a sum over pixels by the centres."""
    peak = (heat == 1) & known
    missed, false = functional.softplus(-logit), functional.softplus(logit) * (1 - heat) ** _BETA
    return (torch.where(peak, missed, false) * known).sum() / peak.sum().clamp_min(1)
