"""What the sample says about a scene's validity, and what it suspects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geopanoptic.grid import Window
from geopanoptic.scene.sampling import Sample, take_sample
from geopanoptic.scene.scene import Scene

_SUSPECT_SHARE = 0.01
_LARGE_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """``valid_share`` of the sampled pixels valid in all sampled bands, and ``warnings`` for the user."""

    valid_share: float
    warnings: tuple[str, ...]


def survey(scene: Scene, *, sample: Sample | None = None) -> Survey:
    """Valid share and suspicions of a scene of one date, from its fixed sample.

    Warns of an all-nodata scene, of a border that nobody declared (F22: every band has the same constant,
    0 or the value of a corner) and of a declared nodata value that removes more than half (F24).
    """
    sample = take_sample(scene) if sample is None else sample
    warnings = []
    share = sample.valid_share
    if share == 0:
        warnings.append(f"{scene.name} has no valid pixel: everything is nodata.")
    elif share < 1 - _LARGE_SHARE:
        warnings.append(
            f"Only {share:.0%} of {scene.name} is valid; if that surprises you, check its nodata value."
        )
    for value, part in _undeclared(scene, sample):
        warnings.append(
            f"{part:.1%} of {scene.name} is {value:g} in every band and not declared as nodata. If that is "
            f"a border, declare it: `gdal_edit -a_nodata {value:g}`."
        )
    return Survey(valid_share=share, warnings=tuple(warnings))


def _undeclared(scene: Scene, sample: Sample) -> list[tuple[float, float]]:
    """Constants that fill more than 1 % of the sampled pixels in every band, with their share."""
    if len(sample.bands) < 2 or not sample.valid_n.any():
        return []
    same = (sample.values_cn == sample.values_cn[0]).all(axis=0) & sample.valid_n
    constants = {0.0, *_corners(scene, sample)}
    if sample.values_cn[0].size and np.ptp(sample.values_cn[0][sample.valid_n]) == 0:
        return []
    shares = {value: float((same & (sample.values_cn[0] == value)).mean()) for value in constants}
    return [(value, share) for value, share in sorted(shares.items()) if share > _SUSPECT_SHARE]


def _corners(scene: Scene, sample: Sample) -> NDArray[np.float32]:
    """The first band's values in the sample's first and last pixels of the scene's four corners."""
    last_row, last_col = scene.grid.height - 1, scene.grid.width - 1
    pixels = [
        scene.read(Window(row, col, row + 1, col + 1), sample.bands)
        for row in {0, last_row}
        for col in {0, last_col}
    ]
    return np.array([values[0, 0, 0] for values, valid in pixels if valid[0, 0]], np.float32)
