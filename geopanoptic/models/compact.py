"""``PanopticUNet`` for inference: the same function in less work, exact but for rounding.

- Batch normalisation and the standardisation of bands are folded into convolutions; the four heads are one.
- Absent bands are zero in every pixel, so their kernels are left out; bands of one validity share its flag.
- A 3 x 3 convolution over a nearest-doubled map reads every coarse pixel several times. It equals a 2 x 2
  convolution of the coarse map to four times the channels and a pixel shuffle: 16 products for 36.
- Outputs within ``margin_px`` of the tile's edge are not wanted. The encoder needs those pixels; the decoder
  and the fine convolutions, nine tenths of the work, need a few of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from geopanoptic.models.unet import BAND_MEAN, BAND_STD, HEADS, PanopticUNet


class CompactUNet(nn.Module):
    """Probabilities of a trained ``PanopticUNet``, whose layers it takes over.

    Input ``(B, n_inputs, H, W)`` float32: without ``bands`` that of ``PanopticUNet``; with them these bands
    (numbers of its input channels), then one flag for all of them. A band is 0 wherever its flag is 0.

    Output ``(B, n_classes + 3, s * (H - 2 * margin_px), s * (W - 2 * margin_px))`` float32: probabilities in
    the order of ``HEADS``. ``margin_px`` is 0, or a multiple of the stride and at least the network's reach.
    """

    def __init__(
        self, network: PanopticUNet, *, bands: Sequence[int] | None = None, margin_px: int = 0
    ) -> None:
        super().__init__()
        fold_normalisation(network)
        kept_px = kept_margins_px(len(network.widths) - 1, margin_px)
        self.encoder = CompactEncoder(network, bands=bands, margin_px=margin_px, kept_px=kept_px)
        self.decoder = CompactDecoder(network, whole=margin_px == 0)
        self.n_inputs, self.n_outputs = self.encoder.n_inputs, self.decoder.n_outputs

    def forward(self, input_bchw: Tensor) -> Tensor:
        return self.decoder(self.encoder(input_bchw))


class CompactEncoder(nn.Module):
    """What ``PanopticUNet.encode`` gives of tiles with ``margin_px``, of which ``kept_px`` are left by level."""

    def __init__(
        self, layers: Any, *, bands: Sequence[int] | None, margin_px: int, kept_px: Sequence[int]
    ) -> None:
        super().__init__()
        self.n_inputs = 2 * layers.n_bands if bands is None else len(bands) + 1
        self.encoder = layers.encoder
        self.encoder.features[0][0] = _first(layers.encoder.features[0][0], layers.n_bands, bands)
        self.detail = nn.Sequential(_first(layers.detail[0], layers.n_bands, bands), nn.ReLU())
        # By level, that is by halvings.
        self.crops_px = [(margin_px >> level) - kept for level, kept in enumerate(kept_px)]
        self.border_px = 1 if margin_px else 0

    def forward(self, input_bchw: Tensor) -> list[Tensor]:
        _, *maps = self.encoder(input_bchw)
        finest = self.detail(cropped(input_bchw, self.crops_px[0] - self.border_px))
        coarser = [cropped(values, crop_px) for values, crop_px in zip(maps, self.crops_px[1:], strict=True)]
        return [cropped(finest, self.border_px), *coarser]


class CompactDecoder(nn.Module):
    """What ``PanopticUNet.decode`` gives, as probabilities in the order of ``HEADS``.

    ``whole``: of maps without margins; otherwise maps have the margins of ``kept_margins_px``, the output none.
    """

    def __init__(self, layers: Any, *, whole: bool) -> None:
        super().__init__()
        blocks = layers.decoder.blocks
        self.n_classes = layers.heads["semantic"].out_channels
        self.scale = layers.output_scale
        widths = [layers.widths[-1], *(block.conv2[0].out_channels for block in blocks)]
        joints = [*(block.conv1[0] for block in blocks), layers.finer[0][0]]
        self.joints = nn.ModuleList(map(_Joint, joints, widths))
        self.afters = nn.ModuleList(nn.Sequential(block.conv2[0], nn.ReLU()) for block in blocks)
        self.finest = nn.Sequential(layers.finer[2][0], nn.ReLU())
        self.head = _stacked([layers.heads[name] for name in HEADS])
        self.n_outputs = self.head.out_channels
        self.depth = len(self.joints)
        self.needs_px = [0] * (self.depth + 1) if whole else _needed_margins_px(self.depth)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        needs_px = self.needs_px
        values = maps[self.depth]
        for level in range(self.depth - 1, 0, -1):
            joint, after = self.joints[self.depth - 1 - level], self.afters[self.depth - 1 - level]
            values = cropped(after(joint(values, maps[level])), 2 * needs_px[level + 1] - needs_px[level])
        values = cropped(self.joints[-1](values, maps[0]), 2 * needs_px[1] - needs_px[0])
        values = nn.functional.pixel_shuffle(values, self.scale)
        logits = self.head(cropped(self.finest(values), self.scale * needs_px[0]))
        semantic = logits[:, : self.n_classes].softmax(dim=1)
        return torch.cat([semantic, logits[:, self.n_classes :].sigmoid()], dim=1)


def compact(network: PanopticUNet, *, bands: Sequence[int] | None = None, margin_px: int = 0) -> CompactUNet:
    """``CompactUNet`` of ``network``, which is changed and of no use afterwards."""
    with torch.no_grad():
        return CompactUNet(network, bands=bands, margin_px=margin_px).eval().requires_grad_(False)


def kept_margins_px(depth: int, margin_px: int) -> list[int]:
    """Margin that the decoder looks at by level, in pixels of that level, where tiles have ``margin_px``."""
    if not margin_px:
        return [0] * (depth + 1)
    needs_px = _needed_margins_px(depth)
    return [*(2 * needed_px for needed_px in needs_px[1:]), needs_px[-1]]


def least_margin_px(depth: int) -> int:
    """Least ``margin_px`` above 0 that leaves the decoder of a network with ``depth`` halvings its surroundings."""
    return max(needed_px << level for level, needed_px in enumerate(_needed_margins_px(depth))) + 1


def fold_normalisation(network: nn.Module) -> nn.Module:
    """Merge every batch normalisation into the convolution before it, in place; eval mode only.

    Looks for neighbours inside ``nn.Sequential``, which is how all encoders here are written.
    """
    for module in network.modules():
        if not isinstance(module, nn.Sequential):
            continue
        names = list(module._modules)
        for name, following in zip(names, names[1:], strict=False):
            convolution, norm = module._modules[name], module._modules[following]
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                module._modules[name] = fuse_conv_bn_eval(convolution, norm)
                module._modules[following] = nn.Identity()
    return network


class _Joint(nn.Module):
    """ReLU of a 3 x 3 convolution over a nearest-doubled coarse map and, after it in channels, a fine one."""

    def __init__(self, convolution: nn.Conv2d, n_coarse: int) -> None:
        super().__init__()
        kernel = convolution.weight
        # An even output row reads the coarse row before its own by the first kernel row and its own by the
        # sum of the others; an odd one its own by the first two and the next by the last.
        taps = kernel.new_tensor([[[1, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 1]]])  # odd before even
        phases = torch.einsum("atk,bul,oikl->oabitu", taps, taps, kernel[:, :n_coarse])
        self.coarse = convolution_of(phases.reshape(-1, n_coarse, 2, 2), None, padding=1)
        self.fine = convolution_of(kernel[:, n_coarse:], convolution.bias, padding=1)

    def forward(self, coarse_bchw: Tensor, fine_bchw: Tensor) -> Tensor:
        # Odd phases of one output position stand before the even ones of the next: hence the crop by one.
        doubled = nn.functional.pixel_shuffle(self.coarse(coarse_bchw), 2)
        return (self.fine(fine_bchw) + cropped(doubled, 1)).relu()


def _first(convolution: nn.Conv2d, n_bands: int, bands: Sequence[int] | None) -> nn.Conv2d:
    """A convolution of standardised bands and flags as one of bands as they come: (b - m) / s * f = b / s - f m / s."""
    kept = list(range(n_bands)) if bands is None else list(bands)
    of_bands, of_flags = (each[:, kept] for each in convolution.weight.split(n_bands, dim=1))
    flags = of_flags - of_bands * (BAND_MEAN / BAND_STD)
    kernel = torch.cat([of_bands / BAND_STD, flags if bands is None else flags.sum(1, keepdim=True)], dim=1)
    return convolution_of(kernel, convolution.bias, padding=1, stride=convolution.stride[0])


def _stacked(heads: Sequence[nn.Conv2d]) -> nn.Conv2d:
    biases = [head.bias for head in heads if head.bias is not None]
    return convolution_of(torch.cat([head.weight for head in heads]), torch.cat(biases), padding=0)


def convolution_of(kernel: Tensor, bias: Tensor | None, *, padding: int = 0, stride: int = 1) -> nn.Conv2d:
    """A convolution with this kernel ``(out, in, size, size)`` and bias ``(out,)``."""
    n_out, n_in, size_px, _ = kernel.shape
    made = nn.Conv2d(n_in, n_out, size_px, stride, padding)
    made.weight = nn.Parameter(kernel.clone(memory_format=torch.contiguous_format))
    made.bias = None if bias is None else nn.Parameter(bias.clone())
    return made


def _needed_margins_px(depth: int) -> list[int]:
    """Margin needed of the map at every level, in its pixels, where the output is to be right to its edge.

    The output at twice the resolution needs one pixel of level 0, whose own convolution needs one more; a
    decoder level has two 3 x 3 convolutions, and the level below is half as fine.
    """
    margins_px = [1, 1]
    while len(margins_px) <= depth:
        margins_px.append(-(-(margins_px[-1] + 2) // 2))
    return margins_px


def cropped(values_bchw: Tensor, by_px: int) -> Tensor:
    """The same without ``by_px`` pixels along every edge."""
    return values_bchw[:, :, by_px:-by_px, by_px:-by_px] if by_px else values_bchw
