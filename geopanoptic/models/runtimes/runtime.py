"""What every runtime has in common: checked input, tiles side by side, mirrored views, probabilities by name.

On the CPU every tile is computed by one thread, and tiles side by side. In float32 a pixel's value then depends
neither on the tile's size nor on the batch nor on the number of threads, bit for bit (checked for every
runtime in tests/models/test_runtimes.py). With threads inside the operators oneDNN splits some sums by the
number of threads: outputs differed by up to 4e-7, enough to move a quantised value.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geopanoptic.errors import ModelError
from geopanoptic.models.bundle import Bundle
from geopanoptic.models.unet import HEADS

Floats = NDArray[np.float32]
DatedTiles = tuple[Floats, float]
"""Tiles (B, 2 * n_bands, H, W) on one date and its day, 1 to 366 of the northern seasons, NaN where unknown."""
Probabilities = Callable[[Floats], Floats]
"""Input of ``CompactUNet`` to its output; on the CPU called from several threads at once, one tile each."""

# Axes to mirror a batch along, by view. A tile begins and ends on the stride, so its mirror image does too.
_MIRRORS: tuple[tuple[int, ...], ...] = ((), (2,), (3,), (2, 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime(ABC):
    """A network ready to run. Give it arrays; holds weights, so it is not sent between processes."""

    name: str
    """``torch``, ``openvino`` or ``onnxruntime``."""
    version: str
    device: str
    """``cpu``, ``cuda``, ``cuda:1``, ``mps``."""
    precision: str
    """``f32`` or ``bf16``."""
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

    @abstractmethod
    def over(self, dates: Iterable[DatedTiles]) -> dict[str, Floats]:
        """Probabilities of one batch of equally large tiles, seen on ``dates``.

        Tiles are (B, 2 * n_bands, H, W) float32 without NaN, the same places on every date; H and W multiples
        of the stride. On the CPU the batch should hold as many tiles as there are threads. A network of single
        images takes exactly one date and ignores the day; one of series takes the dates one at a time, keeps
        sums of them only, and nothing changes by a date on which a tile has no flag. Rounding depends on
        the dates' order.

        Returns float32 arrays in [0, 1] at the output resolution s, without the margin m of ``margin_px``:
        ``semantic`` (B, n_classes, s * (H - 2m), s * (W - 2m)), summing to one over classes, and ``centre``,
        ``boundary``, ``distance`` with one channel.

        Raises ``ModelError`` for no date or more than the network takes, a wrong number of channels, a size off
        the stride or within the margins, tiles that change their shape between dates, and for NaN,
        ``ResourceError`` where the device's memory does not hold one tile.
        """

    @property
    def mirrors(self) -> tuple[tuple[int, ...], ...]:
        """Axes to mirror a batch along for every view that is averaged."""
        return _MIRRORS[: self.bundle.views]

    def side_by_side(self, compute: Callable[[slice], None], batch: int) -> None:
        """Call ``compute`` with parts of a batch that together are all of it."""
        if self.workers is None:
            compute(slice(0, batch))
            return
        for _ in self.workers.map(compute, [slice(number, number + 1) for number in range(batch)]):
            pass

    def empty_outputs(self, shape: tuple[int, ...]) -> Floats:
        """All outputs of tiles of this shape, not filled yet."""
        scale, margin_px, n_classes = self.bundle.output_scale, self.margin_px, len(self.bundle.classes)
        inner = (scale * (length - 2 * margin_px) for length in shape[2:])
        return np.empty((shape[0], n_classes + len(HEADS) - 1, *inner), np.float32)

    def by_name(self, outputs: Floats) -> dict[str, Floats]:
        """All outputs as views by the name of the head."""
        parts = np.split(outputs, range(len(self.bundle.classes), outputs.shape[1]), axis=1)
        return dict(zip(HEADS, parts, strict=True))

    def refuse_nan(self, *arrays: Floats) -> None:
        """Look at a network's input as well: some runtimes' minima and maxima turn NaN into a number."""
        if not all(np.isfinite(values.sum()) for values in arrays):
            raise ModelError(
                f"Model {self.bundle.name} gives NaN for a tile.",
                remedy="Look for extreme values in the scene; if there are none, the weights are damaged.",
            )

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Raise ``ModelError`` for tiles that the network does not take."""
        n_channels, stride_px = 2 * len(self.bundle.bands), self.bundle.stride_px
        if len(shape) != 4 or shape[1] != n_channels:
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

    def over(self, dates: Iterable[DatedTiles]) -> dict[str, Floats]:
        inputs = [input_bchw for input_bchw, _ in dates]
        if len(inputs) != 1:
            raise ModelError(
                f"Model {self.bundle.name} takes one image, not {len(inputs)} dates.",
                remedy="Choose one date, or a model of series.",
            )
        input_bchw = inputs[0]
        self.check_shape(input_bchw.shape)
        outputs = self.empty_outputs(input_bchw.shape)
        self.side_by_side(lambda part: self._fill(input_bchw, outputs, part), len(input_bchw))
        return self.by_name(outputs)

    def _fill(self, input_bchw: Floats, outputs: Floats, part: slice) -> None:
        tiles = input_bchw[part, self.channels]
        total = outputs[part]
        total[:] = self.probabilities(tiles)
        for axes in self.mirrors[1:]:
            total += np.flip(self.probabilities(np.ascontiguousarray(np.flip(tiles, axes))), axes)
        if len(self.mirrors) > 1:
            total /= len(self.mirrors)
        self.refuse_nan(tiles, total)
