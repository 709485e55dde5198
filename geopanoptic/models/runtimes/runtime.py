"""What every runtime has in common: checked input, tiles side by side, mirrored views, probabilities by name.

On the CPU every tile is computed by one thread, and tiles side by side. In float32 a pixel's value then depends
neither on the tile's size nor on the batch nor on the number of threads, bit for bit (checked for every
runtime in tests/models/test_runtimes.py). With threads inside the operators oneDNN splits some sums by the
number of threads: outputs differed by up to 4e-7, enough to move a quantised value.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geopanoptic.errors import ModelError
from geopanoptic.models.bundle import Bundle
from geopanoptic.models.unet import HEADS

Floats = NDArray[np.float32]
Probabilities = Callable[[Floats], Floats]
"""Input of ``CompactUNet`` to its output; on the CPU called from several threads at once, one tile each."""

# Axes to mirror a batch along, by view. A tile begins and ends on the stride, so its mirror image does too.
_MIRRORS: tuple[tuple[int, ...], ...] = ((), (2,), (3,), (2, 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A network ready to run. Call it with arrays; holds weights, so it is not sent between processes."""

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
    probabilities: Probabilities
    workers: ThreadPoolExecutor | None
    """Computes tiles side by side; None: whole batches at once, in the caller's thread."""

    def __call__(self, input_bchw: Floats) -> dict[str, Floats]:
        """Probabilities of one batch of equally large tiles.

        ``input_bchw`` (B, 2 * n_bands, H, W) float32 without NaN; H and W multiples of the stride. On the
        CPU the batch should hold as many tiles as there are threads.
        Returns float32 arrays in [0, 1] at the output resolution s, without the margin m of ``margin_px``:
        ``semantic`` (B, n_classes, s * (H - 2m), s * (W - 2m)), summing to one over classes, and ``centre``,
        ``boundary``, ``distance`` with one channel.

        Raises ``ModelError`` for a wrong number of channels, a size off the stride or within the margins and
        for NaN in the output, ``ResourceError`` where the device's memory does not hold one tile.
        """
        self._check(input_bchw.shape)
        batch, _, height, width = input_bchw.shape
        scale, margin_px, n_classes = self.bundle.output_scale, self.margin_px, len(self.bundle.classes)
        inner = (scale * (height - 2 * margin_px), scale * (width - 2 * margin_px))
        outputs = np.empty((batch, n_classes + len(HEADS) - 1, *inner), np.float32)
        if self.workers is None:
            self._fill(input_bchw, outputs, slice(0, batch))
        else:
            tiles = [slice(number, number + 1) for number in range(batch)]
            for _ in self.workers.map(lambda tile: self._fill(input_bchw, outputs, tile), tiles):
                pass
        parts = np.split(outputs, range(n_classes, outputs.shape[1]), axis=1)
        return dict(zip(HEADS, parts, strict=True))

    def _fill(self, input_bchw: Floats, outputs: Floats, part: slice) -> None:
        tiles = input_bchw[part, self.channels]
        views = _MIRRORS[: self.bundle.views]
        total = outputs[part]
        total[:] = self.probabilities(tiles)
        for axes in views[1:]:
            total += np.flip(self.probabilities(np.ascontiguousarray(np.flip(tiles, axes))), axes)
        if len(views) > 1:
            total /= len(views)
        # Both: the minima and maxima of some runtimes turn NaN into a number on the way.
        if not np.isfinite(tiles.sum() + total.sum()):
            raise ModelError(
                f"Model {self.bundle.name} gives NaN for a tile.",
                remedy="Look for extreme values in the scene; if there are none, the weights are damaged.",
            )

    def _check(self, shape: tuple[int, ...]) -> None:
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
