"""Generated scenes with exact truth, at any size: for training, tests and benchmarks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geopanoptic.training.synthetic.characters import CHARACTERS
from geopanoptic.training.synthetic.landscape import procedural_landscape
from geopanoptic.training.synthetic.painting import paint
from geopanoptic.training.synthetic.scene import SyntheticScene, synthesize
from geopanoptic.training.synthetic.series import SyntheticSeries, synthesize_series
from geopanoptic.training.synthetic.spectra import BANDS

__all__ = [
    "BANDS",
    "CHARACTERS",
    "GeneratedScene",
    "SyntheticScene",
    "SyntheticSeries",
    "generate_scene",
    "synthesize",
    "synthesize_series",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedScene:
    """A scene and what is truly in it.

    ``image`` (10, h, w) float32 reflectance in the order of ``BANDS``; ``instances`` (2h, 2w) int32, parcels
    1..n and 0 elsewhere; ``cover`` (2h, 2w) uint8 class indices in the order of the default bundle.
    """

    image: NDArray[np.float32]
    instances: NDArray[np.int32]
    cover: NDArray[np.uint8]


def generate_scene(shape: tuple[int, int], *, seed: int = 0) -> GeneratedScene:
    """A generated 10 m scene of ``shape`` (rows, cols); the same seed gives the same scene."""
    rng = np.random.default_rng(seed)
    landscape = procedural_landscape((2 * shape[0], 2 * shape[1]), rng)
    return GeneratedScene(image=paint(landscape, rng), instances=landscape.instances, cover=landscape.cover)
