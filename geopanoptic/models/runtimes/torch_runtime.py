"""The network in torch: channels last, on a GPU optionally in bfloat16, in batches as large as its memory takes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geopanoptic.errors import ResourceError
from geopanoptic.models.compact import CompactUNet


@dataclass(slots=True, kw_only=True)
class TorchProbabilities:
    """``network`` on ``device``; remembers how many tiles its memory took at once."""

    network: nn.Module
    device: torch.device
    autocast: bool
    at_once: int | None = None

    def __call__(self, input_bchw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Raises ``ResourceError`` where not even one tile fits the device's memory."""
        results: list[NDArray[np.float32]] = []

        def compute(part: slice) -> None:
            results.append(self._compute(input_bchw[part]))

        try:
            fitted = halving(compute, len(input_bchw), self.at_once or len(input_bchw))
        except torch.OutOfMemoryError:
            raise ResourceError(
                f"{self.device} has too little memory for a tile of {input_bchw.shape[1:]}.",
                remedy="Use smaller tiles with --tile, or --device cpu.",
            ) from None
        if fitted < len(input_bchw):
            self.at_once = fitted
        return results[0] if len(results) == 1 else np.concatenate(results)

    def _compute(self, input_bchw: NDArray[np.float32]) -> NDArray[np.float32]:
        with ExitStack() as settings:
            settings.enter_context(torch.inference_mode())
            if self.autocast:
                settings.enter_context(torch.autocast(self.device.type, torch.bfloat16))
            if self.device.type == "cuda":
                # torch would round to TF32, and cuDNN choose kernels by their timing: not the same bits twice.
                settings.enter_context(
                    torch.backends.cudnn.flags(
                        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
                    )
                )
            tiles = torch.from_numpy(input_bchw).to(self.device, memory_format=torch.channels_last)
            return self.network(tiles).float().cpu().numpy()


def torch_probabilities(network: CompactUNet, device: torch.device, *, autocast: bool) -> TorchProbabilities:
    """The network moved to ``device``."""
    moved = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks the overload
    if device.type == "cpu" and not autocast and torch.backends.mkldnn.is_available():
        _call_onednn(moved)
    return TorchProbabilities(network=moved, device=device, autocast=autocast)


class _OneDnnConvolution(nn.Module):
    """A convolution that is always oneDNN's.

    ``nn.Conv2d`` takes other kernels, with other rounding, for inputs of at most 20480 values: then a pixel
    would depend on the size of its tile.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = convolution.weight, convolution.bias
        self.settings = (convolution.padding, convolution.stride, convolution.dilation, convolution.groups)

    def forward(self, values_bchw: Tensor) -> Tensor:
        return torch.ops.aten.mkldnn_convolution(values_bchw, self.weight, self.bias, *self.settings)


def _call_onednn(network: nn.Module) -> None:
    for name, layer in network.named_children():
        if isinstance(layer, nn.Conv2d):
            setattr(network, name, _OneDnnConvolution(layer))
        else:
            _call_onednn(layer)


def halving(compute: Callable[[slice], None], n_tiles: int, at_once: int) -> int:
    """Call ``compute`` with slices over ``n_tiles``, ``at_once`` long, halved when memory runs out.

    Returns the length that fitted. Raises ``torch.OutOfMemoryError`` where one tile does not fit.
    """
    start = 0
    while start < n_tiles:
        count = min(at_once, n_tiles - start)
        try:
            compute(slice(start, start + count))
        except torch.OutOfMemoryError:
            if count == 1:
                raise
            at_once = count // 2
            torch.cuda.empty_cache()
        else:
            start += count
    return at_once
