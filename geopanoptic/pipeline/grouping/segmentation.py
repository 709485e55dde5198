"""Stages B to E: from quantised layers in the run store to labelled regions.

Only integers from here on; every stage runs over blocks in any order and meets its neighbours either in
the run store (a margin of pixels) or in a global step over small summaries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopanoptic.grid import Window
from geopanoptic.models.runtimes.loading import gpu_or_cpu
from geopanoptic.panoptic.graph.pieces import BlockRegions, describe_block
from geopanoptic.panoptic.graph.regions import join_blocks
from geopanoptic.panoptic.parcels.repair import PanopticRegions, repair
from geopanoptic.panoptic.parts import Map
from geopanoptic.panoptic.quantisation import NODATA_CLASS
from geopanoptic.panoptic.watershed.centres import find_centres
from geopanoptic.panoptic.watershed.forest import BlockSummary, forest_block
from geopanoptic.panoptic.watershed.lookup import looked_up
from geopanoptic.panoptic.watershed.stitching import stitch
from geopanoptic.pipeline.execution import Executor
from geopanoptic.pipeline.execution.crew import local_workers
from geopanoptic.pipeline.execution.executor import Item, Value
from geopanoptic.pipeline.execution.few import FewAtATime
from geopanoptic.pipeline.grouping.fusing import DescribeSettled, read_evidence, settled_regions
from geopanoptic.pipeline.grouping.rules import GroupingRules
from geopanoptic.pipeline.memory import return_freed_memory, return_large_arrays
from geopanoptic.pipeline.progress import Progress
from geopanoptic.pipeline.store.run_store import RunStore


def segment(
    store: RunStore,
    rules: GroupingRules,
    *,
    executor: Executor,
    progress: Progress,
    at_a_time: int | None = None,
    device: str = "cpu",
) -> PanopticRegions:
    """Group the stored layers into regions and write the layer ``label`` (int32, 0 = nodata).

    Every label is one 4-connected region; labels 1..n_things are things, the rest pieces of stuff. ``at_a_time``: how
    many blocks each process has in memory, by default one for every thread. Where processes have the GPU that ``device``
    asks for, it finds the centres.
    """
    return_large_arrays()
    blocks = store.blocks()
    scene_px = store.shape[0] * store.shape[1]
    verdict = rules.fusion.verdict
    passes = 2 if verdict is None else 3
    with progress.stage("group", total=passes * scene_px, unit="px") as stage:

        def over_blocks(task: Callable[[Item], Value], items: Sequence[Item]) -> list[Value]:
            values = []
            if at_a_time is not None:
                task = FewAtATime(task=task, at_a_time=at_a_time)
            for block, value in zip(blocks, executor.map(task, items), strict=True):
                values.append(value)
                stage.advance(block.size_px)
            return values

        summaries, in_zones = zip(
            *over_blocks(DescribeBlock(store=store, rules=rules, device=device), blocks), strict=True
        )
        labels = stitch(summaries)
        described = [regions.labelled(np.append(0, labels[regions.window])) for regions in in_zones]
        del summaries, in_zones, labels
        with local_map(executor) as each:
            graph, region_of_piece = join_blocks(described, each=each)
            described.clear()
            final = repair(graph, rules.repair, each, open_ground=rules.open_ground)
        del graph
        pieces = "piece"
        if verdict is not None:
            claims = [
                (block, labels, _classes_of(labels, final))
                for block, labels in labels_of_pieces(blocks, region_of_piece, final)
            ]
            described = over_blocks(DescribeSettled(store=store, rules=rules, verdict=verdict), claims)
            with local_map(executor) as each:
                final, region_of_piece = settled_regions(described, final, rules, each)
            store.drop(pieces)
            pieces = "settled"
        return_freed_memory()
        over_blocks(PaintLabels(store=store, pieces=pieces), labels_of_pieces(blocks, region_of_piece, final))
        store.drop(pieces)
    return final


@contextmanager
def local_map(executor: Executor) -> Iterator[Map]:
    """For steps over the whole scene, which threads of this process take while workers, here or elsewhere, wait.

    After every step what it freed is given back: its parts are small, and a C library keeps small things.
    """
    with ThreadPoolExecutor(local_workers(executor), thread_name_prefix="geopanoptic") as threads:

        def each(work: Callable[..., Value], *items: Iterable[Any]) -> Iterator[Value]:
            yield from threads.map(work, *items)
            return_freed_memory()

        yield each


def labels_of_pieces(
    blocks: Sequence[Window], region_of_piece: Sequence[NDArray[np.int32]], final: PanopticRegions
) -> list[tuple[Window, NDArray[np.int32]]]:
    """Every block with the final label of each of its pieces."""
    of_region = np.concatenate([final.final_label, np.zeros(1, np.int32)])  # region -1 is nodata
    return [(block, of_region[regions]) for block, regions in zip(blocks, region_of_piece, strict=True)]


def _classes_of(labels: NDArray[np.int32], final: PanopticRegions) -> NDArray[np.uint8]:
    """Thing class of every label; ``NODATA_CLASS`` for those that are no things."""
    of_label = np.full(final.n_regions + 1, NODATA_CLASS, np.uint8)
    of_label[1 : final.n_things + 1] = final.class_index[: final.n_things]
    return of_label[labels]


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeBlock:
    """Task: cut a block into zones and stuff (layer ``piece``), and say what the rest of the scene must know.

    The labels of the pieces in zones are 1 + the position of their terminal, until `stitch` has labelled those.
    """

    store: RunStore
    rules: GroupingRules
    device: str = "cpu"

    def __call__(self, block: Window) -> tuple[BlockSummary, BlockRegions]:
        store, rules = self.store, self.rules
        margin = block.grown(rules.centre_radius_px)
        domain = store.read("field", margin) >= rules.field_u8
        seeds = find_centres(
            store.read("heat", margin),
            domain,
            core=block,
            window=margin,
            scene_width=store.shape[1],
            radius_px=rules.centre_radius_px,
            threshold_u16=rules.centre_u16,
            device=gpu_or_cpu(self.device),
        )
        stuff = store.read("stuff", block)
        evidence = read_evidence(store, block, stuff=stuff)
        forest = forest_block(evidence.relief, domain[block.slices(margin)], seeds, block, store.shape)
        piece, regions = describe_block(
            forest.zones,
            stuff != NODATA_CLASS,
            evidence,
            window=block,
            scene_width=store.shape[1],
            n_things=rules.n_thing_classes,
            n_stuff=rules.n_stuff_classes,
            n_certain=forest.n_seeded,
        )
        store.write("piece", block, piece)
        return forest.summary, regions.labelled(forest.terminal + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaintLabels:
    """Task: the layer ``label`` of a block from its pieces and the final label of each."""

    store: RunStore
    pieces: str
    """The layer of the pieces."""

    def __call__(self, painted: tuple[Window, NDArray[np.int32]]) -> None:
        block, label_of_piece = painted
        self.store.write("label", block, looked_up(label_of_piece, self.store.read(self.pieces, block)))
