"""A small PASTIS folder with a known season: five patches, one per fold, fields that differ in phenology."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geopanoptic.training.pastis.folder import PATCH_PX, VOID, PastisFolder
from geopanoptic.training.pastis.writing import DatedImages, LabelledPatch, write_pastis

CORN, WHEAT, MEADOW = 3, 2, 1
DATES = tuple(date(2019, 3, 1) + timedelta(days=30 * step) for step in range(6))
_FIELD_PX = 16
_PEAK_MONTH = {MEADOW: 6.0, WHEAT: 5.0, CORN: 8.0, 0: 20.0, VOID: 7.0}


def season_of(number: int, *, radar: bool = False) -> LabelledPatch:
    """A patchwork of square fields, every fourth square background, one void; some days come twice."""
    rng = np.random.default_rng(number)
    squares = PATCH_PX // _FIELD_PX
    crops = rng.choice([0, MEADOW, WHEAT, CORN], (squares, squares))
    crops[0, 0] = VOID
    ids = np.where(crops > 0, rng.permutation(squares**2).reshape(squares, squares) + 9000, 0)
    block = np.ones((_FIELD_PX, _FIELD_PX), np.int64)
    target, parcels = np.kron(crops, block), np.kron(ids, block)
    dates = (*DATES[::-1], DATES[2])
    images = {"S2": DatedImages(dates=dates, values_tchw=_optical(target, dates, rng))}
    if radar:
        values = rng.normal(-12, 3, (3, 3, PATCH_PX, PATCH_PX)).astype(np.float16)
        images["S1A"] = DatedImages(dates=DATES[:3], values_tchw=values)
        images["S1D"] = DatedImages(dates=DATES[3:], values_tchw=values + np.float16(1))
    return LabelledPatch(
        number=10_000 + number,
        fold=number % 5 + 1,
        zone=31,
        corner_xy=(600_000.0 + 1280 * number, 5_000_000.0),
        images=images,  # type: ignore[arg-type]
        parcels_hw=parcels,
        target_hw=target,
    )


def write_small(folder: Path, *, patches: int = 5, radar: bool = False) -> PastisFolder:
    """As many patches as asked for, their folds in turn."""

    def seasons() -> Iterator[LabelledPatch]:
        for number in range(patches):
            yield season_of(number, radar=radar)

    return write_pastis(folder, seasons())


def _optical(
    target: NDArray[np.int64], dates: tuple[date, ...], rng: np.random.Generator
) -> NDArray[np.int16]:
    """Near infrared rises and red falls around the month in which a crop is greenest."""
    values = np.full((len(dates), 10, *target.shape), 900.0)
    peak = np.vectorize(_PEAK_MONTH.__getitem__)(target)
    for image, when in zip(values, dates, strict=True):
        green = np.exp(-(((when.month - peak) / 1.5) ** 2))
        image[2] = 1200 - 900 * green
        image[3:8] = 1500 + 2500 * green
    return np.rint(values + rng.normal(0, 40, values.shape)).astype(np.int16)
