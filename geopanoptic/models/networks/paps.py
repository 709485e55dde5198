"""Parcels-as-Points (PaPs; Garnot and Landrieu, ICCV 2021) as heads of this project's networks.

Every pixel states whether it is the centre of a parcel, and where the rims lie (saliency). At a centre the maps of
all levels of the decoder together state the size, the class and a 16 x 16 shape of its parcel. The shape, stretched
over a box of that size, and the saliency inside the box make its mask, over which three more convolutions go.

Two things differ from the published code: layer norm takes the place of batch norm at centres, of which a batch
may have one only; and a pixel is a centre by its neighbours and ``PapsRules`` alone, not by the mean heat of the
image, so that it does not depend on where an image is cut. (That mean is some 2 %, far below ``min_confidence``.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from geopanoptic.grid import Window
from geopanoptic.models.manifest import PAPS_BOX_PX

SHAPE_PX = 16
_HEAT_PRIOR_LOGIT = -4.0
_HEAD_CHANNELS, _REFINING_CHANNELS = 32, 16
_LEVEL = "level"


@dataclass(frozen=True, slots=True, kw_only=True)
class PapsRules:
    """How parcels are drawn, as the original does."""

    min_confidence: float = 0.2
    """Least heat of a centre."""
    mask_threshold: float = 0.4
    """Least probability of a pixel of a parcel."""
    min_remain: float = 0.5
    """Least share of a parcel that no more confident one covers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Where a mask lies: ``rows`` and ``cols`` of the image, cut from a box whose upper left corner is ``top``,
    ``left`` and which may leave the image."""

    rows: slice
    cols: slice
    top: int
    left: int
    height: int
    width: int

    @classmethod
    def around(cls, centre_px: tuple[int, int], size_px: tuple[int, int], shape: tuple[int, int]) -> Box:
        """The box of a size (rows, columns; 1 to ``PAPS_BOX_PX``) around a centre of an image of ``shape``."""
        height, width = (min(max(int(side), 1), PAPS_BOX_PX) for side in size_px)
        top, left = centre_px[0] - height // 2, centre_px[1] - width // 2
        return cls(
            rows=slice(max(top, 0), min(top + height, shape[0])),
            cols=slice(max(left, 0), min(left + width, shape[1])),
            top=top,
            left=left,
            height=height,
            width=width,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AtCentres:
    """What is stated at n centres: height and width (n, 2) in output pixels, class logits (n, classes) and shapes
    (n, 1, 16, 16) as logits."""

    size_n2: Tensor
    semantic_nk: Tensor
    shape_n1ss: Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DrawnParcel:
    """One parcel of an image: ``probability_hw`` of its pixels over ``box``; ``thing`` is its semantic channel."""

    centre_px: tuple[int, int]
    confidence: float
    thing: int
    box: Box
    probability_hw: Tensor


class PapsHeads(nn.Module):
    """Outputs ``heat`` and ``saliency`` (B, 1, H, W), logits, and the maps that ``at`` reads at centres.

    ``n_channels`` are those of the finest map, which is of the output's size, ``level_channels`` those of the coarser
    ones. Without ``refined`` no convolutions go over the masks: shape and saliency are two probabilities.
    """

    def __init__(
        self, *, n_channels: int, level_channels: Sequence[int], n_classes: int, refined: bool
    ) -> None:
        super().__init__()
        self.heat = _convolutions(n_channels, _HEAD_CHANNELS, 1)
        self.saliency = _convolutions(n_channels, _HEAD_CHANNELS, 1)
        width = n_channels + sum(level_channels)
        self.size = _perceptron(width, width // 2, width // 4, 2)
        self.semantic = _perceptron(width, width // 2, width // 4, n_classes)
        self.shape = _perceptron(width, width // 2, SHAPE_PX**2)
        self.refining = _refining() if refined else None
        nn.init.constant_(self.heat[-1].bias, _HEAT_PRIOR_LOGIT)  # type: ignore[arg-type]

    def forward(self, finest_bchw: Tensor, levels: Sequence[Tensor]) -> dict[str, Tensor]:
        """``levels`` are the coarser maps, by a power of two each, in any order."""
        maps = {f"{_LEVEL}{number}": values for number, values in enumerate((finest_bchw, *levels))}
        return {"heat": self.heat(finest_bchw), "saliency": self.saliency(finest_bchw), **maps}

    def at(self, outputs: Mapping[str, Tensor], row_n: Tensor, col_n: Tensor) -> AtCentres:
        """What the maps of one image (without the batch's axis) state at centres."""
        height = outputs["heat"].shape[-2]
        stacked_nc = torch.cat(
            [
                values[:, row_n // (height // values.shape[1]), col_n // (height // values.shape[1])].T
                for name, values in outputs.items()
                if name.startswith(_LEVEL)
            ],
            dim=1,
        )
        return AtCentres(
            size_n2=functional.softplus(self.size(stacked_nc)),
            semantic_nk=self.semantic(stacked_nc),
            shape_n1ss=self.shape(stacked_nc).view(-1, 1, SHAPE_PX, SHAPE_PX),
        )

    def mask_log_probability(self, shape_1ss: Tensor, saliency_1hw: Tensor, box: Box) -> Tensor:
        """Logarithm of the probability of every pixel of a box that lies inside the image, (h, w)."""
        stretched = functional.interpolate(
            shape_1ss[None], (box.height, box.width), mode="bilinear", align_corners=False
        )[0, 0]
        inside = stretched[
            box.rows.start - box.top : box.rows.stop - box.top,
            box.cols.start - box.left : box.cols.stop - box.left,
        ]
        saliency = saliency_1hw[0, box.rows, box.cols]
        if self.refining is None:
            return functional.logsigmoid(inside) + functional.logsigmoid(saliency)
        mask = inside + saliency
        return functional.logsigmoid(mask) + functional.logsigmoid(self.refining(mask[None, None])[0, 0])


@torch.no_grad()
def find_parcels(
    heads: PapsHeads,
    outputs: Mapping[str, Tensor],
    *,
    things: Sequence[int],
    rules: PapsRules,
    core: Window | None = None,
) -> Iterator[DrawnParcel]:
    """The parcels of one image, row by row of their centres, which may lie on top of each other.

    ``outputs`` as ``heads`` gives them, without the batch's axis; ``things`` are the semantic channels that a parcel
    may be of; ``core`` is where centres are looked for, by default everywhere.
    """
    heat = outputs["heat"].sigmoid()
    highest = functional.max_pool2d(heat[None], 3, stride=1, padding=1)[0]
    is_centre = ((heat == highest) & (heat >= rules.min_confidence))[0]
    rows, cols = (core or Window(0, 0, *is_centre.shape)).slices()
    row_n, col_n = is_centre[rows, cols].nonzero(as_tuple=True)
    row_n, col_n = row_n + rows.start, col_n + cols.start
    if not len(row_n):
        return
    stated = heads.at(outputs, row_n, col_n)
    channel_n = stated.semantic_nk[:, list(things)].argmax(1).tolist()
    confidence_n, sizes = heat[0, row_n, col_n].tolist(), stated.size_n2.round().int().tolist()
    places = zip(row_n.tolist(), col_n.tolist(), sizes, strict=True)
    for number, (row, col, (height, width)) in enumerate(places):
        box = Box.around((row, col), (height, width), (heat.shape[1], heat.shape[2]))
        yield DrawnParcel(
            centre_px=(row, col),
            confidence=confidence_n[number],
            thing=things[channel_n[number]],
            box=box,
            probability_hw=heads.mask_log_probability(
                stated.shape_n1ss[number], outputs["saliency"], box
            ).exp(),
        )


@torch.no_grad()
def draw_parcels(
    heads: PapsHeads,
    outputs: Mapping[str, Tensor],
    *,
    things: Sequence[int],
    rules: PapsRules | None = None,
) -> tuple[Tensor, list[int]]:
    """Parcels of one image: int32 (H, W), 1..n in the order of confidence and 0 for none, and n classes.

    Arguments as for ``find_parcels``.
    """
    rules = rules or PapsRules()
    found = sorted(
        find_parcels(heads, outputs, things=things, rules=rules), key=lambda each: -each.confidence
    )
    parcels = torch.zeros(outputs["heat"].shape[1:], dtype=torch.int32, device=outputs["heat"].device)
    classes: list[int] = []
    for parcel in found:
        place = parcel.box.rows, parcel.box.cols
        mask = parcel.probability_hw > rules.mask_threshold
        free = mask & (parcels[place] == 0)
        if not mask.any() or free.sum() < rules.min_remain * mask.sum():
            continue
        classes.append(parcel.thing)
        parcels[place][free] = len(classes)
    return parcels, classes


def _convolutions(n_in: int, width: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(n_in, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, n_out, 3, padding=1),
    )


def _perceptron(*widths: int) -> nn.Sequential:
    """Layers of these widths, the first being the input's."""
    *hidden, last = zip(widths, widths[1:], strict=False)
    layers: list[nn.Module] = []
    for n_in, n_out in hidden:
        layers += [nn.Linear(n_in, n_out), nn.LayerNorm(n_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(*last))


def _refining() -> nn.Sequential:
    width = _REFINING_CHANNELS
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1),
        nn.GroupNorm(1, width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, 1, 3, padding=1),
    )
