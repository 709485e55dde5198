"""Steps 3 to 6 of a run whose network states parcels one by one (PaPs) instead of dense maps.

A block's parcels are those whose centres lie in it. Around it the network sees as much as can change anything about
them: its reach, and half of the largest box. So every parcel is found once and whole, wherever blocks end, and the
choice among parcels that overlap is made on the scene, by falling confidence as in the original. The network sees
no ground beyond the scene's edge: a patch is mapped as it was trained on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geopanoptic.grid import Window
from geopanoptic.models.bundle import Bundle
from geopanoptic.panoptic.fusion.logits import fixed_logits
from geopanoptic.panoptic.fusion.rules import DEEPLAB, FusionRule, fusion_named
from geopanoptic.panoptic.parcels.repair import PanopticRegions
from geopanoptic.panoptic.quantisation import NODATA_CLASS
from geopanoptic.pipeline.detections.folder import DetectedClass, DetectedClasses
from geopanoptic.pipeline.detections.matching import TileSummary, rank_objects, summary_of
from geopanoptic.pipeline.detections.settling import settle
from geopanoptic.pipeline.detections.stored import PARCELS, SHOWN, FoundParcels, packed, write_none
from geopanoptic.pipeline.detections.tile import Detection
from geopanoptic.pipeline.execution import Executor
from geopanoptic.pipeline.network.dense import DenseCount, Mask, store_for
from geopanoptic.pipeline.network.reading import DateReader
from geopanoptic.pipeline.planning.layout import Layout, round_up
from geopanoptic.pipeline.planning.planned_bundle import planned_bundle
from geopanoptic.pipeline.progress import Progress
from geopanoptic.pipeline.store.run_store import RunStore
from geopanoptic.scene.files.blocks import UnreadableBlock, refuse

if TYPE_CHECKING:
    from geopanoptic.models.networks.paps import DrawnParcel
    from geopanoptic.models.paps_detector import PapsDetector

_BY_CONFIDENCE = "panoptic-fpn"


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorOfBundle:
    """A bundle's network by reference: loaded where and when it is called first, and kept by that process."""

    path: Path
    fingerprint: str
    """See ``Bundle``."""
    device: str
    threads: int
    runtime: str
    precision: str

    def __call__(self) -> PapsDetector:
        """Raises ModelError where another bundle lies at ``path`` here, and as ``load_detector``."""
        return _loaded(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class FindParcels:
    """Task: find the parcels of one block (output pixels), and store them with what the block shows.

    Fields as of ``InferBlock``.
    """

    store: RunStore
    layout: Layout
    scale: int
    dates: Sequence[DateReader]
    network: Callable[[], PapsDetector]
    wanted: Mask | None = None
    skip_unreadable: bool = False

    def __call__(self, block: Window) -> DenseCount:
        core_px = block.size_px // self.scale**2
        wanted = None if self.wanted is None else self.wanted(block)
        if wanted is not None and not wanted.any():
            write_none(self.store, block)
            return DenseCount(network_px=0, core_px=core_px, network_s=0.0)
        sight = _Sight(task=self, tile=self._tile(block.covering(self.scale)))
        tile, network = sight.tile.scaled(self.scale), self.network()
        started = time.perf_counter()
        found = network.parcels(sight, _within(block, tile))
        network_s = time.perf_counter() - started - sight.reading_s
        shown = self._shown(block, sight, wanted)
        core_row, core_col = block.row0 - tile.row0, block.col0 - tile.col0
        parcels = [
            _detection(each, network, tile)
            for each in found
            if shown[each.centre_px[0] - core_row, each.centre_px[1] - core_col]
        ]
        store = store_for(self.store, block, sight.unreadable)
        store.write(SHOWN, block, np.where(shown, 0, NODATA_CLASS).astype(np.uint8))
        store.write(PARCELS, block, packed([each for each in parcels if each is not None]))
        return DenseCount(
            network_px=sight.given_px,
            core_px=core_px,
            network_s=network_s,
            unreadable=tuple(sight.unreadable),
        )

    def _tile(self, core: Window) -> Window:
        """What the network sees: no more than the scene, rounded up to the stride."""
        stride_px = self.layout.stride_px
        scene = Window(0, 0, *(round_up(side // self.scale, stride_px) for side in self.store.shape))
        return core.grown(self.layout.halo_px).intersection(scene) or core

    def _shown(self, block: Window, sight: _Sight, wanted: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        fine = sight.valid_hw.repeat(self.scale, axis=0).repeat(self.scale, axis=1)
        shown: NDArray[np.bool_] = fine[block.slices(sight.tile.scaled(self.scale))]
        return shown if wanted is None else shown & wanted


@dataclass(slots=True, kw_only=True, eq=False)
class _Sight:
    """A tile date by date as the network takes it; gathers on the way where it is valid on any date."""

    task: FindParcels
    tile: Window
    given_px: int = 0
    reading_s: float = 0.0
    unreadable: list[UnreadableBlock] = field(default_factory=list)
    valid_hw: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self.valid_hw = np.zeros(self.tile.shape, np.bool_)

    def __iter__(self) -> Iterator[tuple[NDArray[np.float32], float]]:
        on_unreadable = self.unreadable.append if self.task.skip_unreadable else refuse
        for date in self.task.dates:
            started = time.perf_counter()
            input_chw, valid_hw = date(self.tile, on_unreadable)
            self.reading_s += time.perf_counter() - started
            if valid_hw.any():
                self.valid_hw |= valid_hw
                self.given_px += self.tile.size_px
                yield input_chw[None], date.day


def group_parcels(
    store: RunStore,
    bundle: Bundle,
    *,
    fusion: str,
    min_area_px: int,
    executor: Executor,
    progress: Progress,
) -> PanopticRegions:
    """From the stored parcels to regions, as ``segment`` for dense maps.

    Of rules of fusion ``deeplab``, which knows no overlaps, means the original's: confidence alone decides.
    """
    classes = DetectedClasses(things=_classes(bundle, "thing"), stuff=_classes(bundle, "stuff"))
    parcels = FoundParcels(store=store)
    summaries = executor.map(_Summarise(parcels=parcels, classes=classes), range(len(parcels)))
    objects = rank_objects(list(summaries))
    return settle(
        store,
        (parcels, classes, objects),
        _rule(fusion),
        min_area_px=min_area_px,
        executor=executor,
        progress=progress,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Summarise:
    parcels: FoundParcels
    classes: DetectedClasses

    def __call__(self, block: int) -> TileSummary:
        return summary_of(self.parcels.read(block), self.classes, min_score=0.0)


def _rule(fusion: str) -> FusionRule:
    return fusion_named(_BY_CONFIDENCE if fusion == DEEPLAB.name else fusion)


def _classes(bundle: Bundle, kind: str) -> tuple[DetectedClass, ...]:
    """Classes of a kind; their labels are the semantic channels."""
    return tuple(
        DetectedClass(name=each.name, kind=each.kind, label=channel, colour=each.colour)
        for channel, each in enumerate(bundle.classes)
        if each.kind == kind
    )


def _within(block: Window, tile: Window) -> Window:
    """A block counted from a tile's first pixel."""
    rows, cols = block.slices(tile)
    return Window(rows.start, cols.start, rows.stop, cols.stop)


def _detection(parcel: DrawnParcel, network: PapsDetector, origin: Window) -> Detection | None:
    """A parcel in the scene's output pixels, with logits that are positive above the mask's threshold."""
    probability = parcel.probability_hw.cpu().numpy().astype(np.float64)
    threshold = network.rules.mask_threshold
    with np.errstate(divide="ignore"):
        logits = np.log(probability) - np.log1p(-probability)
    mask = fixed_logits(logits - math.log(threshold / (1 - threshold)))
    rows, cols = np.flatnonzero((mask > 0).any(axis=1)), np.flatnonzero((mask > 0).any(axis=0))
    if not len(rows):
        return None
    row0, col0 = parcel.box.rows.start + origin.row0, parcel.box.cols.start + origin.col0
    inside = np.s_[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    return Detection(
        label=parcel.thing,
        score=parcel.confidence,
        window=Window(
            row0 + int(rows[0]), col0 + int(cols[0]), row0 + int(rows[-1]) + 1, col0 + int(cols[-1]) + 1
        ),
        mask=mask[inside],
    )


# One, as for dense networks.
@lru_cache(maxsize=1)
def _loaded(network: DetectorOfBundle) -> PapsDetector:
    from geopanoptic.models.paps_detector import load_detector

    return load_detector(
        planned_bundle(network.path, network.fingerprint),
        device=network.device,
        threads=network.threads,
        runtime=network.runtime,
        precision=network.precision,
    )
