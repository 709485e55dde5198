"""``PanopticUNet`` for inference: the same function in less work, exact but for rounding.

- Batch normalisation and the standardisation of bands are folded into convolutions; the four heads are one.
- Absent bands are zero in every pixel, so their kernels are left out; bands of one validity share its flag.
- A 3 x 3 convolution over a nearest-doubled map reads every coarse pixel several times. It equals a 2 x 2
  convolution of the coarse map to four times the channels, which become pixels: 16 products for 36.
- Outputs within ``margin_px`` of the tile's edge are not wanted. The encoder needs those pixels, the fewer the
  coarser its layer; the decoder and the fine convolutions, most of the work, need a few of them. All get what they
  need and pad nothing, so every convolution leaves a pixel less along each edge.
- Classes and the other outputs are two tensors: runtimes split and join channels slowly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from geopanoptic.models.networks.heads import HEADS
from geopanoptic.models.networks.margins import kept_margins_px, surplus_px
from geopanoptic.models.networks.unet import BAND_MEAN, BAND_STD, PanopticUNet

if TYPE_CHECKING:
    from geopanoptic.models.networks.two_scales import TwoScales


class CompactUNet(nn.Module):
    """Probabilities of a trained ``PanopticUNet``, whose layers it takes over.

    Input ``(B, n_inputs, H, W)`` float32: without ``bands`` that of ``PanopticUNet``; with them these bands
    (numbers of its input channels), then one flag for all of them. A band is 0 wherever its flag is 0.

    Output: probabilities of the classes, ``(B, n_classes, h, w)`` float32, and of the other ``HEADS``, ``(B, 3,
    h, w)``, over ``s * (H - 2 * margin_px)`` rows and, with a margin, ``surplus_px`` more at either edge; columns
    likewise. ``margin_px`` is 0, or a multiple of the stride and at least the network's reach.
    """

    def __init__(
        self, network: PanopticUNet, *, bands: Sequence[int] | None = None, margin_px: int = 0
    ) -> None:
        super().__init__()
        fold_normalisation(network)
        kept_px = kept_margins_px(len(network.widths) - 1, margin_px)
        self.encoder = CompactEncoder(network, bands=bands, margin_px=margin_px, kept_px=kept_px)
        self.decoder = CompactDecoder(network, margin_px=margin_px)
        self.n_inputs, self.n_outputs = self.encoder.n_inputs, self.decoder.n_outputs

    def forward(self, input_bchw: Tensor) -> tuple[Tensor, Tensor]:
        return self.decoder(self.encoder(input_bchw))


class CompactImage(nn.Module):
    """``CompactUNet`` with one output ``(B, n_classes + 3, h, w)``, in the order of ``HEADS``, the mean over a bundle's
    ``mirrors``. For export."""

    def __init__(self, network: CompactUNet | TwoScales, mirrors: Sequence[tuple[int, ...]]) -> None:
        super().__init__()
        self.network, self.mirrors = network, tuple(mirrors)
        self.n_inputs, self.n_outputs = network.n_inputs, sum(network.n_outputs)

    def forward(self, input_bchw: Tensor) -> Tensor:
        return mean_of_views(self._of_view, input_bchw, self.mirrors)

    def _of_view(self, input_bchw: Tensor) -> Tensor:
        return torch.cat(self.network(input_bchw), dim=1)


def mean_of_views(
    network: Callable[[Tensor], Tensor], input_bchw: Tensor, mirrors: Sequence[tuple[int, ...]]
) -> Tensor:
    """The mean of what ``network`` gives of tiles mirrored along each of ``mirrors``, the first () for none, mirrored
    back."""
    total = network(input_bchw)
    for axes in mirrors[1:]:
        total = total + torch.flip(network(torch.flip(input_bchw, axes)), axes)
    return total if len(mirrors) == 1 else total / len(mirrors)


class CompactEncoder(nn.Module):
    """What ``PanopticUNet.encode`` gives of tiles with ``margin_px``, of which ``kept_px`` are left by level.

    A layer pads only where the margin is too narrow for what the layers after it read.
    """

    def __init__(
        self, layers: Any, *, bands: Sequence[int] | None, margin_px: int, kept_px: Sequence[int]
    ) -> None:
        super().__init__()
        self.n_inputs = 2 * layers.n_bands if bands is None else len(bands) + 1
        features = layers.encoder.features
        features[0][0] = on_raw_bands(features[0][0], layers.n_bands, bands)
        border_px = 1 if margin_px else 0
        detail = on_raw_bands(layers.detail[0], layers.n_bands, bands)
        self.detail = nn.Sequential(_padded(detail, 1 - border_px), nn.ReLU())
        self.detail_crop_px = margin_px - kept_px[0] - border_px
        self.steps = nn.ModuleList()
        has = _Edges(margin_px, margin_px)
        for feature, needed, kept in zip(features, *_needed_by_feature(features, kept_px), strict=True):
            self.steps.append(step := _Step(feature, has, needed, kept))
            has = step.has

    def forward(self, input_bchw: Tensor) -> list[Tensor]:
        values, maps = input_bchw, [self.detail(cropped(input_bchw, self.detail_crop_px))]
        for step in cast(Sequence[_Step], self.steps):
            values = step(values)
            if step.surplus is not None:
                maps.append(_cut(values, step.surplus))
        return maps


class _Edges(NamedTuple):
    """Pixels of a map beyond those of the tile's core: before the first and after the last, of rows as of columns."""

    before: int
    after: int

    def read_by(self, stride: int) -> _Edges:
        """What a 3 x 3 convolution reads for these pixels of its output."""
        return _Edges(stride * self.before + 1, stride * self.after + 2 - stride)

    def less(self, other: _Edges) -> _Edges:
        return _Edges(self.before - other.before, self.after - other.after)


