"""``PanopticUNet``: one shared U-Net, light dense heads that draw twice as fine as they see.

Every layer is a convolution, a pointwise function or a nearest-neighbour upsampling: no global pooling,
squeeze-excite, attention or norm over the tile's extent. An output pixel therefore depends on a fixed
neighbourhood of the input only (see ``geopanoptic.models.networks.reach``), which is what makes tiles agree.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from geopanoptic.models.networks.heads import HEADS
from geopanoptic.models.networks.paps import PapsHeads
from geopanoptic.models.networks.torchvision_ops import ensure_torchvision_imports

BAND_MEAN, BAND_STD = 0.4, 0.25  # of percentile-normalised bands: what ImageNet kernels expect as 0 and 1
_PRIOR_LOGITS = {"centre": -2.5, "boundary": -1.5, "distance": -0.5}


class PanopticUNet(nn.Module):
    """Dense panoptic outputs from named, partly absent bands.

    Input ``(B, 2 * n_bands, H, W)`` float32: the percentile-normalised bands, zero where absent or
    invalid, then one availability flag (0 or 1) per band. H and W are multiples of ``stride_px``.

    Output: dict of logits at ``(B, ., H * output_scale, W * output_scale)``: ``semantic`` with
    ``n_classes`` channels, ``centre``, ``boundary`` and ``distance`` with one each.

    ``encoder_depth`` sets the number of halvings and with it the reach; ``decoder_channels`` runs from
    coarse to half the input resolution, ``encoder_depth - 1`` entries. ``detail_channels`` is the width
    of a full-resolution path around encoder and decoder, which keeps narrow parcels visible. ``head_channels`` are
    read by the heads on every output pixel, after a convolution there, or without ``fine_convolution`` on every
    input pixel for all output pixels in it: less work, less to tell these apart by. With ``outputs``
    ``paps`` or ``paps-unrefined`` the output is that of ``geopanoptic.models.networks.paps.PapsHeads`` instead.
    """

    output_scale = 2

    def __init__(
        self,
        *,
        n_bands: int = 10,
        n_classes: int = 6,
        encoder: str = "mobilenet_v2",
        encoder_depth: int = 4,
        decoder_channels: Sequence[int] = (96, 64, 40),
        detail_channels: int = 16,
        head_channels: int = 24,
        fine_convolution: bool = True,
        outputs: Literal["dense", "paps", "paps-unrefined"] = "dense",
    ) -> None:
        super().__init__()
        ensure_torchvision_imports()
        # A package that comes along with smp asks notebooks for a progress bar that nothing here shows.
        warnings.filterwarnings("ignore", "IProgress not found")
        from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
        from segmentation_models_pytorch.encoders import get_encoder

        self.n_bands = n_bands
        self.stride_px = 2**encoder_depth
        self.encoder = get_encoder(encoder, in_channels=2 * n_bands, depth=encoder_depth, weights=None)
        if encoder == "mobilenet_v2":
            # smp evaluates the stages below the deepest one it returns; nobody reads them.
            self.encoder.features = self.encoder.features[: (2, 4, 7, 14, 19)[encoder_depth - 1]]
        self.decoder = UnetDecoder(
            encoder_channels=self.encoder.out_channels,
            decoder_channels=tuple(decoder_channels),
            n_blocks=len(decoder_channels),
        )
        self.detail = _convolution(2 * n_bands, detail_channels)
        self.widths = (detail_channels, *self.encoder.out_channels[1:])
        """Channels of the maps between ``encode`` and ``decode``, finest first."""
        scale = self.output_scale
        n_joined = decoder_channels[-1] + detail_channels
        self.fine_convolution = fine_convolution
        if fine_convolution:
            self.finer = nn.Sequential(
                _convolution(n_joined, head_channels * scale**2 // 2),
                nn.PixelShuffle(scale),
                _convolution(head_channels // 2, head_channels),
            )
        else:
            self.finer = nn.Sequential(_convolution(n_joined, head_channels))
        self.heads: nn.ModuleDict | PapsHeads
        if outputs != "dense":
            self.heads = PapsHeads(
                n_channels=head_channels,
                level_channels=(self.widths[-1], *decoder_channels),
                n_classes=n_classes,
                refined=outputs == "paps",
            )
            return
        widths = {name: n_classes if name == "semantic" else 1 for name in HEADS}
        places = 1 if fine_convolution else scale**2
        self.heads = nn.ModuleDict(
            {name: nn.Conv2d(head_channels, n * places, 1) for name, n in widths.items()}
        )
        for name, logit in _PRIOR_LOGITS.items():
            nn.init.constant_(self.heads[name].bias, logit)  # type: ignore[arg-type]

    def forward(self, input_bchw: Tensor) -> dict[str, Tensor]:
        return self.decode(self.encode(input_bchw))

    def encode(self, input_bchw: Tensor) -> list[Tensor]:
        """Maps ``(B, widths[n], H / 2**n, W / 2**n)`` for n = 0 to the depth: the detail path's, the encoder's."""
        standardised = self.standardised(input_bchw)
        _, *maps = self.encoder(standardised)
        return [self.detail(standardised), *maps]

    def standardised(self, input_bchw: Tensor) -> Tensor:
        """The input with its bands as the encoder's kernels expect them."""
        bands, flags = input_bchw.split(self.n_bands, dim=1)
        return torch.cat([(bands - BAND_MEAN) / BAND_STD * flags, flags], dim=1)

    def decode(self, maps: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits of maps as ``encode`` gives them."""
        detail, *skips, deepest = maps
        levels = [deepest]
        for block, skip in zip(self.decoder.blocks, reversed(skips), strict=True):
            levels.append(block(levels[-1], *skip.shape[2:], skip))
        context = nn.functional.interpolate(levels[-1], scale_factor=2.0)
        shared = self.finer(torch.cat([context, detail], dim=1))
        if isinstance(self.heads, PapsHeads):
            return self.heads(shared, levels)  # type: ignore[no-any-return]
        logits = {name: head(shared) for name, head in self.heads.items()}
        if self.fine_convolution:
            return logits
        return {
            name: nn.functional.pixel_shuffle(places, self.output_scale) for name, places in logits.items()
        }


def _convolution(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)
    )
