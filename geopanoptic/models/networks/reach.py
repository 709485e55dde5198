"""How far a network looks: measured, not derived from kernel sizes.

A NaN spreads through every sum it takes part in, so the output pixels that turn NaN are exactly those
that depend on the poisoned input pixel, whatever the weights (zero times NaN is NaN). Activations that
clamp would swallow it (ReLU6 in some builds), so they are replaced by the identity while probing.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from geopanoptic.models.networks.series import PanopticUNetSeries

_CLAMPING = (nn.ReLU, nn.ReLU6, nn.Hardtanh)


def measure_reach_px(network: nn.Module, *, n_channels: int, stride_px: int, output_scale: int) -> int:
    """Largest distance, in input pixels along an axis, from an input pixel to an output it can change.

    A line of poisoned pixels stands in for one pixel, at every phase within the stride; kernels, strides
    and paddings are the same along both axes, so the line runs along one only. A network of series looks
    at every date alike, so it is given one. Raises ``ValueError`` where the network looks farther than 480 px
    or so.
    """
    probe = _without_clamping(copy.deepcopy(network).eval())
    if isinstance(probe, PanopticUNetSeries):
        probe = _OneDate(probe)
    size_px = 1024
    middle = size_px // 2
    reach = 0
    with torch.inference_mode():
        for phase in range(stride_px):
            position = middle + phase
            poisoned = torch.zeros(1, n_channels, size_px, stride_px * 4)
            poisoned[:, :, position, :] = float("nan")
            rows = torch.zeros(size_px * output_scale, dtype=torch.bool)
            for values in probe(poisoned).values():
                touched_rows = values.isnan().any(dim=(0, 1, 3))
                rows |= touched_rows.repeat_interleave(len(rows) // len(touched_rows))
            touched = rows.nonzero().squeeze(1).div(output_scale, rounding_mode="floor")
            reach = max(reach, position - int(touched.min()), int(touched.max()) - position)
    if reach >= middle - stride_px:
        raise ValueError(f"the network reaches {reach} px or more: it looks at the whole tile")
    return reach


class _OneDate(nn.Module):
    def __init__(self, network: PanopticUNetSeries) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_bchw: Tensor) -> dict[str, Tensor]:
        return self.network(input_bchw[:, None], input_bchw.new_ones(len(input_bchw), 1))


def _without_clamping(network: nn.Module) -> nn.Module:
    for name, child in network.named_children():
        if isinstance(child, _CLAMPING):
            setattr(network, name, nn.Identity())
        else:
            _without_clamping(child)
    return network
