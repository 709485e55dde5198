"""Crops of generated landscapes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from geopanoptic.training.samples import crops
from geopanoptic.training.samples.outlines import Outlines
from geopanoptic.training.synthetic.landscape import Landscape, landscape_of_outlines, procedural_landscape
from geopanoptic.training.synthetic.painting import normalise, paint
from geopanoptic.training.synthetic.spectra import BANDS


def generated(rng: np.random.Generator, outlines: Outlines | None = None) -> Iterator[crops.Sample]:
    """Crops of one generated scene; with ``outlines`` two scenes in five have real parcel geometry."""
    landscape = landscape_of(rng, outlines)
    image = normalise(paint(landscape, rng), rng)
    for row in (0, crops.SCENE_PX - crops.CROP_PX):
        for col in (0, crops.SCENE_PX - crops.CROP_PX):
            coarse = np.s_[row : row + crops.CROP_PX, col : col + crops.CROP_PX]
            fine = np.s_[2 * row : 2 * (row + crops.CROP_PX), 2 * col : 2 * (col + crops.CROP_PX)]
            yield crops.Sample(
                image=image[:, coarse[0], coarse[1]],
                available=np.ones(len(BANDS), bool),
                valid=np.ones((crops.CROP_PX, crops.CROP_PX), bool),
                instances=landscape.instances[fine],
                stuff=landscape.cover[fine],
            )


def landscape_of(rng: np.random.Generator, outlines: Outlines | None) -> Landscape:
    """A generated landscape; with ``outlines`` two in five have real parcel geometry."""
    shape = (2 * crops.SCENE_PX, 2 * crops.SCENE_PX)
    if outlines is not None and rng.random() < 0.4:
        return landscape_of_outlines(outlines.draw(shape, rng), shape, rng)
    return procedural_landscape(shape, rng)
