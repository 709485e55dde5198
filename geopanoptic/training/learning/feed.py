"""Patches -> batches, prepared in the background.

Batch n of a seed is always the same batch, whoever prepares it and whenever: a resumed run goes on with the
batches it would have had, and several processes share one batch by its sample numbers.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from geopanoptic.training.config import AugmentationSettings, SeasonSettings
from geopanoptic.training.datasets import Dataset
from geopanoptic.training.learning.batch import Batch
from geopanoptic.training.learning.losses import TargetBatch
from geopanoptic.training.patches.augmentation import Sample, altered, turned, zoomed
from geopanoptic.training.patches.patch import OUTPUT_SCALE, Patch
from geopanoptic.training.patches.season import some_dates, weathered
from geopanoptic.training.patches.series_patch import SeriesPatch
from geopanoptic.training.patches.targets import IGNORED, dense_targets

CONTEXT_PX = 24
"""Ground around a crop that targets are derived with: a parcel that the crop cuts keeps its true centre."""

_AHEAD = 3
_LABEL_PADDING = {"class": IGNORED, "boundary": IGNORED, "instance": -1}


def with_targets(patch: Patch | SeriesPatch) -> Sample:
    """A patch with its dense targets."""
    series = SeriesPatch.of(patch) if isinstance(patch, Patch) else patch
    valid_hw = patch.valid_hw
    instances_hw = np.where(valid_hw, patch.instances_hw, -1)
    targets = dense_targets(patch.instances_hw, valid_hw)
    return Sample(
        image_tchw=series.image_tchw.astype(np.float32),
        seen_tchw=series.seen_tchw,
        day_t=series.day_t,
        labels={
            "class": np.where(valid_hw, patch.classes_hw, IGNORED).astype(np.uint8),
            "field": (instances_hw > 0).astype(np.uint8),
            "centre": targets.centre_hw,
            "boundary": targets.boundary_hw,
            "distance": targets.distance_hw,
            "weight": targets.weight_hw,
            "shape_weight": targets.shape_weight_hw,
            "instance": instances_hw,
        },
    )


def cropped(sample: Sample, size_px: int, rng: np.random.Generator | None = None) -> Sample:
    """A window of ``size_px`` squared, at random or in the middle; padded with nothing where too small."""
    height, width = sample.image_tchw.shape[2:]
    row, col = (
        (int(rng.integers(spare + 1)) if rng else spare // 2)
        for spare in (max(height - size_px, 0), max(width - size_px, 0))
    )

    def window(array: np.ndarray, step: int, nothing: int = 0) -> np.ndarray:
        cut = array[..., row * step : (row + size_px) * step, col * step : (col + size_px) * step]
        missing = [(0, size_px * step - length) for length in cut.shape[-2:]]
        return np.pad(cut, [(0, 0)] * (cut.ndim - 2) + missing, constant_values=nothing)

    return Sample(
        image_tchw=window(sample.image_tchw, 1),
        seen_tchw=window(sample.seen_tchw, 1),
        day_t=sample.day_t,
        labels={k: window(v, OUTPUT_SCALE, _LABEL_PADDING.get(k, 0)) for k, v in sample.labels.items()},
    )


def collate(samples: Sequence[Sample], *, clear: Sequence[Sample] = ()) -> Batch:
    """The batch of equally large samples; ``clear`` are the same before they were altered, if wanted."""
    n_dates = max(len(sample.day_t) for sample in samples)
    day_bt = np.full((len(samples), n_dates), np.nan, np.float32)
    for place, sample in enumerate(samples):
        day_bt[place, : len(sample.day_t)] = sample.day_t

    def images(of: Sequence[Sample]) -> torch.Tensor:
        n_bands, *shape = of[0].image_tchw.shape[1:]
        input_btchw = np.zeros((len(of), n_dates, 2 * n_bands, *shape), np.float32)
        for place, sample in enumerate(of):
            input_btchw[place, : len(sample.day_t), :n_bands] = sample.image_tchw * sample.seen_tchw
            input_btchw[place, : len(sample.day_t), n_bands:] = sample.seen_tchw
        return torch.from_numpy(input_btchw)

    def labels(name: str, divisor: float = 1.0) -> torch.Tensor:
        return torch.from_numpy(np.stack([s.labels[name] for s in samples]).astype(np.float32)) / divisor

    targets = TargetBatch(
        class_bhw=labels("class").long(),
        field_bhw=labels("field"),
        centre_bhw=labels("centre", 255),
        boundary_bhw=labels("boundary"),
        distance_bhw=labels("distance", 255),
        weight_bhw=labels("weight"),
        shape_weight_bhw=labels("shape_weight"),
        instance_bhw=torch.from_numpy(np.stack([s.labels["instance"] for s in samples]).astype(np.int64)),
    )
    return Batch(
        input_btchw=images(samples),
        day_bt=torch.from_numpy(day_bt),
        targets=targets,
        clear_btchw=images(clear) if clear else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """Batches of a source by number."""

    source: Dataset
    augmentation: AugmentationSettings
    crop_px: int
    batch: int
    seed: int
    part: slice
    """The samples of every batch that this process takes."""
    season: SeasonSettings | None = None
    """How series are shown; None: one date of them, without its day."""
    with_clear: bool = False
    """Whether batches tell what the samples were before they were altered."""

    def batch_number(self, number: int) -> Batch:
        """Augmented training batch ``number``."""
        samples = [self._sample(number, place) for place in range(self.batch)[self.part]]
        return collate(
            [sample for sample, _ in samples],
            clear=[clear for _, clear in samples] if self.with_clear else (),
        )

    def batches(self, first: int, *, readers: int = 1) -> Generator[Batch, None, None]:
        """Batches ``first``, ``first`` + 1, ... without end, some of them prepared ahead in threads."""
        pool = ThreadPoolExecutor(readers, "geopanoptic-feed")
        ahead: deque[Future[Batch]] = deque()
        number = first
        try:
            while True:
                while len(ahead) < readers + _AHEAD:
                    ahead.append(pool.submit(self.batch_number, number))
                    number += 1
                yield ahead.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def fixed_batches(self, crops: int) -> list[Batch]:
        """``crops`` crops as they are, always the same ones, in batches: for validation."""
        rngs = [np.random.default_rng([self.seed, 2**31, number]) for number in range(crops)]
        size_px = self.crop_px + 2 * CONTEXT_PX
        patches = [self._dates(self.source.draw(size_px, rng, sample=0), rng) for rng in rngs]
        samples = [cropped(with_targets(patch), self.crop_px) for patch in patches]
        return [collate(samples[start : start + self.batch]) for start in range(0, crops, self.batch)]

    def _sample(self, number: int, place: int) -> tuple[Sample, Sample]:
        """Sample ``place`` of a batch as it is shown, and before it was altered."""
        rng = np.random.default_rng([self.seed, number, place])
        factor = _zoom(self.augmentation, rng)
        size_px = math.ceil((self.crop_px + 2 * CONTEXT_PX) / factor)
        series = self._dates(self.source.draw(size_px, rng, sample=number * self.batch + place), rng)
        if self.season is not None:
            series = weathered(series, self.season, rng)
        if factor != 1.0:
            series = series.restacked(zoomed(series.stacked(), factor))
        clear = turned(cropped(with_targets(series), self.crop_px, rng), rng)
        return altered(clear, self.augmentation, rng, bands=self.source.bands), clear

    def _dates(self, patch: Patch | SeriesPatch, rng: np.random.Generator) -> SeriesPatch:
        if isinstance(patch, Patch):
            return SeriesPatch.of(patch)
        return some_dates(patch, (1,) if self.season is None else self.season.dates, rng)


def _zoom(settings: AugmentationSettings, rng: np.random.Generator) -> float:
    if rng.random() >= settings.zoom_chance:
        return 1.0
    return float(np.exp(rng.uniform(*np.log(settings.zoom))))