class _Step(nn.Module):
    """One of MobileNet's layers, on a map that ``has`` some edges, of whose output some are ``needed``.

    ``kept``: edges of the map that is given out after it, if any.
    """

    def __init__(self, feature: nn.Module, has: _Edges, needed: _Edges, kept: int | None) -> None:
        super().__init__()
        convolution = _spatial(feature)
        self.layers = getattr(feature, "conv", feature)
        self.adds = getattr(feature, "use_res_connect", False)
        self.cut, self.pads, self.has = _Edges(0, 0), True, has
        if convolution is not None:
            spare = has.less(needed.read_by(convolution.stride[0]))
            self.pads = min(spare) < 0
            if self.pads:
                self.has = _Edges(*(each // convolution.stride[0] for each in has))
            else:
                self.cut, self.has = spare, needed
                convolution.padding = (0, 0)
        self.surplus = None if kept is None else self.has.less(_Edges(kept, kept))

    def forward(self, values_bchw: Tensor) -> Tensor:
        values_bchw = _cut(values_bchw, self.cut)
        seen = self.layers(values_bchw)
        return seen + cropped(values_bchw, 0 if self.pads else 1) if self.adds else seen


def _needed_by_feature(
    features: Sequence[nn.Module], kept_px: Sequence[int]
) -> tuple[list[_Edges], list[int | None]]:
    """For every layer the edges of its output that are read, and the edges that are given out after it, if any."""
    needed, kept = [], []
    level, read = len(kept_px) - 1, _Edges(0, 0)
    ends_level = True
    for feature in reversed(features):
        kept.append(kept_px[level] if ends_level else None)
        needed.append(_Edges(*(max(each, kept[-1] or 0) for each in read)))
        convolution = _spatial(feature)
        stride = 1 if convolution is None else convolution.stride[0]
        read = needed[-1] if convolution is None else needed[-1].read_by(stride)
        ends_level = stride == 2
        level -= ends_level
    return needed[::-1], kept[::-1]


def _spatial(feature: nn.Module) -> nn.Conv2d | None:
    """The one convolution of a layer that looks at neighbours."""
    convolutions = (each for each in feature.modules() if isinstance(each, nn.Conv2d))
    return next((each for each in convolutions if each.kernel_size != (1, 1)), None)


class CompactDecoder(nn.Module):
    """What ``PanopticUNet.decode`` gives, as probabilities of the classes and of the other ``HEADS``.

    Where tiles have ``margin_px``, the maps have ``kept_margins_px`` and the output ``surplus_px``.
    """

    def __init__(self, layers: Any, *, margin_px: int) -> None:
        super().__init__()
        blocks = layers.decoder.blocks
        self.scale, padding = layers.output_scale, 0 if margin_px else 1
        widths = [layers.widths[-1], *(block.conv2[0].out_channels for block in blocks)]
        self.heads_come_last, places = layers.fine_convolution, self.scale**2
        self.surplus_px = surplus_px(margin_px, fine_convolution=layers.fine_convolution)
        finest = layers.finer[0][0]
        joints = [
            *(block.conv1[0] for block in blocks),
            _by_place(finest, places) if self.heads_come_last else finest,
        ]
        self.joints = nn.ModuleList(
            _Joint(joint, n_coarse, padding) for joint, n_coarse in zip(joints, widths, strict=True)
        )
        self.afters = nn.ModuleList(
            nn.Sequential(_padded(block.conv2[0], padding), nn.ReLU()) for block in blocks
        )
        classes, *others = HEADS
        self.classes, self.others = layers.heads[classes], _stacked([layers.heads[name] for name in others])
        self.n_outputs = (self.classes.out_channels, self.others.out_channels)
        if self.heads_come_last:
            self.finest = nn.Sequential(_padded(layers.finer[2][0], padding), nn.ReLU())
        else:
            self.n_outputs = (self.n_outputs[0] // places, self.n_outputs[1] // places)
            self.classes, self.others = _by_place(self.classes, places), _by_place(self.others, places)
        self.depth = len(self.joints)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        values = maps[self.depth]
        for level in range(self.depth - 1, 0, -1):
            joint, after = self.joints[self.depth - 1 - level], self.afters[self.depth - 1 - level]
            values = after(joint(values, maps[level]))
        values = self.joints[-1](values, maps[0])
        if not self.heads_come_last:
            classes = depth_to_space(self.classes(values), self.scale)
            return classes.softmax(dim=1), depth_to_space(self.others(values).sigmoid(), self.scale)
        shared = self.finest(depth_to_space(values, self.scale))
        return self.classes(shared).softmax(dim=1), self.others(shared).sigmoid()


def compact(network: PanopticUNet, *, bands: Sequence[int] | None = None, margin_px: int = 0) -> CompactUNet:
    """``CompactUNet`` of ``network``, which is changed and of no use afterwards."""
    with torch.no_grad():
        return CompactUNet(network, bands=bands, margin_px=margin_px).eval().requires_grad_(False)


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
    """ReLU of a 3 x 3 convolution over a nearest-doubled coarse map and, after it in channels, a fine one.

    ``padding`` 0: the fine map has twice the coarse one's margin, and the result a pixel less than it.
    """

    def __init__(self, convolution: nn.Conv2d, n_coarse: int, padding: int) -> None:
        super().__init__()
        kernel = convolution.weight
        # An even output row reads the coarse row before its own by the first kernel row and its own by the
        # sum of the others; an odd one its own by the first two and the next by the last.
        taps = kernel.new_tensor([[[1, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 1]]])  # odd before even
        phases = torch.einsum("atk,bul,oikl->aboitu", taps, taps, kernel[:, :n_coarse])
        self.coarse = convolution_of(phases.reshape(-1, n_coarse, 2, 2), None, padding=padding)
        self.fine = convolution_of(kernel[:, n_coarse:], convolution.bias, padding=padding)
        self.padding = padding

    def forward(self, coarse_bchw: Tensor, fine_bchw: Tensor) -> Tensor:
        # Odd phases of one output position stand before the even ones of the next: with padding, one too many.
        doubled = depth_to_space(self.coarse(coarse_bchw), 2)
        return (self.fine(fine_bchw) + cropped(doubled, self.padding)).relu()


@fx.wrap
def depth_to_space(values_bchw: Tensor, scale: int) -> Tensor:
    """``(B, scale * scale * C, h, w)`` to ``(B, C, scale * h, scale * w)``: all channels of the first of a pixel's
    ``scale * scale`` finer ones, then of the next.

    ``pixel_shuffle`` with channels in another order: where runtimes keep them side by side, whole runs are copied.
    """
    places_bhwijc = values_bchw.permute(0, 2, 3, 1).unflatten(3, (scale, scale, -1))
    fine_bhwc = places_bhwijc.transpose(2, 3).flatten(3, 4).flatten(1, 2)
    return fine_bhwc.permute(0, 3, 1, 2)


def _by_place(convolution: nn.Conv2d, n_places: int) -> nn.Conv2d:
    """The same with output channels in the order of ``depth_to_space``, not of ``pixel_shuffle``."""
    order = torch.arange(convolution.out_channels).unflatten(0, (-1, n_places)).T.flatten()
    bias = None if convolution.bias is None else convolution.bias[order]
    return convolution_of(convolution.weight[order], bias)


def on_raw_bands(convolution: nn.Conv2d, n_bands: int, bands: Sequence[int] | None) -> nn.Conv2d:
    """A convolution of standardised bands and flags as one of bands as they come: (b - m) / s * f = b / s - f m / s."""
    kept = list(range(n_bands)) if bands is None else list(bands)
    of_bands, of_flags = (each[:, kept] for each in convolution.weight.split(n_bands, dim=1))
    flags = of_flags - of_bands * (BAND_MEAN / BAND_STD)
    kernel = torch.cat([of_bands / BAND_STD, flags if bands is None else flags.sum(1, keepdim=True)], dim=1)
    padding_px, stride_px = int(convolution.padding[0]), convolution.stride[0]
    return convolution_of(kernel, convolution.bias, padding=padding_px, stride=stride_px)


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


def _padded(convolution: nn.Conv2d, padding: int) -> nn.Conv2d:
    """The same convolution with that many zeros around its input."""
    return convolution_of(convolution.weight, convolution.bias, padding=padding, stride=convolution.stride[0])


def cropped(values_bchw: Tensor, by_px: int) -> Tensor:
    """The same without ``by_px`` pixels along every edge."""
    return values_bchw[:, :, by_px:-by_px, by_px:-by_px] if by_px else values_bchw


def _cut(values_bchw: Tensor, edges: _Edges) -> Tensor:
    """The same without these edges."""
    if edges == (0, 0):
        return values_bchw
    places = slice(edges.before, -edges.after or None)
    return values_bchw[:, :, places, places]
