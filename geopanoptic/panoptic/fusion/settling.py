"""From pixels that a rule has settled back to regions: one connected parcel per instance, crumbs absorbed.

A rule decides pixel by pixel, so an instance may fall apart and leave single pixels anywhere. Here every
instance keeps its largest part, and the ground of the others becomes the stuff that it looks like.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from geopanoptic.panoptic.fusion.greedy import largest_parts
from geopanoptic.panoptic.fusion.logits import logits_of_u8, product_u8
from geopanoptic.panoptic.fusion.rules import Ground
from geopanoptic.panoptic.graph.merging import MergeTree
from geopanoptic.panoptic.graph.pieces import Evidence
from geopanoptic.panoptic.parcels.choice import Parcels
from geopanoptic.panoptic.parcels.repair import PanopticRegions
from geopanoptic.panoptic.parts import Map


@dataclass(frozen=True, slots=True, kw_only=True)
class LargestParts:
    """A choice that is made already: the regions' labels are instances, ``score`` (instances,) by label - 1."""

    score: NDArray[np.float64]
    min_area_px: int

    def choose(self, tree: MergeTree, each: Map = map) -> Parcels:
        graph = tree.graph
        of_thing = graph.label > 0
        is_whole = largest_parts(np.where(of_thing, graph.label, -1), graph.contacts, graph.area_px)
        # Nodes of the tree beyond its regions are never named.
        score = np.zeros(tree.n_nodes)
        score[np.flatnonzero(of_thing)] = self.score[graph.label[of_thing] - 1]
        return Parcels(
            node=np.where(is_whole, np.arange(tree.n_leaves), -1),
            is_thing=np.ones(tree.n_nodes, bool),
            score=score,
        )


def network_ground(
    claimed: NDArray[np.bool_],
    own_class: NDArray[np.integer],
    evidence: Evidence,
    stuff_score: NDArray[np.uint8],
    n_things: int,
) -> Ground:
    """What our network says of pixels (h, w), of which instances claim some.

    It has no mask head: the mask's logit is that of 1 - boundary / 2, as a pixel within the region is the
    instance's for sure far from a boundary, and as likely the neighbour's on one. ``own_class`` (h, w) is the
    claiming instance's, an index into the thing classes. Of classes other than the best the share is what that
    leaves, divided equally.
    """
    rest = (255 - evidence.thing_score) // max(n_things - 1, 1)
    share = np.where(evidence.thing == own_class, evidence.thing_score, rest)
    return Ground(
        claimed=claimed,
        mask=logits_of_u8(255 - evidence.boundary // 2),
        semantic=logits_of_u8(product_u8(evidence.field, share)),
        thing=logits_of_u8(product_u8(evidence.field, evidence.thing_score)),
        stuff=logits_of_u8(product_u8(255 - evidence.field, stuff_score)),
    )


def without_stuff(final: PanopticRegions, class_index: int) -> PanopticRegions:
    """The regions without the stuff of one class, whose ground gets label 0."""
    is_thing = np.arange(final.n_regions) < final.n_things
    kept = is_thing | (final.class_index != class_index)
    label = np.concatenate([np.zeros(1, np.int64), np.where(kept, np.cumsum(kept), 0)])
    return replace(
        final,
        final_label=label[final.final_label].astype(np.int32),
        class_index=final.class_index[kept],
        area_px=final.area_px[kept],
        score=final.score[kept],
        class_score=final.class_score[kept],
    )
