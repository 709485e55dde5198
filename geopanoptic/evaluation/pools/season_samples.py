"""Labelled seasons of a pool, of all their dates or of some."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geopanoptic.npy import load_npz
from geopanoptic.pipeline.network.reading import ArrayDate

SEASON_CLASSES = (
    *("winter crop", "summer crop", "grassland", "permanent or other crop"),
    *("water", "woodland", "built-up", "other vegetation", "bare"),
)
"""What the numbers in ``stuff`` of a stored season mean, first the kinds of parcels."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledSeason:
    """One validation season; labels (2h, 2w) as in ``geopanoptic.training.samples.season_crops``."""

    name: str
    dates: tuple[ArrayDate, ...]
    instances: NDArray[np.int32]
    classes: NDArray[np.uint8]

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(h, w): any of the dates shows the pixel."""
        return np.any([date.valid_hw for date in self.dates], axis=0)  # type: ignore[no-any-return]

    @property
    def void(self) -> NDArray[np.bool_]:
        """(2h, 2w): the truth is unknown or no date shows the ground."""
        return (self.instances < 0) | ~self.valid.repeat(2, 0).repeat(2, 1)

    def some(self, count: int) -> LabelledSeason:
        """``count`` of the dates that show anything, evenly over them, always the same ones; all if there are fewer."""
        useful = [date for date in self.dates if date.valid_hw.any()] or list(self.dates[:1])
        if count < len(useful):
            begin = np.random.default_rng([zlib.crc32(self.name.encode()), count]).random()
            useful = [useful[int((place + begin) * len(useful) / count)] for place in range(count)]
        return replace(self, name=f"{self.name} of {count}", dates=tuple(useful))


def is_season(path: Path) -> bool:
    """Whether a sample is a series."""
    with np.load(path, allow_pickle=False) as stored:
        return "image_tchw" in stored.files


def read_seasons(folder: Path) -> list[LabelledSeason]:
    """All samples of a folder, sorted by name."""
    return [read_season(path) for path in sorted(folder.glob("[!.]*.npz"))]


def read_season(path: Path) -> LabelledSeason:
    """One sample; its name is that of its folder and its own."""
    stored = load_npz(path)
    image_tchw = stored["image_tchw"].astype(np.float32)
    flags_tchw = stored["available_tc"][:, :, None, None] & stored["valid_thw"][:, None]
    return LabelledSeason(
        name=f"{path.parent.name}/{path.stem}",
        dates=tuple(
            ArrayDate(
                input_chw=np.concatenate([image * flags, flags.astype(np.float32)]),
                valid_hw=valid,
                day=float(day),
            )
            for image, flags, valid, day in zip(
                image_tchw, flags_tchw, stored["valid_thw"], stored["day_t"], strict=True
            )
        ),
        instances=stored["instances"],
        classes=stored["stuff"],
    )
