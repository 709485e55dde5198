"""Parcels-as-Points (PaPs; Garnot and Landrieu, ICCV 2021) as heads of this project's networks.

Every pixel states whether it is the centre of a parcel, and the size, class and 16 x 16 shape of the parcel of
which it would be; a second map says where the rims lie (saliency). A parcel is what the shape, stretched over a
box of that size and added to the saliency inside it, marks as its own. The original computes size, class and
shape at centres only and passes every mask through three more convolutions; dense heads and plain sums are what
a network without loops can be. Unlike the dense outputs, parcels come out without a seam only where the whole
image is in one tile, so ``geopanoptic run`` does not take such a network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

SHAPE_PX = 16
_HEAT_PRIOR_LOGIT = -4.0


def paps_heads(n_channels: int, n_classes: int) -> nn.ModuleDict:
    """Heads (B, n_channels, H, W) -> (B, ., H, W): ``heat`` and ``saliency`` 1, ``size`` 2, ``semantic``
    ``n_classes``, ``shape`` 256; all logits, ``size`` before a softplus that gives output pixels."""
    widths = {"heat": 1, "saliency": 1, "size": 2, "semantic": n_classes, "shape": SHAPE_PX**2}
    heads = nn.ModuleDict(
        {
            name: nn.Sequential(
                nn.Conv2d(n_channels, n_channels, 3, padding=1), nn.ReLU(), nn.Conv2d(n_channels, width, 1)
            )
            for name, width in widths.items()
        }
    )
    nn.init.constant_(heads["heat"][-1].bias, _HEAT_PRIOR_LOGIT)  # type: ignore[index]
    return heads


@dataclass(frozen=True, slots=True, kw_only=True)
class PapsRules:
    """How parcels are drawn, as the original does."""

    min_confidence: float = 0.2
    """Least heat of a centre."""
    mask_threshold: float = 0.4
    """Least probability of a pixel of a parcel."""
    min_remain: float = 0.5
    """Least share of a parcel that no more confident one covers."""


def sizes_px(logits_n2: Tensor) -> Tensor:
    """Height and width (n, 2) of boxes in output pixels."""
    return functional.softplus(logits_n2)


def mask_logits(
    outputs: Mapping[str, Tensor], centre_px: tuple[int, int], size_px: tuple[int, int]
) -> tuple[tuple[slice, slice], Tensor]:
    """The part of an image's box around a centre that lies inside it, and the mask's logits there.

    ``outputs`` are of one image, (., H, W) each.
    """
    row, col = centre_px
    height, width = (max(int(side), 1) for side in size_px)
    shape = outputs["shape"][:, row, col].view(1, 1, SHAPE_PX, SHAPE_PX)
    stretched = functional.interpolate(shape, (height, width), mode="bilinear", align_corners=False)[0, 0]
    top, left = row - height // 2, col - width // 2
    n_rows, n_cols = outputs["saliency"].shape[-2:]
    rows, cols = slice(max(top, 0), min(top + height, n_rows)), slice(max(left, 0), min(left + width, n_cols))
    inside = stretched[rows.start - top : rows.stop - top, cols.start - left : cols.stop - left]
    return (rows, cols), inside + outputs["saliency"][0, rows, cols]


@torch.no_grad()
def draw_parcels(
    outputs: Mapping[str, Tensor], *, things: Sequence[int], rules: PapsRules | None = None
) -> tuple[Tensor, list[int]]:
    """Parcels of one image: int32 (H, W), 1..n in the order of confidence and 0 for none, and n classes.

    ``outputs`` as ``paps_heads`` gives them, without the batch's axis; ``things`` are the semantic channels that a
    parcel may be of.
    """
    rules = rules or PapsRules()
    heat = outputs["heat"].sigmoid()
    highest = functional.max_pool2d(heat[None], 3, stride=1, padding=1)[0]
    centres = ((heat == highest) & (heat > heat.mean()) & (heat >= rules.min_confidence))[0].nonzero()
    order = heat[0, centres[:, 0], centres[:, 1]].argsort(descending=True, stable=True)
    parcels = torch.zeros(heat.shape[1:], dtype=torch.int32, device=heat.device)
    classes: list[int] = []
    for row, col in centres[order].tolist():
        height, width = sizes_px(outputs["size"][:, row, col]).round().int().tolist()
        box, logits = mask_logits(outputs, (row, col), (height, width))
        mask = logits.sigmoid() >= rules.mask_threshold
        free = mask & (parcels[box] == 0)
        if not mask.any() or free.sum() < rules.min_remain * mask.sum():
            continue
        semantic = outputs["semantic"][list(things), row, col]
        classes.append(things[int(semantic.argmax())])
        parcels[box][free] = len(classes)
    return parcels, classes
