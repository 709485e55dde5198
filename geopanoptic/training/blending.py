"""Weights on the way from a model's to those that it was fine-tuned to.

Part of the way often maps the new ground better than either end, and the old ground hardly worse (Wortsman et
al., Robust fine-tuning of zero-shot models, CVPR 2022): a few fields pull all outputs along, and what was fitted
to the old outputs, the grouping above all, fits the new ones less the further they went.
"""

from __future__ import annotations

from pathlib import Path

import torch

from geopanoptic.models.bundle import Bundle
from geopanoptic.training.checkpoint import save_averaged
from geopanoptic.training.start import averaged_weights


def blended(base: Bundle, checkpoint: Path, share: float, out: Path) -> Path:
    """Write to ``out`` the weights of ``base`` moved by ``share`` (0..1) towards the averaged ones of ``checkpoint``.

    Both hold the same network. Raises ``ModelError`` for a checkpoint that cannot be read.
    """
    start = base.network().state_dict()
    moved = {
        name: torch.lerp(start[name], value, share) if share and value.is_floating_point() else start[name]
        for name, value in averaged_weights(checkpoint).items()
    }
    save_averaged(out, moved)
    return out
