"""A network of single images that looks at every tile twice, at two pixel sizes, and averages what it sees.

Parcels of a few pixels are drawn better when they are shown larger, wide ones when they are shown whole. The second
look is half as large again (narrow parcels of scenes at the working pixel size) or half as large (wide ones of finer
scenes). Tiles are resampled by convolutions whose kernels repeat with the pixels' phase, so a pixel's value
depends on its place in the scene only, not on the tile's: linear interpolation, and where it shrinks, linear weights
over as much ground as the coarser pixel needs (a triangle filter).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor, fx, nn

from geopanoptic.models.bundle import Bundle
from geopanoptic.models.networks.compact import CompactUNet, compact, convolution_of, cropped, depth_to_space
from geopanoptic.models.networks.margins import surplus_px
from geopanoptic.models.networks.unet import PanopticUNet

# As in the module it is from: one operation of a graph.
fx.wrap("depth_to_space")

FINER_SHARE = 1 / 3
"""Share of the look in which pixels are smaller; a half was no better on validation images."""


class TwoScales(nn.Module):
    """The mean of ``CompactUNet`` over tiles as they are and over the same tiles ``scale`` times as large.

    Input and output as those of ``CompactUNet``, but for the surplus, see ``surplus_px``. H, W and ``margin_px`` are
    multiples of twice the network's stride. ``scale`` is 3/2 or 1/2; ``reach_px`` is how far the network looks, at
    either scale.
    """

    def __init__(
        self,
        network: PanopticUNet,
        *,
        scale: Fraction,
        reach_px: int,
        bands: Sequence[int] | None = None,
        margin_px: int = 0,
    ) -> None:
        super().__init__()
        whole, step_px = margin_px == 0, 2 * network.stride_px
        of_look, left = (
            surplus_px(margin_px, fine_convolution=network.fine_convolution, two_scales=two)
            for two in (False, True)
        )
        # Ground that only one of the looks needs: tiles have margins for the one that sees farther.
        self.first_crop_px, self.second_crop_px = (
            max((margin_px - int((reach_px + of_look) / each)) // step_px * step_px, 0)
            for each in (Fraction(1), scale)
        )
        self.first = compact(copy.deepcopy(network), bands=bands, margin_px=margin_px - self.first_crop_px)
        self.second = compact(network, bands=bands, margin_px=int((margin_px - self.second_crop_px) * scale))
        self.n_inputs, self.n_outputs = self.first.n_inputs, self.first.n_outputs
        self.first_share = 1 - FINER_SHARE if scale > 1 else FINER_SHARE
        there, back = scale.as_integer_ratio(), (1 / scale).as_integer_ratio()
        self.shown = Resampling(self.n_inputs, *there, whole=True)
        self.brought_back = nn.ModuleList(
            Resampling(n, *back, whole=whole, weight=1 - self.first_share) for n in self.n_outputs
        )
        self.first_surplus_px = of_look - left
        # A block of the coarser phase before the first wanted one, and the pixel that its kernel begins with.
        self.second_surplus_px = 0 if whole else of_look - (back[1] * left // back[0] + 1)

    def forward(self, input_bchw: Tensor) -> tuple[Tensor, Tensor]:
        first = self.first(cropped(input_bchw, self.first_crop_px))
        second = self.second(self.shown(cropped(input_bchw, self.second_crop_px)))
        classes, others = (
            cropped(once, self.first_surplus_px) * self.first_share
            + bring(cropped(again, self.second_surplus_px))
            for once, again, bring in zip(first, second, self.brought_back, strict=True)
        )
        return classes, others


class Resampling(nn.Module):
    """``up`` pixels for every ``down`` along both axes, by linear weights; ``weight`` times the values.

    (B, n_channels, H, W) to (B, n_channels, H * up / down, W * up / down), H and W multiples of ``down``; if not
    ``whole`` the image has one more pixel along every edge, which is looked at only.
    """

    def __init__(self, n_channels: int, up: int, down: int, *, whole: bool, weight: float = 1.0) -> None:
        super().__init__()
        taps = torch.from_numpy(linear_taps(up, down))
        patches = weight * torch.einsum("ar,bc->abrc", taps, taps).reshape(up * up, *[taps.shape[1]] * 2)
        # Dense, though most of it is zero: runtimes are slow at narrow groups of channels.
        kernel = torch.zeros(up * up, n_channels, n_channels, *patches.shape[1:])
        for channel in range(n_channels):
            kernel[:, channel, channel] = patches
        self.edged = nn.ReplicationPad2d(1) if whole else nn.Identity()
        self.phases = convolution_of(kernel.flatten(0, 1), None, stride=down)
        self.up = up

    def forward(self, values_bchw: Tensor) -> Tensor:
        phases = self.phases(self.edged(values_bchw))
        return phases if self.up == 1 else depth_to_space(phases, self.up)


def linear_taps(up: int, down: int) -> np.ndarray:
    """Weights (up, size) float32 of the ``up`` new pixels of each ``down`` old ones, from the old pixel before them on.

    Pixels are areas: the centre of new pixel j lies at (j + 1/2) * down / up - 1/2 old ones. Rows sum to 1.
    """
    spread = max(1.0, down / up)
    centres = (np.arange(up) + 0.5) * down / up - 0.5
    places = np.arange(-1, int(np.ceil(centres[-1] + spread)))
    weights = np.maximum(1 - np.abs(places - centres[:, None]) / spread, 0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def network_of_looks(
    bundle: Bundle, trained: PanopticUNet, *, bands: Sequence[int] | None = None, margin_px: int = 0
) -> CompactUNet | TwoScales:
    """``trained``, which is of no use afterwards, for inference as ``bundle`` looks at scenes."""
    if bundle.second_scale is None:
        return compact(trained, bands=bands, margin_px=margin_px)
    with torch.no_grad():
        network = TwoScales(
            trained,
            scale=bundle.second_scale,
            reach_px=bundle.manifest.reach_px,
            bands=bands,
            margin_px=margin_px,
        )
    return network.eval().requires_grad_(False)
