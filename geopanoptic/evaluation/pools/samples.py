"""Labelled samples of a pool, and their maps by a bundle through the real pipeline."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geopanoptic.grid import Window
from geopanoptic.models.bundle import Bundle
from geopanoptic.panoptic.fusion.rules import DEEPLAB
from geopanoptic.panoptic.parcels.choice import RepairRules
from geopanoptic.pipeline.execution import Threads
from geopanoptic.pipeline.grouping.rules import GroupingRules, fused_choice, quantiser, rules_of_bundle
from geopanoptic.pipeline.grouping.segmentation import segment
from geopanoptic.pipeline.network.dense import InferBlock, Network
from geopanoptic.pipeline.network.reading import ArrayDate
from geopanoptic.pipeline.planning.layout import Layout, round_up
from geopanoptic.pipeline.progress import Silent
from geopanoptic.pipeline.store.run_store import RunStore
from geopanoptic.scene.pixels.reduction import means, working_factor


class Shown(Protocol):
    """What a network is shown of a sample."""

    @property
    def name(self) -> str: ...
    @property
    def valid(self) -> NDArray[np.bool_]: ...
    @property
    def dates(self) -> Sequence[ArrayDate]: ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledImage:
    """One validation image in network range; arrays as in ``geopanoptic.training.samples``."""

    name: str
    image: NDArray[np.float32]
    available: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    instances: NDArray[np.int32]
    pixel_m: float | None = None
    """What a pixel stands for, where the folder says it."""

    def reduced(self, factor: int) -> LabelledImage:
        """The image in pixels ``factor`` times as wide, as ``Scene.reduced`` gives them; the labels stay."""
        margins = [(0, -length % factor) for length in self.valid.shape]
        image, valid = means(
            np.pad(self.image * self.valid, ((0, 0), *margins)), np.pad(self.valid, margins), factor
        )
        return replace(self, name=f"{self.name} by {factor}", image=image, valid=valid)

    @property
    def void(self) -> NDArray[np.bool_]:
        """Where the truth is unknown or the image has no data, at label resolution."""
        return (self.instances < 0) | ~self.valid.repeat(2, 0).repeat(2, 1)

    @property
    def dates(self) -> tuple[ArrayDate, ...]:
        """The image as one date, whose day is unknown."""
        flags = self.available[:, None, None] & self.valid
        return (
            ArrayDate(
                input_chw=np.concatenate([self.image * flags, flags.astype(np.float32)]), valid_hw=self.valid
            ),
        )


def read_images(folder: Path) -> list[LabelledImage]:
    """All samples of a folder, sorted by name. A folder's name may end with the size of a pixel: ``val-naip-2.5m``."""
    stated = re.search(r"-(\d+(?:\.\d+)?)m$", folder.name)
    pixel_m = float(stated[1]) if stated else None
    return [replace(read_image(path), pixel_m=pixel_m) for path in sorted(folder.glob("[!.]*.npz"))]


def read_image(path: Path) -> LabelledImage:
    """One sample; its name is that of its folder and its own."""
    with np.load(path, allow_pickle=False) as stored:
        return LabelledImage(
            name=f"{path.parent.name}/{path.stem}",
            image=stored["image"].astype(np.float32),
            available=stored["available"],
            valid=stored["valid"],
            instances=stored["instances"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Region labels (2h, 2w), and which of them are things: 1..n_things."""

    labels: NDArray[np.int32]
    n_things: int
    score: NDArray[np.float64]
    class_index: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Of every region its place among the thing or the stuff classes; empty where the method knows no classes."""
    class_score: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))


