"""From the objects of a scene to regions: overlaps by score, then pixel by pixel as a rule of fusion says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geopanoptic.grid import Window
from geopanoptic.panoptic.fusion.logits import LOGIT_LIMIT, SIGMOID_UNIT, Logits, sigmoids
from geopanoptic.panoptic.fusion.overlaps import Cells, overlap_cells, take_visible_instances
from geopanoptic.panoptic.fusion.rules import INSTANCE, LEAST_VISIBLE, STUFF, UNKNOWN, FusionRule, Ground
from geopanoptic.panoptic.fusion.settling import LargestParts, without_stuff
from geopanoptic.panoptic.graph.pieces import BlockRegions, Evidence, describe_block
from geopanoptic.panoptic.graph.regions import join_blocks
from geopanoptic.panoptic.parcels.repair import PanopticRegions, repair
from geopanoptic.pipeline.detections.folder import DetectedClasses
from geopanoptic.pipeline.detections.matching import SceneObjects
from geopanoptic.pipeline.detections.tile import DetectedTiles
from geopanoptic.pipeline.execution import Executor
from geopanoptic.pipeline.grouping.segmentation import PaintLabels, labels_of_pieces, local_map
from geopanoptic.pipeline.progress import Progress
from geopanoptic.pipeline.store.run_store import RunStore

Detected = tuple[DetectedTiles, DetectedClasses, SceneObjects]


def settle(
    store: RunStore,
    detected: Detected,
    rule: FusionRule,
    *,
    min_area_px: int,
    executor: Executor,
    progress: Progress,
) -> PanopticRegions:
    """Fuse objects and semantics into regions, as ``segment`` does for a network of ours.

    Writes the layer ``label``, and of what a run has stored ``field`` (the mask's probability) and
    ``stuff_score``. Ground that no tile shows is nodata; where the tiles have no semantic logits, none of them
    says anything. Of two detectors' masks of one object the surer one counts at a pixel.
    """
    tiles, classes, objects = detected
    blocks = store.blocks()
    cells: Cells = Cells()
    with progress.stage("group", total=3 * store.shape[0] * store.shape[1], unit="px") as stage:
        counted = executor.map(CountOverlaps(tiles=tiles, objects=objects), blocks)
        for block, found in zip(blocks, counted, strict=True):
            cells.update(found)
            stage.advance(block.size_px)
        share = LEAST_VISIBLE if rule.least_visible is None else rule.least_visible
        task = DescribeObjects(
            store=store,
            tiles=tiles,
            classes=classes,
            objects=objects,
            kept=take_visible_instances(cells, len(objects.score), share),
            rule=rule,
        )
        described = []
        for block, regions in zip(blocks, executor.map(task, blocks), strict=True):
            described.append(regions)
            stage.advance(block.size_px)
        with local_map(executor) as each:
            graph, region_of_piece = join_blocks(described, by_contact=True, each=each)
            choice = LargestParts(score=objects.score, min_area_px=min_area_px)
            final = repair(graph, choice, each)
        final = without_stuff(final, len(classes.stuff))
        painting = labels_of_pieces(blocks, region_of_piece, final)
        paint = PaintLabels(store=store, pieces="settled")
        for block, _ in zip(blocks, executor.map(paint, painting), strict=True):
            stage.advance(block.size_px)
        store.drop("settled")
    return final


@dataclass(frozen=True, slots=True, kw_only=True)
class CountOverlaps:
    """Task: where the objects lie on top of each other in a block."""

    tiles: DetectedTiles
    objects: SceneObjects

    def __call__(self, block: Window) -> Cells:
        return overlap_cells(self.objects.claims(self.tiles, block), block)


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeObjects:
    """Task: settle the pixels of a block between the objects that are ``kept`` and stuff (layer ``settled``)."""

    store: RunStore
    tiles: DetectedTiles
    classes: DetectedClasses
    objects: SceneObjects
    kept: NDArray[np.bool_]
    rule: FusionRule

    def __call__(self, block: Window) -> BlockRegions:
        semantics = _semantics(self.tiles, self.classes, block)
        owner, own = self._owners(block, semantics)
        claimed = owner >= 0
        class_index = np.append(self.objects.class_index, 0)[owner]
        things = semantics.things
        own_semantic = np.take_along_axis(things, class_index[None], axis=0)[0]
        ground = Ground(
            claimed=claimed,
            mask=own,
            semantic=own_semantic,
            thing=things.max(axis=0),
            stuff=semantics.stuff.max(axis=0),
        )
        verdict = (
            np.where(claimed, INSTANCE, STUFF) if self.rule.verdict is None else self.rule.verdict(ground)
        )
        is_instance = (verdict == INSTANCE) & semantics.valid
        stuff = semantics.stuff.argmax(axis=0).astype(np.uint8)
        stuff[verdict == UNKNOWN] = len(self.classes.stuff)
        probability = (sigmoids(own) * 255 // SIGMOID_UNIT).astype(np.uint8)
        field = np.where(is_instance, probability, 0).astype(np.uint8)
        blank = np.zeros(block.shape, np.uint16)
        piece, regions = describe_block(
            np.where(is_instance, owner + 1, 0),
            semantics.valid,
            Evidence(
                field=field,
                boundary=blank.astype(np.uint8),
                relief=blank,
                heat=blank,
                thing=class_index.astype(np.uint8),
                thing_score=np.full(block.shape, 255, np.uint8),
                stuff=stuff,
            ),
            window=block,
            scene_width=self.store.shape[1],
            n_things=len(self.classes.things),
            n_stuff=len(self.classes.stuff) + 1,
        )
        self.store.write("settled", block, piece)
        self.store.write("field", block, field)
        self.store.write("stuff_score", block, np.where(semantics.valid, 255, 0).astype(np.uint8))
        return regions

    def _owners(self, block: Window, semantics: Semantics) -> tuple[NDArray[np.int64], Logits]:
        """The object with the strongest claim at each pixel, -1 without any, and its mask's logit."""
        owner = np.full(block.shape, -1, np.int64)
        own = np.full(block.shape, -LOGIT_LIMIT, np.int32)
        strongest = np.full(block.shape, np.iinfo(np.int64).min)
        for claim in self.objects.claims(self.tiles, block):
            if not self.kept[claim.instance]:
                continue
            part = claim.window.slices(block)
            of_class = semantics.things[self.objects.class_index[claim.instance]][part]
            strength = self.rule.strength(claim.mask, of_class)
            # Claims come by falling score: an equal one takes nothing.
            wins = (claim.mask > 0) & (strength > strongest[part])
            strongest[part][wins] = strength[wins]
            owner[part][wins] = claim.instance
            own[part][wins] = claim.mask[wins]
        return owner, own


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Semantics:
    """Logits of thing classes and of stuff classes (classes, h, w) over a block, and what any tile shows (h, w)."""

    things: Logits
    stuff: Logits
    valid: NDArray[np.bool_]


def _semantics(tiles: DetectedTiles, classes: DetectedClasses, block: Window) -> Semantics:
    """Every pixel is told by the tile in which it lies deepest, of equal ones the first.

    A class without a channel has logit 0, which is also what all have where a tile has no semantic logits.
    """
    every = (*classes.things, *classes.stuff)
    logits = np.zeros((len(every), *block.shape), np.int32)
    depth = np.zeros(block.shape, np.int64)
    for number in tiles.touching(block):
        tile = tiles.read(number)
        inside = tile.window.intersection(block)
        if inside is None:
            continue
        part = inside.slices(block)
        own_depth = _depth_px(tile.window, inside)
        deeper = own_depth > depth[part]
        depth[part][deeper] = own_depth[deeper]
        for place, each in enumerate(every):
            told = np.zeros(inside.shape, np.int32)
            if tile.semantic is not None and each.channel is not None:
                told = tile.semantic[each.channel][inside.slices(tile.window)]
            logits[(place, *part)][deeper] = told[deeper]
    n = len(classes.things)
    return Semantics(things=logits[:n], stuff=logits[n:], valid=tiles.shown(block))


def _depth_px(tile: Window, inside: Window) -> NDArray[np.int64]:
    """Pixels from the nearest side of the tile, 1 at its rim, over a window within it."""
    rows, cols = np.arange(inside.row0, inside.row1), np.arange(inside.col0, inside.col1)
    down = np.minimum(rows - tile.row0, tile.row1 - 1 - rows)
    across = np.minimum(cols - tile.col0, tile.col1 - 1 - cols)
    return np.minimum(down[:, None], across[None]) + 1
