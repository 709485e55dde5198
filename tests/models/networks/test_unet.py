"""The network's contract: shapes, absent bands, and how far it looks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from geopanoptic.models.networks.reach import measure_reach_px
from geopanoptic.models.networks.unet import HEADS, PanopticUNet

SMALL = {"encoder_depth": 3, "decoder_channels": (8, 8), "detail_channels": 4, "head_channels": 4}


@pytest.fixture(scope="module")
def network() -> PanopticUNet:
    torch.manual_seed(1)
    return PanopticUNet(n_bands=4, n_classes=3, **SMALL).eval()


def test_torchvision_imports_beside_any_torch(network: PanopticUNet) -> None:
    import torchvision

    assert torchvision.models.mobilenet_v2


def test_outputs_are_twice_as_fine(network: PanopticUNet) -> None:
    with torch.inference_mode():
        logits = network(torch.rand(2, 8, 32, 48))
    assert tuple(logits) == HEADS
    assert logits["semantic"].shape == (2, 3, 64, 96)
    assert all(logits[name].shape == (2, 1, 64, 96) for name in HEADS[1:])


def test_values_of_absent_bands_do_not_matter(network: PanopticUNet) -> None:
    tiles = torch.rand(1, 8, 32, 32)
    tiles[:, 4:] = 1
    tiles[:, 5] = 0
    other = tiles.clone()
    other[:, 1] = 7.0
    with torch.inference_mode():
        first, second = network(tiles), network(other)
    assert all(torch.equal(first[name], second[name]) for name in HEADS)


def test_default_network_has_no_layer_that_sees_the_whole_tile() -> None:
    pooling = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.GroupNorm, nn.InstanceNorm2d)
    assert not [layer for layer in PanopticUNet().modules() if isinstance(layer, pooling)]


class _Cross(nn.Module):
    """Two dilated convolutions: reach 3 + 5 by construction; output as fine as the input."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(2, 3, 3, padding=3, dilation=3), nn.ReLU(), nn.Conv2d(3, 1, 3, padding=5, dilation=5)
        )

    def forward(self, tiles: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"centre": self.layers(tiles)}


def test_reach_of_a_network_with_known_reach() -> None:
    assert measure_reach_px(_Cross(), n_channels=2, stride_px=2, output_scale=1) == 8


def test_pixels_beyond_the_reach_change_nothing(network: PanopticUNet) -> None:
    reach = measure_reach_px(network, n_channels=8, stride_px=network.stride_px, output_scale=2)
    size = 256
    tiles = torch.rand(1, 8, size, 32)
    changed = tiles.clone()
    changed[:, :, 0] += 1
    with torch.inference_mode():
        before, after = network(tiles), network(changed)
    rows = torch.zeros(2 * size, dtype=torch.bool)
    for name in HEADS:
        rows |= (before[name] != after[name]).any(dim=(0, 1, 3))
    assert rows.nonzero().max() // 2 <= reach


def test_a_network_with_global_pooling_is_refused() -> None:
    class Pooled(nn.Module):
        def forward(self, tiles: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"centre": tiles + tiles.mean(dim=(2, 3), keepdim=True)}

    with pytest.raises(ValueError, match="whole tile"):
        measure_reach_px(Pooled(), n_channels=1, stride_px=2, output_scale=1)
