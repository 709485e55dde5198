"""Which detections of overlapping tiles are the same object.

Two of different tiles are where they agree on the ground that both tiles show: the IoU of their masks there is
above one half, and neither agrees better with another. A chain of such agreements is one object, so it may
cross any number of tiles, and be larger than what they share. Every pair of tiles is compared on its own, so the
objects do not depend on the order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geopanoptic.errors import UsageError
from geopanoptic.grid import Window
from geopanoptic.panoptic.fusion.logits import Logits
from geopanoptic.panoptic.fusion.overlaps import Claim
from geopanoptic.panoptic.graph.regions import components
from geopanoptic.pipeline.detections.folder import DetectedClasses, DetectionFolder
from geopanoptic.pipeline.detections.tile import DetectedTile, DetectedTiles, Detection
from geopanoptic.pipeline.execution import Executor

_SAME = 0.5

Places = NDArray[np.int64]
"""(n, 2) pairs of detections, by their places in two tiles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileSummary:
    """Score and thing class (index, -1: takes no part) of each detection of a tile.

    ``unnamed`` counts by label those that take no part because no thing class has it.
    """

    score: NDArray[np.float64]
    class_index: NDArray[np.int64]
    unnamed: Counter[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneObjects:
    """Objects 0..n-1 of the scene by falling score, and for every tile the object of each detection (or -1).

    ``unnamed`` as of ``TileSummary``, of all tiles.
    """

    score: NDArray[np.float64]
    class_index: NDArray[np.int64]
    of_tile: tuple[NDArray[np.int64], ...]
    unnamed: Counter[int]

    def claims(self, tiles: DetectedTiles, block: Window) -> Iterator[Claim]:
        """What the objects claim of a block, by ascending object; where its detections differ, the surer one."""
        parts: dict[int, list[tuple[Window, Logits]]] = {}
        for tile in tiles.touching(block):
            for detection, number in zip(
                tiles.read(tile).detections, self.of_tile[tile].tolist(), strict=True
            ):
                inside = detection.window.intersection(block)
                logits = detection.over(block)
                if number >= 0 and inside is not None and logits is not None:
                    parts.setdefault(number, []).append((inside, logits))
        for number in sorted(parts):
            yield _united(number, parts[number])


@dataclass(frozen=True, slots=True, kw_only=True)
class SummariseTile:
    """Task: scores and classes of a tile's detections; those below ``min_score`` take no part."""

    tiles: DetectionFolder
    classes: DetectedClasses
    min_score: float

    def __call__(self, tile: int) -> TileSummary:
        told = self.tiles.read(tile)
        channels = [each.channel for each in (*self.classes.things, *self.classes.stuff)]
        highest = max((each for each in channels if each is not None), default=-1)
        if told.semantic is not None and highest >= len(told.semantic):
            raise UsageError(
                f"{self.tiles.paths[tile].name} has {len(told.semantic)} semantic channels; a class has channel "
                f"{highest}.",
                remedy="Count channels from 0 in tiles.json.",
            )
        return summary_of(told, self.classes, min_score=self.min_score)


def summary_of(tile: DetectedTile, classes: DetectedClasses, *, min_score: float) -> TileSummary:
    """Scores and classes of a tile's detections; those below ``min_score`` take no part."""
    index = {each.label: number for number, each in enumerate(classes.things)}
    return TileSummary(
        score=np.array([each.score for each in tile.detections], np.float64),
        class_index=np.array(
            [index.get(each.label, -1) if each.score >= min_score else -1 for each in tile.detections],
            np.int64,
        ),
        unnamed=Counter(
            each.label for each in tile.detections if each.score >= min_score and each.label not in index
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchTiles:
    """Task: the detections of two tiles that agree on their common ground."""

    tiles: DetectionFolder

    def __call__(self, pair: tuple[int, int]) -> Places:
        first, second = (self.tiles.read(number) for number in pair)
        common = first.window.intersection(second.window)
        if common is None:
            return np.zeros((0, 2), np.int64)
        iou = np.zeros((len(first.detections), len(second.detections)))
        there = [_inside(each, common) for each in second.detections]
        for a, detection in enumerate(first.detections):
            here = _inside(detection, common)
            if here is None:
                continue
            for b, other in enumerate(there):
                if other is not None and detection.label == second.detections[b].label:
                    iou[a, b] = _iou(here, other)
        return _mutual_best(iou)


def find_objects(
    tiles: DetectionFolder, classes: DetectedClasses, *, min_score: float, executor: Executor
) -> SceneObjects:
    """The objects of a scene; an object's score and class are those of its best detection.

    Detections below ``min_score``, and of labels that are no class, are left out.
    """
    n_tiles = len(tiles)
    summaries = list(
        executor.map(SummariseTile(tiles=tiles, classes=classes, min_score=min_score), range(n_tiles))
    )
    pairs = [
        (tile, other)
        for tile in range(n_tiles)
        for other in tiles.touching(tiles.windows[tile])
        if other > tile
    ]
    return rank_objects(summaries, zip(pairs, executor.map(MatchTiles(tiles=tiles), pairs), strict=True))


def rank_objects(
    summaries: Sequence[TileSummary], same: Iterable[tuple[tuple[int, int], Places]] = ()
) -> SceneObjects:
    """The objects of tiles, given which detections of pairs of tiles are the same; without, each is its own."""
    offsets = np.concatenate([[0], np.cumsum([len(each.score) for each in summaries])]).astype(np.int64)
    score = np.concatenate([each.score for each in summaries])
    class_index = np.concatenate([each.class_index for each in summaries])
    first, second = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for (tile, other), places in same:
        first.append(places[:, 0] + offsets[tile])
        second.append(places[:, 1] + offsets[other])
    a, b = np.concatenate(first), np.concatenate(second)
    taking_part = (class_index[a] >= 0) & (class_index[b] >= 0)
    group = components(len(score), a[taking_part], b[taking_part])

    kept = np.flatnonzero(class_index >= 0)
    # By falling score, then by place: the first of a group stands for it.
    kept = kept[np.lexsort((kept, -score[kept]))]
    _, place = np.unique(group[kept], return_index=True)
    best = kept[np.sort(place)]
    number = np.full(len(score), -1, np.int64)
    number[group[best]] = np.arange(len(best))
    of_detection = np.where(class_index >= 0, number[group], -1)
    return SceneObjects(
        score=score[best],
        class_index=class_index[best],
        of_tile=tuple(of_detection[start:stop] for start, stop in zip(offsets, offsets[1:], strict=False)),
        unnamed=sum((each.unnamed for each in summaries), Counter()),
    )


def _inside(detection: Detection, common: Window) -> tuple[Window, NDArray[np.bool_]] | None:
    window, logits = detection.window.intersection(common), detection.over(common)
    if window is None or logits is None or not (logits > 0).any():
        return None
    return window, logits > 0


def _iou(here: tuple[Window, NDArray[np.bool_]], there: tuple[Window, NDArray[np.bool_]]) -> float:
    both = here[0].intersection(there[0])
    if both is None:
        return 0.0
    common_px = int((here[1][both.slices(here[0])] & there[1][both.slices(there[0])]).sum())
    return common_px / (int(here[1].sum()) + int(there[1].sum()) - common_px)


def _mutual_best(iou: NDArray[np.float64]) -> Places:
    """Pairs (row, column) that are each other's best and above one half; of equal ones the first counts."""
    if not iou.size:
        return np.zeros((0, 2), np.int64)
    rows = np.arange(len(iou))
    best = iou.argmax(axis=1)
    mutual = (iou.argmax(axis=0)[best] == rows) & (iou[rows, best] > _SAME)
    return np.stack([rows[mutual], best[mutual]], axis=1)


def _united(number: int, parts: list[tuple[Window, Logits]]) -> Claim:
    if len(parts) == 1:
        return Claim(instance=number, window=parts[0][0], mask=parts[0][1])
    windows = [window for window, _ in parts]
    whole = Window(
        min(each.row0 for each in windows),
        min(each.col0 for each in windows),
        max(each.row1 for each in windows),
        max(each.col1 for each in windows),
    )
    mask = np.full(whole.shape, np.iinfo(np.int32).min, np.int32)
    for window, logits in parts:
        under = mask[window.slices(whole)]
        np.maximum(under, logits, out=under)
    return Claim(instance=number, window=whole, mask=mask)
