"""What every runtime has in common: checked input, tiles side by side, mirrored views, probabilities by name.

On the CPU every tile is computed by one thread, and tiles side by side. In float32 a pixel's value then depends
neither on the tile's size nor on the batch nor on the number of threads, bit for bit (checked for every
runtime in tests/models/test_runtimes.py). With threads inside the operators oneDNN splits some sums by the
number of threads: outputs differed by up to 4e-7, enough to move a quantised value.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from geopanoptic.errors import ModelError
from geopanoptic.models.bundle import Bundle
from geopanoptic.models.networks.heads import HEADS
from geopanoptic.models.networks.margins import surplus_px

if TYPE_CHECKING:
    from geopanoptic.models.runtimes.device_layers import Layers, Quantisation

Floats = NDArray[np.float32]
DatedTiles = tuple[Floats, float]
"""Tiles (B, 2 * n_bands, H, W), or those of their channels that the network reads (``Runtime.channels``), on one date,
and its day, 1 to 366 of the northern seasons, NaN where unknown."""
Probabilities = Callable[[Floats], tuple[Floats, Floats]]
"""Input of ``CompactUNet`` to its outputs, which are valid until the same thread's next call; on the CPU called from
several threads at once, one tile each."""
Take = Callable[[int, Mapping[str, NDArray[Any]]], None]
"""Is given the number of a tile in its batch and its probabilities (C, h, w) by name of the head, which are valid
during the call, or what ``layers_of`` makes of them; on the CPU called from several threads at once."""


@runtime_checkable
class Releasing(Protocol):
    """What computes a network and keeps the memory of a tile until it is told to give it back."""

    def release(self) -> None: ...


def release_of(network: object) -> None:
    """Let a network give back memory, where it knows how."""
    if isinstance(network, Releasing):
        network.release()


@runtime_checkable
class QuantisesTiles(Protocol):
    """Probabilities that can be quantised where they are computed."""

    def quantised(
        self, input_bchw: Floats, mirrors: Sequence[tuple[int, ...]], quantisation: Quantisation
    ) -> Layers | None:
        """Layers (B, h, w) of the mean over ``mirrors``, see ``device_layers``; None where there is NaN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime(ABC):
    """A network ready to run. Give it arrays; holds weights, so it is not sent between processes."""

    name: str
    """``torch``, ``openvino``, ``onnxruntime`` or ``compiled``."""
    version: str
    device: str
    """``cpu``, ``cuda``, ``cuda:1``, ``mps``."""
    precision: str
    """``f32`` or ``bf16``; what ``auto`` was settled to."""
    bundle: Bundle
    channels: tuple[int, ...]
    """Channels of the caller's input that the network reads."""
    margin_px: int
    """Input pixels along every edge of a tile for which there is no output."""
    workers: ThreadPoolExecutor | None
    """Computes tiles side by side; None: whole batches at once, in the caller's thread."""

    def __call__(self, input_bchw: Floats) -> dict[str, Floats]:
        """Probabilities of one batch of equally large tiles of one image, as ``over`` of a date unknown."""
        return self.over([(input_bchw, math.nan)])

    def over(self, dates: Iterable[DatedTiles]) -> dict[str, Floats]:
        """Probabilities of one batch of equally large tiles, seen on ``dates``, see ``each_over``.

        Returns arrays of their own, at the output resolution s without the margin m of ``margin_px``: ``semantic``
        (B, n_classes, s * (H - 2m), s * (W - 2m)), and ``centre``, ``boundary``, ``distance`` with one channel.
        """
        kept: dict[int, dict[str, Floats]] = {}
        surplus = surplus_px(
            self.margin_px,
            fine_convolution=self.bundle.manifest.network.fine_convolution,
            two_scales=self.bundle.second_scale is not None,
        )

        def keep(number: int, outputs: Mapping[str, Floats]) -> None:
            kept[number] = {
                name: values[
                    :, surplus : values.shape[1] - surplus, surplus : values.shape[2] - surplus
                ].copy()
                for name, values in outputs.items()
            }

        self.each_over(dates, keep)
        return {name: np.stack([kept[number][name] for number in sorted(kept)]) for name in HEADS}

    @abstractmethod
    def each_over(
        self, dates: Iterable[DatedTiles], take: Take, quantisation: Quantisation | None = None
    ) -> None:
        """Compute one batch of equally large tiles, seen on ``dates``, and hand each one's probabilities on.

        Tiles are float32 without NaN, (B, channels, H, W) as in ``DatedTiles``, the same places on every date; H and W multiples
        of the stride. On the CPU the batch should hold as many tiles as there are threads. A network of single
        images takes exactly one date and ignores the day; one of series takes the dates one at a time, keeps
        sums of them only, and nothing changes by a date on which a tile has no flag. Rounding depends on
        the dates' order.

        ``take`` is given float32 in [0, 1], ``semantic`` summing to one over classes, of the tile without its
        margin but with ``surplus_px`` along every edge. With ``quantisation`` a GPU hands on the integers (h, w) of
        ``device_layers.layers_of`` in their place; a CPU never does, where the caller can take them from where they lie.

        Raises ``ModelError`` for no date or more than the network takes, a wrong number of channels, a size off
        the stride or within the margins, tiles that change their shape between dates, and for NaN,
        ``ResourceError`` where the device's memory does not hold one tile.
        """

    def release(self) -> None:  # noqa: B027  most runtimes keep nothing
        """Give back the memory that tiles needed; the network stays loaded. Not while it computes."""

    def side_by_side(self, compute: Callable[[slice], None], batch: int) -> None:
        """Call ``compute`` with parts of a batch that together are all of it."""
        if self.workers is None:
            compute(slice(0, batch))
            return
        for _ in self.workers.map(compute, [slice(number, number + 1) for number in range(batch)]):
            pass

    def mean_of_views(self, compute: Callable[[tuple[int, ...]], Sequence[Floats]]) -> Sequence[Floats]:
        """The mean of what ``compute`` gives of a batch mirrored along each of the bundle's ``mirrors``, mirrored back."""
        first = compute(())
        if self.bundle.views == 1:
            return first
        total = [values.copy() for values in first]
        for axes in self.bundle.mirrors[1:]:
            for mean, seen in zip(total, compute(axes), strict=True):
                mean += np.flip(seen, axes)
        for mean in total:
            mean /= self.bundle.views
        return total

    def hand_on(self, part: slice, outputs: Sequence[Floats], take: Take) -> None:
        """Give ``take`` the tiles of a part of the batch, by ``outputs`` as of ``Probabilities``.

        Raises ``ModelError`` for NaN."""
        self.refuse_nan(*outputs)
        for number, (classes, others) in enumerate(zip(*outputs, strict=True), part.start):
            take(number, dict(zip(HEADS, (classes, *np.split(others, len(others))), strict=True)))

    def hand_on_layers(self, part: slice, layers: Layers | None, take: Take) -> None:
        """As ``hand_on`` of integers (B, h, w) by name; None where there was NaN."""
        if layers is None:
            raise self._nan()
        for place, number in enumerate(range(part.start, part.start + len(layers["heat"]))):
            take(number, {name: values[place] for name, values in layers.items()})

    @property
    def on_gpu(self) -> bool:
        return self.device.startswith("cuda")

    def read_of(self, input_bchw: Floats, part: slice) -> Floats:
        """The channels that the network reads of a part of the batch; a copy only where there are others.

        Raises ``ModelError`` for NaN: some runtimes' minima and maxima turn it into a number."""
        alone = input_bchw.shape[1] == len(self.channels)
        tiles = input_bchw[part] if alone else input_bchw[part, self.channels]
        self.refuse_nan(tiles)
        return tiles

    def refuse_nan(self, *arrays: Floats) -> None:
        if not all(np.isfinite(values.sum()) for values in arrays):
            raise self._nan()

    def _nan(self) -> ModelError:
        return ModelError(
            f"Model {self.bundle.name} gives NaN for a tile.",
            remedy="Look for extreme values in the scene; if there are none, the weights are damaged.",
        )

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Raise ``ModelError`` for tiles that the network does not take."""
        n_channels, stride_px = 2 * len(self.bundle.bands), self.bundle.stride_px
        if len(shape) != 4 or shape[1] not in (n_channels, len(self.channels)):
            raise ModelError(
                f"Model {self.bundle.name} takes (batch, {n_channels}, height, width), not {shape}.",
                remedy="Give every band of the model and then one availability flag per band.",
            )
        if shape[2] % stride_px or shape[3] % stride_px:
            raise ModelError(
                f"Model {self.bundle.name} takes tiles in multiples of {stride_px} px, not {shape[2:]}.",
                remedy="Extend the tile with zeros.",
            )
        if min(shape[2:]) <= 2 * self.margin_px:
            raise ModelError(
                f"A tile of {shape[2:]} px has nothing within margins of {self.margin_px} px.",
                remedy="Give larger tiles.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRuntime(Runtime):
    """A network of single images."""

    probabilities: Probabilities

    def release(self) -> None:
        release_of(self.probabilities)

    def each_over(
        self, dates: Iterable[DatedTiles], take: Take, quantisation: Quantisation | None = None
    ) -> None:
        inputs = [input_bchw for input_bchw, _ in dates]
        if len(inputs) != 1:
            raise ModelError(
                f"Model {self.bundle.name} takes one image, not {len(inputs)} dates.",
                remedy="Choose one date, or a model of series.",
            )
        input_bchw = inputs[0]
        self.check_shape(input_bchw.shape)

        def compute(part: slice) -> None:
            tiles = self.read_of(input_bchw, part)
            if quantisation is not None and self.on_gpu and isinstance(self.probabilities, QuantisesTiles):
                self.hand_on_layers(
                    part, self.probabilities.quantised(tiles, self.bundle.mirrors, quantisation), take
                )
                return
            views = self.mean_of_views(
                lambda axes: self.probabilities(np.ascontiguousarray(np.flip(tiles, axes)))
            )
            self.hand_on(part, views, take)

        self.side_by_side(compute, len(input_bchw))
