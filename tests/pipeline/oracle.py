"""An oracle for the stages after the network: the truth of a generated scene, as a perfect network says it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage

from geopanoptic.grid import Window
from geopanoptic.panoptic.fusion.rules import fusion_named
from geopanoptic.panoptic.parcels.choice import JudgingRules, RepairRules
from geopanoptic.panoptic.quantisation import Quantiser
from geopanoptic.pipeline.execution import Threads
from geopanoptic.pipeline.grouping.rules import GroupingRules, fused_choice
from geopanoptic.pipeline.grouping.segmentation import segment
from geopanoptic.pipeline.network.dense import InferBlock
from geopanoptic.pipeline.network.reading import ArrayDate
from geopanoptic.pipeline.planning.layout import Layout
from geopanoptic.pipeline.progress import Silent
from geopanoptic.pipeline.store.run_store import RunStore

CHANNELS = 6 + 3
QUANTISER = Quantiser(thing_channels=(0,), stuff_channels=(1, 2, 3, 4, 5), relief_boundary_weight=0.3)


def rules(*, choice: JudgingRules | None = None, fusion: str = "deeplab", **changes) -> GroupingRules:
    repair = {"merge_boundary": 0.2, "drop_field": 0.5, "min_area_px": 0}
    repair |= {name: value for name, value in changes.items() if name in repair}
    grouping = {"centre": 0.6, "centre_radius_px": 3, "field": 0.5}
    grouping |= {name: value for name, value in changes.items() if name in grouping}
    rule = fusion_named(fusion)
    return GroupingRules(
        **grouping,
        repair=fused_choice(choice or RepairRules(**repair), rule),
        n_thing_classes=1,
        n_stuff_classes=5,
        fusion=rule,
    )


def truth_maps(instances: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """(9, h, w) float32: six class probabilities, centre, boundary, distance, as a perfect network says."""
    maps = np.zeros((CHANNELS, *instances.shape), np.float32)
    for channel in range(6):
        maps[channel] = cover == channel
    maps[0] = instances > 0
    edge = np.zeros(instances.shape, bool)
    edge[:, 1:] |= instances[:, 1:] != instances[:, :-1]
    edge[:, :-1] |= instances[:, 1:] != instances[:, :-1]
    edge[1:] |= instances[1:] != instances[:-1]
    edge[:-1] |= instances[1:] != instances[:-1]
    maps[7] = edge
    for number, place in enumerate(ndimage.find_objects(instances), 1):
        inside = instances[place] == number
        depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
        deepest = depth / depth.max()
        maps[8][place] = np.where(inside, deepest, maps[8][place])
        peak = np.zeros(inside.shape, np.float32)
        peak.flat[np.argmax(np.where(inside, depth, -1))] = 1
        maps[6][place] = np.maximum(maps[6][place], peak)
    return maps


class Oracle:
    """A network for which every date's maps are its share of the truth: it adds them up."""

    on_gpu = False

    def each_over(self, dates, take, quantisation=None):
        total = sum(tiles_bchw for tiles_bchw, _ in dates)
        for number, maps in enumerate(total):
            take(
                number,
                {
                    "semantic": maps[:6],
                    "centre": maps[6:7],
                    "boundary": maps[7:8],
                    "distance": maps[8:9],
                },
            )


def segment_maps(
    maps: np.ndarray,
    valid: np.ndarray,
    folder: Path,
    *,
    tile_px=64,
    block_px=64,
    batch=1,
    workers=2,
    dates=None,
    **changes,
):
    """Run every stage on maps at output resolution (9, h, w); returns labels (h, w) and the regions.

    ``dates`` in their place: several of them, see ``Oracle``.
    """
    height, width = valid.shape
    store = RunStore(folder=folder, shape=valid.shape, block_px=block_px)
    layout = Layout(tile_px=tile_px, halo_px=16, stride_px=16, block_px=block_px, batch=batch)
    task = InferBlock(
        store=store,
        layout=layout,
        scale=1,
        dates=[ArrayDate(input_chw=maps, valid_hw=valid)] if dates is None else dates,
        network=Oracle,
        quantise=QUANTISER,
    )
    executor = Threads(workers=workers)
    for _ in executor.map(task, store.blocks(), network=True):
        pass
    final = segment(store, rules(**changes), executor=executor, progress=Silent())
    return store.read("label", Window(0, 0, height, width)), final
