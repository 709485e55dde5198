"""The network in torch: channels last, on a GPU by CUDA graphs and optionally in bfloat16, in batches as large as its
memory takes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geopanoptic.errors import ResourceError
from geopanoptic.models.networks.compact import CompactUNet
from geopanoptic.models.networks.compact_series import CompactReader, CompactSeasonDecoder
from geopanoptic.models.networks.two_scales import TwoScales
from geopanoptic.models.runtimes.cuda_graphs import Compute, Replaying, captured
from geopanoptic.models.runtimes.device_layers import Layers, Quantisation, layers_of

Network = TypeVar("Network", bound=nn.Module)
Mirrors = Sequence[tuple[int, ...]]
Outputs = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Probabilities of the classes and of the other heads."""


@dataclass(slots=True, kw_only=True)
class _OnDevice(ABC):
    """Networks on ``device``; remembers how many tiles its memory took at once."""

    device: torch.device
    at_once: int | None = None

    def in_parts(self, compute: Callable[[slice], None], n_tiles: int, shape: tuple[int, ...]) -> None:
        """Call ``compute`` for all tiles in parts that fit; ``ResourceError`` where not even one does."""
        try:
            with _settings(self.device):
                fitted = halving(compute, n_tiles, self.at_once or n_tiles, make_room=self._make_room)
        except torch.OutOfMemoryError:
            raise ResourceError(
                f"{self.device} has too little memory for a tile of {shape}.",
                remedy="Use smaller tiles with --tile, or --device cpu.",
            ) from None
        if fitted < n_tiles:
            self.at_once = fitted

    def to_device(self, values_bchw: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(values_bchw).to(self.device, memory_format=torch.channels_last)

    def _make_room(self) -> bool:
        had = [each.give_way() for each in self.computed_with() if isinstance(each, Replaying)]
        return any(had)

    def release(self) -> None:
        """Give back what the device keeps for tiles to come."""
        for each in self.computed_with():
            if isinstance(each, Replaying):
                each.release()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    @abstractmethod
    def computed_with(self) -> Sequence[Compute]:
        """What it calls, tensors on the device to tensors there."""


@dataclass(slots=True, kw_only=True)
class TorchProbabilities(_OnDevice):
    """A network of single images."""

    network: Compute

    def computed_with(self) -> Sequence[Compute]:
        return [self.network]

    def __call__(self, input_bchw: NDArray[np.float32]) -> Outputs:
        """Raises ``ResourceError`` where not even one tile fits the device's memory."""
        results: list[Outputs] = []

        def compute(part: slice) -> None:
            results.append(_on_host(self.network(self.to_device(input_bchw[part]))))

        self.in_parts(compute, len(input_bchw), input_bchw.shape[1:])
        return _joined(results)

    def quantised(
        self, input_bchw: NDArray[np.float32], mirrors: Mirrors, quantisation: Quantisation
    ) -> Layers | None:
        """See ``QuantisesTiles``; raises as ``__call__``."""
        results: list[dict[str, Tensor] | None] = []

        def compute(part: slice) -> None:
            tiles = self.to_device(input_bchw[part])
            views = (self.network(torch.flip(tiles, axes)) for axes in mirrors)
            results.append(_quantised(views, mirrors, quantisation))

        self.in_parts(compute, len(input_bchw), input_bchw.shape[1:])
        return _layers(results)


@dataclass(slots=True, kw_only=True)
class TorchHalves(_OnDevice):
    """Both halves of a network of series. Sums stay on the device."""

    reader: CompactReader
    decoder: CompactSeasonDecoder
    encode: Compute
    """The reader's encoder, of tiles."""
    decode_maps: Compute
    """The decoder's, of maps."""

    def computed_with(self) -> Sequence[Compute]:
        return [self.encode, self.decode_maps]

    def read(self, input_bchw: NDArray[np.float32], day_bchw: NDArray[np.float32]) -> list[Tensor]:
        """Raises ``ResourceError`` where not even one tile fits the device's memory."""
        results: list[list[Tensor]] = []

        def compute(part: slice) -> None:
            tiles = self.to_device(input_bchw[part])
            maps = [values.float() for values in self.encode(tiles)]
            results.append(self.reader.shares_of(maps, tiles, self.to_device(day_bchw)))

        self.in_parts(compute, len(input_bchw), input_bchw.shape[1:])
        return results[0] if len(results) == 1 else [torch.cat(parts) for parts in zip(*results, strict=True)]

    def decode(self, totals: Sequence[Tensor]) -> Outputs:
        """Raises ``ResourceError`` where not even one tile fits the device's memory."""
        results: list[Outputs] = []

        def compute(part: slice) -> None:
            results.append(_on_host(self._decoded([total[part] for total in totals])))

        self.in_parts(compute, len(totals[0]), tuple(totals[0].shape[1:]))
        return _joined(results)

    def quantised(
        self, of_views: Sequence[Sequence[Tensor]], mirrors: Mirrors, quantisation: Quantisation
    ) -> Layers | None:
        """See ``QuantisesSums``; raises as ``decode``."""
        results: list[dict[str, Tensor] | None] = []
        first = of_views[0][0]

        def compute(part: slice) -> None:
            views = (self._decoded([total[part] for total in totals]) for totals in of_views)
            results.append(_quantised(views, mirrors, quantisation))

        self.in_parts(compute, len(first), tuple(first.shape[1:]))
        return _layers(results)

    def _decoded(self, totals: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        outputs = self.decode_maps(*self.decoder.maps_of(totals))
        return self.decoder.with_kinds([values.float() for values in outputs], totals)


def torch_probabilities(
    network: CompactUNet | TwoScales, device: str, *, autocast: bool, compiled: bool = False
) -> TorchProbabilities:
    """The network moved to ``device``, with kernels of its own where ``compiled``."""
    target = torch.device(device)
    moved = _moved(network, target, as_it_is=autocast or compiled)
    return TorchProbabilities(network=_computing(moved, target, autocast, compiled), device=target)


def torch_halves(
    reader: CompactReader,
    decoder: CompactSeasonDecoder,
    device: str,
    *,
    autocast: bool,
    compiled: bool = False,
) -> TorchHalves:
    """Both halves moved to ``device``, with kernels of their own where ``compiled``."""
    target = torch.device(device)
    on_device = _moved(decoder, target, as_it_is=autocast or compiled)
    moved = _moved(reader, target, as_it_is=autocast or compiled)
    return TorchHalves(
        reader=moved,
        decoder=on_device,
        encode=_computing(moved.encoder, target, autocast, compiled),
        decode_maps=_computing(lambda *maps: on_device.decoder(maps), target, autocast, compiled),
        device=target,
    )


def _computing(network: Compute, device: torch.device, autocast: bool, compiled: bool) -> Compute:
    """``network``, if asked for in bfloat16 or compiled, on a GPU by CUDA graphs."""
    on_gpu = device.type == "cuda"
    if compiled:
        network = _compiled(network)

    def compute(*inputs: Tensor) -> Sequence[Tensor]:
        # A graph must not read rounded weights that are forgotten when the context ends.
        with torch.autocast(device.type, torch.bfloat16, enabled=autocast, cache_enabled=not on_gpu):
            return network(*inputs)

    return Replaying(compute=compute, capture=captured) if on_gpu else compute


def _compiled(network: Compute) -> Compute:
    # One shape at a time: with shapes left open torch 2.13 fails inside, and the kernels would be slower.
    fast: Compute = torch.compile(network, dynamic=False)

    def compute(*inputs: Tensor) -> Sequence[Tensor]:
        try:
            return fast(*inputs)
        except torch._dynamo.exc.TorchDynamoException as failure:
            raise ResourceError(
                f"torch cannot compile the network here: {str(failure).strip().splitlines()[0]}",
                remedy="Choose --runtime torch or auto, or install what it compiles with: a C++ compiler, for a GPU triton.",
            ) from None

    return compute


def _on_host(outputs: Sequence[Tensor]) -> Outputs:
    classes, others = (values.float().cpu().contiguous().numpy() for values in outputs)
    return classes, others


def _quantised(
    views: Iterable[Sequence[Tensor]], mirrors: Mirrors, quantisation: Quantisation
) -> dict[str, Tensor] | None:
    """Layers of the mean of what the views gave, on their device; None for NaN. Sums as ``Runtime.mean_of_views``."""
    totals: list[Tensor] = []
    for axes, outputs in zip(mirrors, views, strict=True):
        seen = [torch.flip(values.float(), axes) for values in outputs]
        totals = [total + each for total, each in zip(totals, seen, strict=True)] if totals else seen
    classes, others = (total / len(mirrors) for total in totals) if len(mirrors) > 1 else totals
    if not bool(torch.isfinite(classes.sum() + others.sum())):
        return None
    return {name: values.cpu() for name, values in layers_of(classes, others, quantisation).items()}


def _layers(parts: Sequence[dict[str, Tensor] | None]) -> Layers | None:
    whole = [part for part in parts if part is not None]
    if len(whole) < len(parts):
        return None
    return {name: np.concatenate([part[name].numpy() for part in whole]) for name in whole[0]}


def _joined(parts: Sequence[Outputs]) -> Outputs:
    if len(parts) == 1:
        return parts[0]
    classes, others = (np.concatenate(each) for each in zip(*parts, strict=True))
    return classes, others


def _moved(network: Network, device: torch.device, *, as_it_is: bool) -> Network:
    moved = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks the overload
    if device.type == "cpu" and not as_it_is and torch.backends.mkldnn.is_available():
        _round_alike(moved)
    return moved


@contextmanager
def _settings(device: torch.device) -> Iterator[None]:
    with ExitStack() as settings:
        settings.enter_context(torch.inference_mode())
        if device.type == "cuda":
            # torch would round to TF32, and cuDNN choose kernels by their timing: not the same bits twice.
            settings.enter_context(
                torch.backends.cudnn.flags(
                    enabled=True, benchmark=False, deterministic=True, allow_tf32=False
                )
            )
        yield


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


class _ChannelsLastUpsample(nn.Module):
    """An interpolation that is always done in channels last, of four channels or more.

    Otherwise the loop along a row rounds differently at its end: then a pixel would depend on where its tile
    begins.
    """

    def __init__(self, upsample: nn.Upsample) -> None:
        super().__init__()
        self.upsample = upsample

    def forward(self, values_bchw: Tensor) -> Tensor:
        return self.upsample(values_bchw.contiguous(memory_format=torch.channels_last))


def _round_alike(network: nn.Module) -> None:
    for name, layer in network.named_children():
        if isinstance(layer, nn.Conv2d):
            setattr(network, name, _OneDnnConvolution(layer))
        elif isinstance(layer, nn.Upsample):
            setattr(network, name, _ChannelsLastUpsample(layer))
        else:
            _round_alike(layer)


def halving(
    compute: Callable[[slice], None],
    n_tiles: int,
    at_once: int,
    *,
    make_room: Callable[[], bool] = lambda: False,
) -> int:
    """Call ``compute`` with slices over ``n_tiles``, ``at_once`` long, halved when memory runs out.

    ``make_room`` says whether there is more memory now, and is asked first. Returns the length that fitted. Raises
    ``torch.OutOfMemoryError`` where one tile does not fit.
    """
    start = 0
    while start < n_tiles:
        count = min(at_once, n_tiles - start)
        try:
            compute(slice(start, start + count))
        except torch.OutOfMemoryError:
            if not make_room():
                if count == 1:
                    raise
                at_once = count // 2
            torch.cuda.empty_cache()
        else:
            start += count
    return at_once
