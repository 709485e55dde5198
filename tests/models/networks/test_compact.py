"""Networks as they are computed: what is padded, and channels that become pixels."""

from __future__ import annotations

import pytest
import torch

from geopanoptic.models.bundle import Bundle
from geopanoptic.models.networks.compact import compact, depth_to_space


@pytest.mark.parametrize("scale", [2, 3])
def test_channels_become_pixels_as_torch_shuffles_them(scale: int) -> None:
    values = torch.rand(2, 5 * scale**2, 4, 3)
    by_place = values.unflatten(1, (5, scale**2)).transpose(1, 2).flatten(1, 2)
    torch.testing.assert_close(
        depth_to_space(by_place, scale), torch.nn.functional.pixel_shuffle(values, scale), rtol=0, atol=0
    )


@pytest.mark.parametrize(("margin_px", "n_padded"), [(0, 7), (32, 5), (48, 0)])
def test_layers_pad_only_where_a_margin_is_too_narrow(
    tiny_bundle: Bundle, margin_px: int, n_padded: int
) -> None:
    encoder = compact(tiny_bundle.network(), margin_px=margin_px).encoder
    padded = [step.pads for step in encoder.steps]
    assert sum(padded) == n_padded
    assert padded == sorted(padded, reverse=True)
    maps = encoder(torch.zeros(1, encoder.n_inputs, 128, 128))
    kept_px = [4] * (len(maps) - 1) + [2] if margin_px else [0] * len(maps)
    core_px = 128 - 2 * margin_px
    sides = [(core_px >> level) + 2 * kept for level, kept in enumerate(kept_px)]
    assert [values.shape[2:] for values in maps[1:]] == [(side, side) for side in sides[1:]]
