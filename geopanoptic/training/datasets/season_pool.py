"""A folder of ``.npz`` series as ``training.samples.season_crops`` writes them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geopanoptic.errors import UsageError
from geopanoptic.evaluation.pools.season_samples import SEASON_CLASSES
from geopanoptic.models.manifest import ClassSpec, channels_of
from geopanoptic.npy import load_npz
from geopanoptic.training.datasets.channels import class_lookup
from geopanoptic.training.datasets.pool import check_shapes, samples_in
from geopanoptic.training.patches.patch import OUTPUT_SCALE
from geopanoptic.training.patches.series_patch import SeriesPatch
from geopanoptic.training.synthetic import BANDS
from geopanoptic.training.synthetic.phenology import KINDS

_ARRAYS = ("image_tchw", "available_tc", "valid_thw", "day_t", "instances", "stuff")
_CACHED_SAMPLES = 1000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SeasonPool:
    """Series drawn with equal chance. The folder is listed once: what is added later is not seen."""

    paths: tuple[Path, ...]
    bands: tuple[str, ...]
    channel_of: NDArray[np.uint8]

    @classmethod
    def open(cls, folder: Path, *, bands: Sequence[str], classes: Sequence[ClassSpec]) -> Self:
        """Channels follow the class names; where there is one thing class, every kind of parcel is of it.

        Raises ``UsageError`` where ``folder`` holds no sample.
        """
        paths = samples_in(folder, "series")
        channel_of = class_lookup(dict(enumerate(SEASON_CLASSES)), classes)
        things = channels_of(classes, "thing")
        if len(things) == 1:
            channel_of[: len(KINDS)] = things[0]
        return cls(paths=paths, bands=tuple(bands), channel_of=channel_of)

    def draw(self, size_px: int, rng: np.random.Generator, *, sample: int) -> SeriesPatch:
        stored = _read(self.paths[rng.integers(len(self.paths))])
        height, width = stored["valid_thw"].shape[1:]
        row, col = (int(rng.integers(max(length - size_px, 0) + 1)) for length in (height, width))
        coarse = np.s_[..., row : row + size_px, col : col + size_px]
        start, stop = OUTPUT_SCALE * np.array([[row, col], [row + size_px, col + size_px]])
        fine = np.s_[start[0] : stop[0], start[1] : stop[1]]
        seen_tchw = stored["available_tc"][:, :, None, None] & stored["valid_thw"][coarse][:, None]
        return SeriesPatch(
            image_tchw=self._in_channels(stored["image_tchw"][coarse]),
            seen_tchw=self._in_channels(seen_tchw),
            day_t=stored["day_t"],
            instances_hw=stored["instances"][fine],
            classes_hw=self.channel_of[stored["stuff"][fine]],
        )

    def _in_channels(self, values_tchw: NDArray[Any]) -> NDArray[Any]:
        if self.bands == BANDS:
            return values_tchw
        channels = np.zeros((len(values_tchw), len(self.bands), *values_tchw.shape[2:]), values_tchw.dtype)
        for channel, band in enumerate(self.bands):
            if band in BANDS:
                channels[:, channel] = values_tchw[:, BANDS.index(band)]
        return channels


@functools.lru_cache(maxsize=_CACHED_SAMPLES)
def _read(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of one file; floats stay in half precision, as they are stored. Pixels that are no number have no data."""
    try:
        stored = load_npz(path, _ARRAYS)
        image, available, valid = stored["image_tchw"], stored["available_tc"], stored["valid_thw"]
        dates, size = len(stored["day_t"]), valid.shape[1:]
        check_shapes(stored, image_tchw=(dates, len(BANDS), *size), valid_thw=(dates, *size))
        known = np.isfinite(image) | (available[:, :, None, None] == 0)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is no series: {error}.", remedy="Remove it.") from None
    return stored | {
        "image_tchw": np.nan_to_num(image, posinf=0, neginf=0),
        "valid_thw": valid & known.all(1),
    }
