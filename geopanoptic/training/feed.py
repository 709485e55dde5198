"""Samples on disk -> batches, prepared in a background thread.

A pool is a folder of folders of ``.npz`` files: ``image`` float16 (C, h, w) normalised bands,
``available`` bool (C,), optional ``valid`` bool (h, w), ``instances`` int32 and ``stuff`` uint8 on the
finer grid of the network's output. The pool may grow while a run goes on.
"""

from __future__ import annotations

import queue
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch

from geopanoptic.errors import UsageError
from geopanoptic.training.augmentation import Sample, augment
from geopanoptic.training.config import Source
from geopanoptic.training.losses import TargetBatch
from geopanoptic.training.targets import IGNORED, dense_targets

_RELIST_EVERY = 200
_LABEL_PADDING = {"class": IGNORED, "boundary": IGNORED}


def read_sample(path: Path) -> Sample:
    """One file of a pool with its dense targets, in compact dtypes."""
    with np.load(path, allow_pickle=False) as stored:
        arrays = dict(stored)
    image = arrays["image"]
    valid = arrays.get("valid", np.ones(image.shape[1:], bool))
    scale = arrays["instances"].shape[0] // image.shape[1]
    fine_valid = valid.repeat(scale, 0).repeat(scale, 1)
    instances = np.where(fine_valid, arrays["instances"], -1)
    targets = dense_targets(arrays["instances"], fine_valid)
    return Sample(
        image_chw=image,
        seen_chw=arrays["available"][:, None, None] & valid,
        labels={
            "class": np.where(instances > 0, 0, np.where(fine_valid, arrays["stuff"], IGNORED)).astype(
                np.uint8
            ),
            "field": (instances > 0).astype(np.uint8),
            "centre": targets.centre_hw,
            "boundary": targets.boundary_hw,
            "distance": targets.distance_hw,
            "weight": targets.weight_hw,
            "shape_weight": targets.shape_weight_hw,
        },
    )


def cropped(sample: Sample, size_px: int, rng: np.random.Generator | None = None) -> Sample:
    """A window of ``size_px`` squared, at random or in the middle; padded with nothing where too small."""
    height, width = sample.image_chw.shape[1:]
    scale = sample.labels["class"].shape[0] // height
    row, col = (
        (int(rng.integers(spare + 1)) if rng else spare // 2)
        for spare in (max(height - size_px, 0), max(width - size_px, 0))
    )

    def window(array: np.ndarray, step: int, nothing: int = 0) -> np.ndarray:
        cut = array[..., row * step : (row + size_px) * step, col * step : (col + size_px) * step]
        missing = [(0, size_px * step - length) for length in cut.shape[-2:]]
        return np.pad(cut, [(0, 0)] * (cut.ndim - 2) + missing, constant_values=nothing)

    return Sample(
        image_chw=window(sample.image_chw, 1).astype(np.float32),
        seen_chw=window(sample.seen_chw, 1),
        labels={k: window(v, scale, _LABEL_PADDING.get(k, 0)) for k, v in sample.labels.items()},
    )


def collate(samples: Sequence[Sample]) -> tuple[torch.Tensor, TargetBatch]:
    """Network input (B, 2C, h, w) and targets of equally large samples."""
    inputs = [np.concatenate([s.image_chw * s.seen_chw, s.seen_chw.astype(np.float32)]) for s in samples]

    def labels(name: str, divisor: float = 1.0) -> torch.Tensor:
        return torch.from_numpy(np.stack([s.labels[name] for s in samples]).astype(np.float32)) / divisor

    return torch.from_numpy(np.stack(inputs)), TargetBatch(
        class_bhw=labels("class").long(),
        field_bhw=labels("field"),
        centre_bhw=labels("centre", 255),
        boundary_bhw=labels("boundary"),
        distance_bhw=labels("distance", 255),
        weight_bhw=labels("weight"),
        shape_weight_bhw=labels("shape_weight"),
    )


@dataclass(kw_only=True)
class Feed:
    """Endless batches from a growing pool: ``with Feed(...) as feed: next(feed)``."""

    pool: Path
    sources: Sequence[Source]
    crop_px: int
    batch: int
    seed: int
    cache_samples: int = 2500
    _ready: queue.Queue = field(default_factory=lambda: queue.Queue(maxsize=3), init=False)
    _stop: threading.Event = field(default_factory=threading.Event, init=False)
    _cache: OrderedDict[Path, Sample] = field(default_factory=OrderedDict, init=False)

    def __enter__(self) -> Self:
        threading.Thread(target=self._run, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()

    def __iter__(self) -> Iterator[tuple[torch.Tensor, TargetBatch]]:
        return self

    def __next__(self) -> tuple[torch.Tensor, TargetBatch]:
        item = self._ready.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def _run(self) -> None:
        try:
            for item in self._batches():
                while not self._stop.is_set():
                    try:
                        self._ready.put(item, timeout=0.5)
                        break
                    except queue.Full:
                        continue
                if self._stop.is_set():
                    return
        except Exception as error:  # handed to the consumer, which raises it
            self._ready.put(error)

    def _batches(self) -> Iterator[tuple[torch.Tensor, TargetBatch]]:
        rng = np.random.default_rng(self.seed)
        files: list[list[Path]] = []
        shares = np.empty(0)
        for step in range(2**62):
            if step % _RELIST_EVERY == 0:
                files, shares = self._listing()
            chosen = rng.choice(len(files), size=self.batch, p=shares)
            paths = [files[k][rng.integers(len(files[k]))] for k in chosen]
            crops = (cropped(self._sample(path), self.crop_px, rng) for path in paths)
            yield collate([augment(crop, rng) for crop in crops])

    def _listing(self) -> tuple[list[list[Path]], np.ndarray]:
        listed = [(sorted((self.pool / s.folder).glob("*.npz")), s.share) for s in self.sources]
        listed = [(paths, share) for paths, share in listed if paths]
        if not listed:
            raise UsageError(f"{self.pool} holds no samples.", remedy="Write samples there first.")
        shares = np.array([share for _, share in listed])
        return [paths for paths, _ in listed], shares / shares.sum()

    def _sample(self, path: Path) -> Sample:
        if path in self._cache:
            return self._cache[path]
        sample = self._cache[path] = read_sample(path)
        if len(self._cache) > self.cache_samples:
            self._cache.popitem(last=False)
        return sample