class BundleMapper:
    """Maps samples with a bundle; the network runs once per sample, the grouping for every set of rules."""

    def __init__(
        self, bundle: Bundle, load: Callable[[Bundle], Network], folder: Path, *, margin_px: int | None = None
    ) -> None:
        """``margin_px``: no data around a sample that the network sees; None: as far as it reaches."""
        self._bundle, self._load, self._folder = bundle, load, folder
        self._network = load(bundle)
        self._margin_px = margin_px
        self._stores: dict[str, RunStore] = {}
        self._of_fine_pixels: BundleMapper | None = None
        self._making = Lock()

    def __call__(self, image: Shown, rules: GroupingRules) -> Prediction:
        store = self._stores.get(image.name) or self._infer(image)
        self._stores[image.name] = store
        final = segment(store, rules, executor=Threads(workers=1), progress=Silent())
        labels = store.read("label", Window(0, 0, *store.shape)).astype(np.int32)
        return Prediction(
            labels=labels,
            n_things=final.n_things,
            score=final.score,
            class_index=final.class_index,
            class_score=final.class_score,
        )

    def as_run(self, image: LabelledImage, rules: GroupingRules) -> Prediction:
        """As ``geopanoptic run`` maps it: an image of finer pixels than the bundle likes is reduced before, and the
        labels are enlarged after."""
        if image.pixel_m is None:
            return self(image, rules)
        factor = working_factor(image.valid.shape, image.pixel_m, self._bundle.reading_pixel_m)
        mapper = self._for_pixels(image.pixel_m * factor)
        if factor == 1:
            return mapper(image, rules)
        coarse = mapper(image.reduced(factor), rules)
        height, width = image.instances.shape
        labels = coarse.labels.repeat(factor, 0).repeat(factor, 1)[:height, :width]
        return replace(coarse, labels=labels)

    def _for_pixels(self, pixel_m: float) -> BundleMapper:
        bundle = self._bundle.for_pixels(pixel_m)
        if bundle.of_fine_pixels == self._bundle.of_fine_pixels:
            return self
        with self._making:
            if self._of_fine_pixels is None:
                self._of_fine_pixels = BundleMapper(
                    bundle, self._load, self._folder, margin_px=self._margin_px
                )
            return self._of_fine_pixels

    def _infer(self, image: Shown) -> RunStore:
        bundle = self._bundle
        height, width = image.valid.shape
        size = round_up(max(height, width), bundle.stride_px)
        store = RunStore(
            folder=Path(tempfile.mkdtemp(dir=self._folder)),
            shape=(height * bundle.output_scale, width * bundle.output_scale),
            block_px=size * bundle.output_scale,
        )
        layout = Layout(
            tile_px=size,
            halo_px=round_up(
                bundle.reach_px if self._margin_px is None else self._margin_px, bundle.stride_px
            ),
            stride_px=bundle.stride_px,
            block_px=size,
            batch=1,
        )
        task = InferBlock(
            store=store,
            layout=layout,
            scale=bundle.output_scale,
            dates=image.dates,
            network=lambda: self._network,
            quantise=quantiser(bundle),
        )
        for block in store.blocks():
            task(block)
        return store


def rules_of(
    bundle: Bundle,
    changes: Mapping[str, float] | None = None,
    *,
    min_area_px: int = 40,
    fusion: str = DEEPLAB.name,
) -> GroupingRules:
    """The bundle's grouping, or with ``changes`` its thresholds with single ones changed."""
    rules = rules_of_bundle(bundle, min_area_px=min_area_px, fusion=fusion)
    if changes is None:
        return rules
    asked = {name: changes.get(name, getattr(bundle.thresholds, name)) for name in TUNABLE}
    return replace(
        rules,
        centre=asked["centre"],
        centre_radius_px=int(asked["centre_radius_px"]),
        field=asked["field"],
        repair=fused_choice(
            RepairRules(
                merge_boundary=asked["merge_boundary"],
                drop_field=asked["drop_field"],
                min_area_px=min_area_px,
            ),
            rules.fusion,
        ),
    )


TUNABLE: dict[str, tuple[float, ...]] = {
    "merge_boundary": (0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
    "centre": (0.2, 0.3, 0.4, 0.5, 0.6, 0.7),
    "field": (0.4, 0.5, 0.6, 0.7, 0.8),
    "drop_field": (0.5, 0.6, 0.7, 0.8, 0.9),
    "centre_radius_px": (2, 3, 4, 6),
}
"""Thresholds of a bundle that can be searched, and the values tried."""
