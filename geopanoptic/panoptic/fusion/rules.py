"""What becomes of a pixel that an instance claims: five rules of the panoptic literature.

All of them start from instances with a score, and from semantic evidence at every pixel. Instances that
overlap are settled first, those of higher score before the others, then the pixels:

``deeplab``
    Instances keep all their pixels, their class is the majority's, stuff fills the rest. As Panoptic-DeepLab
    (Cheng et al. 2020), with this package's choice among candidates in place of its centre votes.
``panoptic-fpn``
    Instances of falling score take what is left of their pixels, and go where less than half is; stuff fills
    the rest (Kirillov et al. 2019).
``upsnet``
    The same choice; then per pixel the highest of the stuff logits, of the instance's semantic logit + mask
    logit, and of an unknown channel, the best thing logit less the instances' (Xiong et al. 2019).
``efficientps``
    The same choice; then per pixel the higher of the stuff logit and of
    (sigmoid(mask) + sigmoid(semantic)) * (mask + semantic) (Mohan and Valada 2021).
``lps``
    Semantics alone say what is a thing; every such pixel joins the best instance it has, however little of it
    is left, and is unknown without one (the merge of LPSNet, Hong et al. 2021, which has no masks).

An instance's logits count within its mask; in the papers they count zero outside. Unknown ground is empty
in the map.

PQ of parcels on labelled ground by ``fields-s``, validation images of the bundled models (``python -m
geopanoptic.evaluation --fusion deeplab panoptic-fpn upsnet efficientps lps``):

============  ====================  ================  ===============
rule          generated, 48 images  NAIP 10 m, 4      NAIP 5 m, 4
============  ====================  ================  ===============
deeplab       .493                  .587              .566
panoptic-fpn  .478                  .550              .604
upsnet        .478                  .550              .604
efficientps   .477                  .550              .604
lps           .455                  .483              .471
============  ====================  ================  ===============

The choice among candidates decides; the heads per pixel change little, as candidates already end where stuff is
more probable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geopanoptic.errors import UsageError
from geopanoptic.panoptic.fusion.logits import SIGMOID_UNIT, Logits, sigmoids
from geopanoptic.wording import did_you_mean

STUFF, INSTANCE, UNKNOWN = range(3)
"""Verdicts on a pixel."""

LEAST_VISIBLE = 0.5
"""Share of its pixels that an instance keeps after those of higher score, or it goes (Kirillov et al. 2019)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Evidence at pixels, arrays of one shape: of the instance that claims them, of things and of stuff."""

    claimed: NDArray[np.bool_]
    mask: Logits
    """Of the claiming instance's mask."""
    semantic: Logits
    """Of the claiming instance's class."""
    thing: Logits
    """Of the best thing class."""
    stuff: Logits
    """Of the best stuff class."""


Strength = Callable[[Logits, Logits], NDArray[np.int64]]
Verdict = Callable[[Ground], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionRule:
    """One rule by its name on the command line.

    ``least_visible``: share of its pixels an instance must keep after those of higher score; None: candidates
    are not taken by score, but those that together promise most. ``strength`` of a claim by mask and semantic
    logit: the strongest of several instances at a pixel has it, of equal ones that of higher score.
    ``verdict`` on pixels, None where a claimed pixel is always the instance's.
    """

    name: str
    least_visible: float | None
    strength: Strength
    verdict: Verdict | None


def by_mask(mask: Logits, semantic: Logits) -> NDArray[np.int64]:
    """The surer mask."""
    return mask.astype(np.int64)


def by_rank(mask: Logits, semantic: Logits) -> NDArray[np.int64]:
    """No difference: the higher score decides."""
    return np.zeros(mask.shape, np.int64)


def by_sum(mask: Logits, semantic: Logits) -> NDArray[np.int64]:
    """UPSNet's instance logit."""
    return mask.astype(np.int64) + semantic


def by_adaptive_fusion(mask: Logits, semantic: Logits) -> NDArray[np.int64]:
    """EfficientPS's fused logit, in units of a logit's over ``SIGMOID_UNIT``."""
    return (sigmoids(mask) + sigmoids(semantic)) * (mask.astype(np.int64) + semantic)


def with_unknown_channel(ground: Ground) -> NDArray[np.uint8]:
    """UPSNet's parameter-free head; of equal channels an instance goes before stuff, and that before unknown."""
    own = by_sum(ground.mask, ground.semantic)
    unknown = ground.thing - np.where(ground.claimed, ground.semantic, 0)
    is_instance = ground.claimed & (own >= ground.stuff) & (own >= unknown)
    return _verdicts(is_instance, unknown > ground.stuff)


def with_adaptive_fusion(ground: Ground) -> NDArray[np.uint8]:
    """EfficientPS's head; what no instance wins is stuff."""
    own = by_adaptive_fusion(ground.mask, ground.semantic)
    is_instance = ground.claimed & (own >= ground.stuff.astype(np.int64) * SIGMOID_UNIT)
    return _verdicts(is_instance, np.zeros(is_instance.shape, bool))


def by_semantics(ground: Ground) -> NDArray[np.uint8]:
    """Things are where a thing class is more probable than all stuff."""
    is_thing = ground.thing >= ground.stuff
    return _verdicts(is_thing & ground.claimed, is_thing)


def _verdicts(is_instance: NDArray[np.bool_], is_unknown: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.where(is_instance, INSTANCE, np.where(is_unknown, UNKNOWN, STUFF)).astype(np.uint8)


DEEPLAB = FusionRule(name="deeplab", least_visible=None, strength=by_mask, verdict=None)
FUSION_RULES = {
    rule.name: rule
    for rule in (
        DEEPLAB,
        FusionRule(name="panoptic-fpn", least_visible=LEAST_VISIBLE, strength=by_rank, verdict=None),
        FusionRule(name="upsnet", least_visible=LEAST_VISIBLE, strength=by_sum, verdict=with_unknown_channel),
        FusionRule(
            name="efficientps",
            least_visible=LEAST_VISIBLE,
            strength=by_adaptive_fusion,
            verdict=with_adaptive_fusion,
        ),
        FusionRule(name="lps", least_visible=0.0, strength=by_mask, verdict=by_semantics),
    )
}
"""By name; the first is the default."""


def fusion_named(name: str) -> FusionRule:
    """The rule of a name. Raises ``UsageError``, with the nearest name, where there is none."""
    if name in FUSION_RULES:
        return FUSION_RULES[name]
    remedy = did_you_mean(name, FUSION_RULES, f"There are {', '.join(FUSION_RULES)}.")
    raise UsageError(f"There is no fusion rule {name!r}.", remedy=remedy)
