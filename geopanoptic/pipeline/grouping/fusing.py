"""Stage E where a rule of fusion decides pixel by pixel: from parcels to what is left of them.

The pixels of a block are settled by what its layers say of them and nothing else. What is left is described
like any other block, so parts of a parcel find each other over block faces and crumbs join their neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from geopanoptic.grid import Window
from geopanoptic.panoptic.fusion.rules import INSTANCE, UNKNOWN, Verdict
from geopanoptic.panoptic.fusion.settling import LargestParts, network_ground, without_stuff
from geopanoptic.panoptic.graph.pieces import BlockRegions, Evidence, describe_block
from geopanoptic.panoptic.graph.regions import join_blocks
from geopanoptic.panoptic.parcels.repair import PanopticRegions, repair
from geopanoptic.panoptic.parts import Map
from geopanoptic.panoptic.quantisation import NODATA_CLASS
from geopanoptic.pipeline.grouping.rules import GroupingRules
from geopanoptic.pipeline.store.run_store import RunStore

_ROWS_AT_ONCE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeSettled:
    """Task: settle the pixels of a block, and describe the pieces that result (layer ``settled``).

    Takes the block, and of each of its pieces the parcel's label and thing class (``NODATA_CLASS``: none).
    """

    store: RunStore
    rules: GroupingRules
    verdict: Verdict

    def __call__(self, claims: tuple[Window, NDArray[np.int32], NDArray[np.uint8]]) -> BlockRegions:
        store, rules = self.store, self.rules
        block, label_of_piece, class_of_piece = claims
        piece = store.read("piece", block)
        own_class, valid = class_of_piece[piece], piece > 0
        stuff = np.where(valid, store.read("stuff", block), 0).astype(np.uint8)
        evidence = read_evidence(store, block, stuff=stuff)
        verdict = self._verdicts(own_class, evidence, store.read("stuff_score", block))
        # Unknown is one more class of stuff until crumbs have joined their neighbours.
        stuff[valid & (verdict == UNKNOWN)] = rules.n_stuff_classes
        settled, regions = describe_block(
            np.where(verdict == INSTANCE, label_of_piece[piece], 0).astype(np.int64),
            valid,
            evidence,
            window=block,
            scene_width=store.shape[1],
            n_things=rules.n_thing_classes,
            n_stuff=rules.n_stuff_classes + 1,
        )
        store.write("settled", block, settled)
        return regions

    def _verdicts(
        self, own_class: NDArray[np.uint8], evidence: Evidence, stuff_score: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """Row by row, some at a time: logits take many times the memory of what they are made of."""
        verdict = np.empty(own_class.shape, np.uint8)
        for first in range(0, len(verdict), _ROWS_AT_ONCE):
            rows = slice(first, first + _ROWS_AT_ONCE)
            verdict[rows] = self.verdict(
                network_ground(
                    own_class[rows] != NODATA_CLASS,
                    own_class[rows],
                    Evidence(**{each.name: getattr(evidence, each.name)[rows] for each in fields(Evidence)}),
                    stuff_score[rows],
                    self.rules.n_thing_classes,
                )
            )
        return verdict


def settled_regions(
    blocks: Sequence[BlockRegions], parcels: PanopticRegions, rules: GroupingRules, each: Map = map
) -> tuple[PanopticRegions, list[NDArray[np.int32]]]:
    """The final regions of settled blocks, without those nobody knows, and the region of every piece."""
    graph, region_of_piece = join_blocks(blocks, by_contact=True, each=each)
    choice = LargestParts(score=parcels.score[: parcels.n_things], min_area_px=rules.repair.min_area_px)
    return without_stuff(repair(graph, choice, each), rules.n_stuff_classes), region_of_piece


def read_evidence(store: RunStore, block: Window, *, stuff: NDArray[np.uint8]) -> Evidence:
    """What the layers of a block say, with that ``stuff`` (h, w)."""
    return Evidence(
        field=store.read("field", block),
        boundary=store.read("boundary", block),
        relief=store.read("relief", block),
        heat=store.read("heat", block),
        thing=store.read("thing", block),
        thing_score=store.read("thing_score", block),
        stuff=stuff,
    )
