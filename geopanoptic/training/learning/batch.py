"""What a network learns from at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from geopanoptic.training.learning.losses import TargetBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Samples of equal size.

    input_btchw
        float32 (B, T, 2 * n_bands, h, w), every date as ``PanopticUNet`` takes it. T is 1 for networks of single
        images. A sample of fewer dates is filled up with dates without a flag.
    day_bt
        float32 (B, T): day of the year, NaN where unknown.
    clear_btchw
        The input before colours, bands, sharpness and noise were changed; None where nobody asked for it.
    """

    input_btchw: Tensor
    day_bt: Tensor
    targets: TargetBatch
    clear_btchw: Tensor | None = None

    def __len__(self) -> int:
        return len(self.day_bt)

    def chunk(self, n_parts: int) -> list[Batch]:
        """The batch cut into at most ``n_parts``, as ``Tensor.chunk`` cuts its first axis."""
        parts = (self.input_btchw.chunk(n_parts), self.day_bt.chunk(n_parts), self.targets.chunk(n_parts))
        clear = [None] * len(parts[0]) if self.clear_btchw is None else self.clear_btchw.chunk(n_parts)
        return [
            Batch(input_btchw=images, day_bt=days, targets=targets, clear_btchw=plain)
            for images, days, targets, plain in zip(*parts, clear, strict=True)
        ]

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return Batch(
            input_btchw=self.input_btchw.to(device, non_blocking=True),
            day_bt=self.day_bt.to(device, non_blocking=True),
            targets=self.targets.to(device),
            clear_btchw=None if self.clear_btchw is None else self.clear_btchw.to(device, non_blocking=True),
        )
