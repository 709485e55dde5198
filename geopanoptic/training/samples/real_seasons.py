"""Real seasons whose parcels are outlined from all their dates (see ``series``), as samples of several dates.

What the parcels grow is unknown: they teach outlines in real soil, crops, blur and noise. The dates of the
Austrian scene are unknown too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopanoptic.training.samples import series
from geopanoptic.training.samples.crops import UNLABELLED
from geopanoptic.training.samples.land_cover import danube_cover
from geopanoptic.training.samples.season_crops import CROP_PX, SeasonScene, SeriesSample
from geopanoptic.training.synthetic.phenology import KINDS

_BANDS = ("blue", "green", "red", "nir")
_MISSING = -10000
_LEAST_PARCELS, _LEAST_VALID = 0.15, 0.5


def boerde(data: Path, instances: NDArray[np.int32]) -> SeasonScene:
    """The German series, seven months of 2021, with outlines ``instances`` (2h, 2w) from ``series.outlines``."""
    names, values = zip(*series.boerde_values(data), strict=True)
    days = [datetime.strptime(name, "%Y%m%d").timetuple().tm_yday for name in names]
    return SeasonScene(
        values_tchw=np.stack(values),
        bands=_BANDS,
        valid_thw=np.all(np.stack(values) > _MISSING, axis=1),
        day_t=np.array(days, np.float32),
        instances=instances,
        stuff=np.full(instances.shape, UNLABELLED, np.uint8),
    )


def austria(data: Path, instances: NDArray[np.int32]) -> SeasonScene:
    """The two dates on the Danube, likewise, with land cover where rules are sure of it."""
    values = series.austria_values(data)
    cover = danube_cover(data).repeat(2, 0).repeat(2, 1)
    known = (cover != UNLABELLED) & (instances <= 0)
    # Cover counts from 1 beside parcels, classes from the last kind of parcel on.
    return SeasonScene(
        values_tchw=values,
        bands=_BANDS,
        valid_thw=np.ones((len(values), *values.shape[2:]), bool),
        day_t=np.full(len(values), np.nan, np.float32),
        instances=np.where(known, 0, instances).astype(np.int32),
        stuff=np.where(known, cover + (len(KINDS) - 1), UNLABELLED).astype(np.uint8),
    )


def crops_of(season: SeasonScene, reductions: Sequence[int]) -> Iterator[SeriesSample]:
    """Crops that overlap by half, as seen and reduced to coarser pixels: large fields stand in for small ones."""
    normalisation = season.normalisation()
    for reduction in reductions:
        fewer = reduced(season, reduction)
        height, width = fewer.valid_thw.shape[1:]
        for row in sorted({*range(0, height - CROP_PX, CROP_PX // 2), height - CROP_PX}):
            for col in sorted({*range(0, width - CROP_PX, CROP_PX // 2), width - CROP_PX}):
                sample = fewer.crop(row, col, normalisation)
                is_labelled = (sample.instances > 0) | (sample.stuff != UNLABELLED)
                if is_labelled.mean() >= _LEAST_PARCELS and sample.valid_thw.mean() >= _LEAST_VALID:
                    yield sample


def reduced(season: SeasonScene, reduction: int) -> SeasonScene:
    """The season with pixels ``reduction`` times as long, valid where all of them are."""
    height, width = (length // reduction for length in season.valid_thw.shape[1:])

    def blocks(array: NDArray[Any]) -> NDArray[Any]:
        cut = array[..., : height * reduction, : width * reduction]
        return cut.reshape(*array.shape[:-2], height, reduction, width, reduction)

    def labels(array: NDArray[Any]) -> NDArray[Any]:
        middle = np.s_[reduction // 2 :: reduction]
        return array[middle, middle][: 2 * height, : 2 * width]

    return SeasonScene(
        values_tchw=blocks(season.values_tchw).mean(axis=(-3, -1), dtype=np.float32),
        bands=season.bands,
        valid_thw=np.all(blocks(season.valid_thw), axis=(-3, -1)),
        day_t=season.day_t,
        instances=labels(season.instances),
        stuff=labels(season.stuff),
    )
