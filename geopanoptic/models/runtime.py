"""Runs a bundle's network on arrays: device, threads, folded normalisation, probabilities out.

On the CPU every tile is computed by one thread, and tiles side by side. Then a pixel's value depends
neither on the tile's size nor on the batch nor on the number of threads, bit for bit (checked in
tests/models/test_runtime.py). With threads inside the operators oneDNN splits some sums by the number
of threads: outputs differed by up to 4e-7 between one and two threads, enough to move a quantised value.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from geopanoptic.errors import ModelError, ResourceError
from geopanoptic.models.bundle import Bundle
from geopanoptic.models.unet import HEADS

Device = Literal["auto", "cpu", "cuda", "mps"]

# Axes to mirror a batch along, by view. A tile begins and ends on the stride, so its mirror image does too.
_MIRRORS: tuple[tuple[int, ...], ...] = ((), (2,), (3,), (2, 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A network ready to run. Call it with arrays; holds weights, so it is not sent between processes."""

    network: nn.Module
    device: torch.device
    n_channels: int
    n_classes: int
    stride_px: int
    output_scale: int
    views: int
    name: str
    workers: ThreadPoolExecutor

    def __call__(self, input_bchw: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Probabilities of one batch of equally large tiles.

        ``input_bchw`` (B, 2 * n_bands, H, W) float32 without NaN; H and W multiples of the stride. On the
        CPU the batch should hold as many tiles as there are threads.
        Returns float32 arrays in [0, 1] at the output resolution s: ``semantic`` (B, n_classes, s*H, s*W),
        summing to one over classes, and ``centre``, ``boundary``, ``distance`` (B, 1, s*H, s*W).

        Raises ``ModelError`` for a wrong number of channels, a size off the stride and for NaN in the
        output, ``ResourceError`` where the device's memory does not hold the batch.
        """
        self._check(input_bchw.shape)
        batch, _, height, width = input_bchw.shape
        fine = (height * self.output_scale, width * self.output_scale)
        outputs = {
            name: np.empty((batch, self.n_classes if name == "semantic" else 1, *fine), np.float32)
            for name in HEADS
        }
        step = 1 if self.device.type == "cpu" else batch
        parts = [slice(start, start + step) for start in range(0, batch, step)]
        try:
            for _ in self.workers.map(lambda part: self._run(input_bchw, outputs, part), parts):
                pass
        except torch.OutOfMemoryError:
            raise ResourceError(
                f"{self.device} has too little memory for tiles of {input_bchw.shape}.",
                remedy="Use smaller tiles or a smaller batch, or the CPU.",
            ) from None
        if not all(np.isfinite(array.sum(dtype=np.float64)) for array in outputs.values()):
            raise ModelError(
                f"Model {self.name} gives NaN for a tile.",
                remedy="Look for extreme values in the scene; if there are none, the weights are damaged.",
            )
        return outputs

    def _run(
        self, input_bchw: NDArray[np.float32], outputs: dict[str, NDArray[np.float32]], part: slice
    ) -> None:
        with torch.inference_mode():
            tiles = torch.from_numpy(input_bchw[part]).to(self.device)
            mean: dict[str, Tensor] = {}
            for axes in _MIRRORS[: self.views]:
                seen = tiles.flip(axes).contiguous(memory_format=torch.channels_last)
                for name, logits in self.network(seen).items():
                    probability = _probability(name, logits).flip(axes) / self.views
                    mean[name] = mean[name] + probability if name in mean else probability
            for name, values in mean.items():
                outputs[name][part] = values.cpu().numpy()

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

    ``threads`` is the number of tiles computed side by side on the CPU, by default one per core this
    process may use. Raises ``ResourceError`` where the device asked for does not exist.
    """
    target = _resolved(device)
    n_workers = (threads or _usable_cores()) if target.type == "cpu" else 1
    network = fold_normalisation(bundle.network())
    return Runtime(
        network=network.to(target, memory_format=torch.channels_last),  # type: ignore[call-overload]  # torch's stub lacks the overload
        device=target,
        n_channels=2 * len(bundle.bands),
        n_classes=len(bundle.classes),
        stride_px=bundle.stride_px,
        output_scale=bundle.output_scale,
        views=bundle.views,
        name=bundle.name,
        # torch counts threads per calling thread: the rest of the process keeps its own number.
        workers=ThreadPoolExecutor(
            n_workers, "geopanoptic-network", initializer=torch.set_num_threads, initargs=(1,)
        ),
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


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _probability(name: str, logits: Tensor) -> Tensor:
    return logits.softmax(dim=1) if name == "semantic" else logits.sigmoid()
