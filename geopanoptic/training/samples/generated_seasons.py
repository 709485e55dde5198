"""Crops of generated seasons."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from geopanoptic.training.samples.outlines import Outlines
from geopanoptic.training.samples.season_crops import CROP_PX, SeasonScene, SeriesSample, wandered
from geopanoptic.training.synthetic.landscape import (
    LABEL_PIXEL_M,
    landscape_of_outlines,
    procedural_landscape,
)
from geopanoptic.training.synthetic.scene import utm_grid
from geopanoptic.training.synthetic.series import draw_days, series_of

SCENE_PX = 272
"""Side of a generated season, of which a crop is taken at every corner."""
_REAL_SHARE = 0.4


def generated_season(
    rng: np.random.Generator, *, n_dates: int, outlines: Outlines | None = None, wander: bool = True
) -> Iterator[SeriesSample]:
    """Four crops of one generated season of up to a year; with ``outlines`` two in five have real parcels.

    ``wander``: normalise as if each were a part of a larger scene.
    """
    shape = (2 * SCENE_PX, 2 * SCENE_PX)
    if outlines is not None and rng.random() < _REAL_SHARE:
        landscape = landscape_of_outlines(outlines.draw(shape, rng), shape, rng)
    else:
        landscape = procedural_landscape(shape, rng)
    days = draw_days(n_dates, rng)
    series = series_of(landscape, days, rng, grid=utm_grid((SCENE_PX, SCENE_PX), 2 * LABEL_PIXEL_M))
    season = SeasonScene(
        values_tchw=series.images_tchw,
        bands=series.bands,
        valid_thw=series.valid_thw,
        day_t=np.array(series.days, np.float32),
        instances=series.instances,
        stuff=series.classes,
    )
    normalisation = season.normalisation()
    for row in (0, SCENE_PX - CROP_PX):
        for col in (0, SCENE_PX - CROP_PX):
            yield season.crop(row, col, wandered(normalisation, rng) if wander else normalisation)
