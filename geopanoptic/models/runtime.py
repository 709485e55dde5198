"""Runs a bundle's network on arrays: device, threads, folded normalisation, probabilities out.

On the CPU the network computes in float32 and channels-last. oneDNN sums every output pixel of a
convolution in an order that depends on the channels alone, so a pixel's value depends neither on the
tile's size nor on the batch or the number of threads; tests/models/test_runtime.py checks that bit by bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from geopanoptic.errors import ModelError, ResourceError
from geopanoptic.models.bundle import Bundle

Device = Literal["auto", "cpu", "cuda", "mps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A network ready to run. Call it with arrays; holds weights, so it is not sent between processes."""

    network: nn.Module
    device: torch.device
    n_channels: int
    stride_px: int
    name: str

    def __call__(self, input_bchw: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Probabilities of one batch of equally large tiles.

        ``input_bchw`` (B, 2 * n_bands, H, W) float32 without NaN; H and W multiples of the stride.
        Returns float32 arrays in [0, 1] at the output resolution s: ``semantic`` (B, n_classes, s*H, s*W),
        summing to one over classes, and ``centre``, ``boundary``, ``distance`` (B, 1, s*H, s*W).

        Raises ``ModelError`` for a wrong number of channels, a size off the stride and for NaN in the
        output, ``ResourceError`` where the device's memory does not hold the batch.
        """
        self._check(input_bchw.shape)
        with torch.inference_mode():
            batch = torch.from_numpy(input_bchw).to(self.device)
            try:
                logits = self.network(batch.contiguous(memory_format=torch.channels_last))
                outputs = {name: _probability(name, values) for name, values in logits.items()}
                arrays = {name: values.contiguous().cpu().numpy() for name, values in outputs.items()}
            except torch.OutOfMemoryError:
                raise ResourceError(
                    f"{self.device} has too little memory for tiles of {tuple(input_bchw.shape)}.",
                    remedy="Use smaller tiles or a smaller batch, or the CPU.",
                ) from None
        if not all(np.isfinite(array.sum(dtype=np.float64)) for array in arrays.values()):
            raise ModelError(
                f"Model {self.name} gives NaN for a tile.",
                remedy="Look for extreme values in the scene; if there are none, the weights are damaged.",
            )
        return arrays

    def _check(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 4 or shape[1] != self.n_channels:
            raise ModelError(
                f"Model {self.name} takes (batch, {self.n_channels}, height, width), not {shape}.",
                remedy="Give every band of the model and then one availability flag per band.",
            )
        if shape[2] % self.stride_px or shape[3] % self.stride_px:
            raise ModelError(
                f"Model {self.name} takes tiles in multiples of {self.stride_px} px, not {shape[2:]}.",
                remedy="Extend the tile with zeros.",
            )


def load_runtime(bundle: Bundle, device: Device = "auto", threads: int | None = None) -> Runtime:
    """The bundle's network on a device; "auto" takes a CUDA GPU where there is one, else the CPU.

    ``threads`` sets torch's number of CPU threads for the whole process; None leaves it.
    Raises ``ResourceError`` where the device asked for does not exist.
    """
    target = _resolved(device)
    if threads is not None:
        torch.set_num_threads(threads)
    network = fold_normalisation(bundle.network())
    return Runtime(
        network=network.to(target, memory_format=torch.channels_last),
        device=target,
        n_channels=2 * len(bundle.bands),
        stride_px=bundle.stride_px,
        name=bundle.name,
    )


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


def _resolved(device: Device) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present.get(device.split(":")[0], False):
        raise ResourceError(
            f"There is no device {device!r} here.",
            remedy="Run with --device cpu, or install torch for your GPU and its driver.",
        )
    return torch.device(device)


def _probability(name: str, logits: Tensor) -> Tensor:
    return logits.softmax(dim=1) if name == "semantic" else logits.sigmoid()
