"""Which nodes of the merge tree become parcels: by two thresholds, or by learned judgement.

The learned way maximises expected panoptic quality. PQ is the summed IoU of the matches over the mean of the
numbers of predicted and true parcels, so a parcel pays as long as its expected IoU (0 without a match)
exceeds a *price*, half the PQ that is reached in the end (``pricing``). Over a tree the set of disjoint nodes with the
greatest sum of (expected IoU - price) is found exactly, children before parents. Field that is in none of them runs on
into those beside it (``leftovers``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geopanoptic.panoptic.graph.contacts import Int64
from geopanoptic.panoptic.graph.merging import MergeTree
from geopanoptic.panoptic.graph.pieces import FIELD
from geopanoptic.panoptic.parcels.boosting import Float64, TreeEnsemble
from geopanoptic.panoptic.parcels.disjoint import best_disjoint, node_of_regions
from geopanoptic.panoptic.parcels.leftovers import with_leftovers
from geopanoptic.panoptic.parcels.pricing import local_prices
from geopanoptic.panoptic.parcels.scoring import judge, measure_nodes
from geopanoptic.panoptic.parts import Map


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcels:
    """Disjoint nodes of a tree. ``node`` (n,) of each region, -1 for a region on its own that is no thing.

    ``is_thing`` and ``score`` (nodes,) say of the nodes named there whether they are parcels, and how sure.
    """

    node: Int64
    is_thing: NDArray[np.bool_]
    score: Float64


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Judgement of all nodes of a tree, arrays (nodes,): which may be parcels, and whether they then are things;
    the ``merit`` by which they compete, where they may be; and how sure they are, 0 to 1."""

    may_be: NDArray[np.bool_]
    is_thing: NDArray[np.bool_]
    merit: Float64
    score: Float64


class ChoiceRules(Protocol):
    """A way to choose parcels; none below ``min_area_px`` output pixels is worth choosing.

    ``each`` computes what is independent.
    """

    @property
    def min_area_px(self) -> int: ...

    def choose(self, tree: MergeTree, each: Map = map) -> Parcels: ...


class JudgingRules(ChoiceRules, Protocol):
    """A way to choose parcels that judges every node on its own first."""

    def candidates(self, tree: MergeTree, each: Map = map) -> Candidates: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairRules:
    """Choice by thresholds; probabilities in 0..1, areas in output pixels."""

    merge_boundary: float
    """Things merge while the mean boundary probability along their contact is below this."""
    drop_field: float
    """A thing whose mean thing probability is below this becomes stuff."""
    min_area_px: int
    """A region smaller than this joins the neighbour with the longest contact."""

    def candidates(self, tree: MergeTree, each: Map = map) -> Candidates:
        """Merit and score are the geometric mean of the mean thing probability inside and the mean boundary
        along the rim (inside alone where there is no neighbour)."""
        measures = measure_nodes(tree, each)
        weak = tree.strength < self.merge_boundary
        weak[: tree.n_leaves] = tree.graph.label > 0
        along = np.where(np.isnan(measures.rim_boundary), measures.field, measures.rim_boundary)
        score = np.sqrt(measures.field * along)
        return Candidates(
            may_be=weak,
            is_thing=measures.pixels[:, FIELD] >= self.drop_field * 255 * measures.area_px,
            merit=score,
            score=score,
        )

    def choose(self, tree: MergeTree, each: Map = map) -> Parcels:
        judged = self.candidates(tree, each)
        parent, weak = tree.parent, judged.may_be
        # Strengths never fall towards the root: a node is the last weak one where its parent is none.
        last = weak & ~np.where(parent >= 0, weak[parent], False)
        return Parcels(
            node=node_of_regions(tree.n_leaves, tree.children, last),
            is_thing=judged.is_thing,
            score=judged.score,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedRules:
    """Choice by the expected IoU that trees fitted on labelled scenes ascribe to every node."""

    trees: TreeEnsemble
    """Expected IoU with a true parcel, 0 where none is met with IoU above 0.5, from ``scoring.FEATURES``."""
    price: float
    """Least expected IoU of a parcel, but where all those nearby are doubtful (``pricing``)."""
    slope: float
    offset: float
    """The score, the probability that the parcel matches a true one, is the logistic function of
    ``slope * expected IoU + offset``."""
    min_area_px: int
    """A region smaller than this joins the neighbour with the longest contact."""

    def candidates(self, tree: MergeTree, each: Map = map) -> Candidates:
        """Merit is what the expected IoU has above the price; it is positive where a node may be a parcel."""
        measures = measure_nodes(tree, each)
        may_be = measures.area_px >= self.min_area_px
        may_be[: tree.n_leaves] &= tree.graph.label > 0
        candidates = np.flatnonzero(may_be)
        expected_iou = np.full(tree.n_nodes, -np.inf)
        expected_iou[candidates] = judge(measures, self.trees, candidates, each)
        area_px = measures.area_px.copy()
        # Nothing else of a run's later steps is as large.
        del measures
        merit = expected_iou - local_prices(tree, area_px, expected_iou, self.price)
        score = np.zeros(tree.n_nodes)
        score[candidates] = 1 / (1 + np.exp(-(self.slope * expected_iou[candidates] + self.offset)))
        return Candidates(may_be=merit > 0, is_thing=np.ones(tree.n_nodes, bool), merit=merit, score=score)

    def choose(self, tree: MergeTree, each: Map = map) -> Parcels:
        judged = self.candidates(tree, each)
        chosen = best_disjoint(tree.n_leaves, tree.children, judged.merit)
        return Parcels(
            node=with_leftovers(tree.graph, node_of_regions(tree.n_leaves, tree.children, chosen)),
            is_thing=judged.is_thing,
            score=judged.score,
        )
