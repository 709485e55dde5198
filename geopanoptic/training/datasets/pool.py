"""A folder of ``.npz`` samples as ``training.samples`` writes them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geopanoptic.errors import UsageError
from geopanoptic.models.manifest import ClassSpec
from geopanoptic.npy import load_npz
from geopanoptic.training.datasets.channels import cover_lookup, in_channels
from geopanoptic.training.patches.patch import OUTPUT_SCALE, Patch, labels_of
from geopanoptic.training.synthetic import BANDS

_CACHED_SAMPLES = 2000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pool:
    """Samples drawn with equal chance. The folder is listed once: what is added later is not seen."""

    paths: tuple[Path, ...]
    bands: tuple[str, ...]
    channel_of: NDArray[np.uint8]

    @classmethod
    def open(cls, folder: Path, *, bands: Sequence[str], classes: Sequence[ClassSpec]) -> Self:
        """Channels follow the class names; where there are several thing classes, those of parcels are unknown.

        Raises ``UsageError`` where ``folder`` holds no sample.
        """
        return cls(paths=samples_in(folder, "samples"), bands=tuple(bands), channel_of=cover_lookup(classes))

    def draw(self, size_px: int, rng: np.random.Generator, *, sample: int) -> Patch:
        path = self.paths[rng.integers(len(self.paths))]
        patch = _read(path, self.bands).random_window(size_px, rng)
        return replace(patch, classes_hw=self.channel_of[patch.classes_hw])


def samples_in(folder: Path, what: str) -> tuple[Path, ...]:
    """The ``.npz`` files of a folder. Raises ``UsageError``, saying ``what`` they should be, where there is none."""
    paths = tuple(sorted(folder.glob("[!.]*.npz")))
    if not paths:
        raise UsageError(
            f"{folder} holds no {what} (.npz).",
            remedy="Write them with python -m geopanoptic.training.samples, or leave the folder out.",
        )
    return paths


def check_shapes(arrays: Mapping[str, NDArray[Any]], **expected: tuple[int, ...]) -> None:
    """Raises ``ValueError`` unless arrays are as ``expected``, all of them (..., h, w), and labels as large."""
    height, width = next(iter(expected.values()))[-2:]
    fine = (OUTPUT_SCALE * height, OUTPUT_SCALE * width)
    for name, shape in {**expected, "instances": fine, "stuff": fine}.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{name} is {arrays[name].shape}, {shape} was expected")


@functools.lru_cache(maxsize=_CACHED_SAMPLES)
def _read(path: Path, bands: tuple[str, ...]) -> Patch:
    """One file; floats stay in half precision, as they are stored. Pixels that are no number have no data."""
    try:
        arrays = load_npz(path)
        image, instances, stuff = arrays["image"], arrays["instances"], arrays["stuff"]
        valid = arrays.get("valid", np.ones(image.shape[1:], np.bool_))
        have = [band for band, present in zip(BANDS, arrays["available"], strict=True) if present]
        check_shapes(arrays, image=(len(BANDS), *valid.shape))
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{path} is no training sample: {error}.", remedy="Remove it.") from None
    image = image[[BANDS.index(band) for band in have]]
    image_chw, seen_chw = in_channels(image, valid & np.isfinite(image).all(0), have, bands)
    return Patch(
        image_chw=image_chw.astype(np.float16),  # type: ignore[arg-type]  # twice as many fit the memory
        seen_chw=seen_chw,
        instances_hw=instances,
        classes_hw=labels_of(instances, stuff),
    )
