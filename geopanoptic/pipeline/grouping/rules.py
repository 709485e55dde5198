"""The rules of the grouping, as a model bundle states them: by thresholds or learned."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from geopanoptic.errors import ModelError
from geopanoptic.models.bundle import Bundle
from geopanoptic.models.grouping import Grouping
from geopanoptic.models.manifest import channels_of
from geopanoptic.panoptic.fusion.greedy import GreedyChoice
from geopanoptic.panoptic.fusion.rules import DEEPLAB, FusionRule, fusion_named
from geopanoptic.panoptic.parcels.boosting import TreeEnsemble
from geopanoptic.panoptic.parcels.choice import ChoiceRules, JudgingRules, LearnedRules, RepairRules
from geopanoptic.panoptic.parcels.scoring import FEATURES
from geopanoptic.panoptic.quantisation import Quantiser


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupingRules:
    """Rules of the grouping; probabilities in 0..1, lengths and areas in output pixels."""

    centre: float
    """A centre's heat is at least this."""
    centre_radius_px: int
    """A centre is the maximum of the square of 2 r + 1 pixels around it."""
    field: float
    """Pixels whose thing probability is at least this can belong to a thing."""
    repair: ChoiceRules
    """How regions become parcels."""
    n_thing_classes: int
    n_stuff_classes: int
    open_ground: tuple[int, ...] = ()
    """Stuff classes that field in no parcel may be, by index; any where there are none."""
    fusion: FusionRule = DEEPLAB
    """How parcels and stuff become one map."""

    @property
    def centre_u16(self) -> int:
        """Least quantised heat of a centre."""
        return max(math.ceil(self.centre * 65535), 1)

    @property
    def field_u8(self) -> int:
        """Least quantised thing probability of a pixel of a thing."""
        return max(math.ceil(self.field * 255), 1)


def rules_of_bundle(bundle: Bundle, *, min_area_px: int, fusion: str = DEEPLAB.name) -> GroupingRules:
    """The bundle's learned grouping where it has one, else its thresholds; parcels fused by a named rule.

    Raises ``ModelError`` where the grouping was learned for other features than this version computes, and
    ``UsageError`` where there is no such rule.
    """
    rule = fusion_named(fusion)
    choice: JudgingRules = (
        RepairRules(
            merge_boundary=bundle.thresholds.merge_boundary,
            drop_field=bundle.thresholds.drop_field,
            min_area_px=min_area_px,
        )
        if bundle.grouping is None
        else learned_rules(bundle.grouping, min_area_px=min_area_px)
    )
    kinds = [each.kind for each in bundle.classes]
    stuff = [each for each in bundle.classes if each.kind == "stuff"]
    seeds = bundle.grouping or bundle.thresholds
    return GroupingRules(
        centre=seeds.centre,
        centre_radius_px=seeds.centre_radius_px,
        field=seeds.field,
        repair=fused_choice(choice, rule),
        n_thing_classes=kinds.count("thing"),
        n_stuff_classes=len(stuff),
        open_ground=tuple(index for index, each in enumerate(stuff) if each.open_ground),
        fusion=rule,
    )


def quantiser(bundle: Bundle) -> Quantiser:
    """The quantiser of a bundle's classes and relief."""
    return Quantiser(
        thing_channels=channels_of(bundle.classes, "thing"),
        stuff_channels=channels_of(bundle.classes, "stuff"),
        relief_boundary_weight=bundle.thresholds.relief_boundary_weight,
    )


def fused_choice(choice: JudgingRules, fusion: FusionRule) -> ChoiceRules:
    """``choice`` as it is, or its candidates by falling merit where the rule of fusion takes them so."""
    if fusion.least_visible is None:
        return choice
    return GreedyChoice(rules=choice, least_visible=fusion.least_visible)


def learned_rules(grouping: Grouping, *, min_area_px: int) -> LearnedRules:
    """The rules that ``grouping.json`` states; raises ``ModelError`` where they cannot be followed."""
    if grouping.features != FEATURES:
        raise ModelError(
            "The model's grouping was learned for other features than this version of geopanoptic computes.",
            remedy="Fit it again: python -m geopanoptic.training.grouping.",
        )
    stored = grouping.trees
    try:
        trees = TreeEnsemble(
            base=stored.base,
            root=np.array(stored.root, np.int64),
            feature=np.array(stored.feature, np.int64),
            threshold=np.array(stored.threshold, np.float64),
            left=np.array(stored.left, np.int64),
            right=np.array(stored.right, np.int64),
            value=np.array(stored.value, np.float64),
            n_features=len(FEATURES),
        )
    except ValueError as error:
        raise ModelError(
            f"The model's grouping is damaged: {error}.", remedy="Fetch the bundle again."
        ) from None
    return LearnedRules(
        trees=trees,
        price=grouping.price,
        slope=grouping.score_slope,
        offset=grouping.score_offset,
        min_area_px=min_area_px,
    )
