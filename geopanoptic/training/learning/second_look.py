"""Another look at a batch, for a network to agree with: as in test-time augmentation, the mean of many looks is nearer
to the truth than any of them, and a network that is drawn to a random one is drawn to their mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from geopanoptic.models.networks.two_scales import FINER_SHARE
from geopanoptic.training.config import SECOND_LOOK_SCALE
from geopanoptic.training.learning.batch import Batch
from geopanoptic.training.patches.augmentation import WHOLLY_SEEN
from geopanoptic.training.patches.patch import OUTPUT_SCALE


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondLook:
    """The same ground, turned, mirrored, in other pixels."""

    quarter_turns: int = 0
    mirrored: bool = False
    scale: Fraction = Fraction(1)

    @classmethod
    def at_random(cls, rng: np.random.Generator) -> SecondLook:
        """One of eight ways to lay it; half as large again as often as that counts where networks look at two scales."""
        return cls(
            quarter_turns=int(rng.integers(4)),
            mirrored=bool(rng.random() < 0.5),
            scale=SECOND_LOOK_SCALE if rng.random() < FINER_SHARE else Fraction(1),
        )

    def at(self, batch: Batch) -> Batch:
        """What the look shows of a batch, clear where the batch knows it so. Its targets are not turned."""
        input_btchw = batch.input_btchw if batch.clear_btchw is None else batch.clear_btchw
        laid = torch.rot90(input_btchw, self.quarter_turns, (-2, -1))
        laid = laid.flip(-1) if self.mirrored else laid
        bands, flags = _resized(laid.flatten(0, 1), self.scale).unflatten(0, laid.shape[:2]).chunk(2, dim=2)
        # A pixel is seen where everything it is made of was; networks learn from whole flags only.
        seen = (flags > WHOLLY_SEEN).float()
        return Batch(
            input_btchw=torch.cat([bands * seen, seen], dim=2), day_bt=batch.day_bt, targets=batch.targets
        )

    def brought_back(self, probabilities: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Probabilities (B, ., s * H, s * W) of what it shows, on the pixels of the batch."""
        back = {}
        for name, values in probabilities.items():
            resized = _resized(values, 1 / self.scale).clamp(0, 1)  # rounding could lead out of probabilities
            straight = resized.flip(-1) if self.mirrored else resized
            back[name] = torch.rot90(straight, -self.quarter_turns, (-2, -1))
        return back


def seen_bhw(batch: Batch) -> Tensor:
    """1 on output pixels of which any date shows any band, 0 elsewhere: float32 (B, s * H, s * W)."""
    flags_bhw = batch.input_btchw[:, :, batch.input_btchw.shape[2] // 2 :].amax(dim=(1, 2))
    return flags_bhw.repeat_interleave(OUTPUT_SCALE, 1).repeat_interleave(OUTPUT_SCALE, 2)


def _resized(values_bchw: Tensor, scale: Fraction) -> Tensor:
    if scale == 1:
        return values_bchw
    shape = [int(length * scale) for length in values_bchw.shape[2:]]
    # The weights of networks that look at two scales: linear, and a triangle over the coarser pixel.
    return functional.interpolate(values_bchw, shape, mode="bilinear", antialias=scale < 1)
