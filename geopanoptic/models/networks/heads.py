"""Names of what a network is given and of what it says."""

from __future__ import annotations

HEADS = ("semantic", "centre", "boundary", "distance")
"""Outputs of every panoptic network, all logits."""

INPUT, DAY = "input_bchw", "day_bchw"
OUTPUTS = ("classes_bchw", "others_bchw")
"""Of compact networks as graphs: probabilities of the classes and of the other heads."""
JOINED = "probabilities_bchw"
"""Both in one, in exported graphs."""
