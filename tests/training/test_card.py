"""What the card of a trained model says of its accuracy."""

from __future__ import annotations

import numpy as np
from tiny_training import tiny_config

from geopanoptic.evaluation.metrics.panoptic_quality import PanopticQuality
from geopanoptic.training.card import write_card
from geopanoptic.training.held_out import HeldOutFigures


def card(before: HeldOutFigures | None, after: HeldOutFigures | None) -> str:
    config = tiny_config([{"kind": "generated"}])
    return write_card(config, title="A title", origin=None, sources=[], before=before, after=after, notes=[])


def test_figures_are_told_before_and_after_or_of_weights_that_stayed() -> None:
    before, after = (
        HeldOutFigures(best_iou=np.array([iou]), quality=PanopticQuality(1, 0, 0, iou)) for iou in (0.6, 0.7)
    )
    assert "| mean best IoU | 0.600 | 0.700 |" in card(before, after)
    assert "| mean best IoU | - | 0.700 |" in card(None, after)
    assert "| mean best IoU | 0.600 |\n" in card(before, before)
    assert "Not measured" in card(None, None)
