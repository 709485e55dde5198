"""What number stands for a reflectance of 1, which cloud networks and indices with a constant need to know.

A scale tells, and integers of 16 bits count as they are sold, 10,000 times a reflectance. Fractional numbers come either
way, as programs make them of integers to hold NaN. An attribute may say which (``Scene.to_xarray`` writes it), but xarray
keeps attributes of numbers that are divided or scaled: it counts where the fixed sample could be of that unit, and else
the sample decides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from geopanoptic.errors import SceneError
from geopanoptic.grid import Grid
from geopanoptic.scene.files.sources import shown
from geopanoptic.scene.pixels.reading import COUNTS_PER_REFLECTANCE, Layer, read_layers
from geopanoptic.scene.sampling import sample_windows

_MOST_REFLECTANCE, _LEAST_COUNT = 2.0, 50.0
"""Half of a date's numbers are below the one where they are reflectances, above the other where 10,000 times those."""
_DARKEST = 0.0256
"""Something on a date is brighter than this. Bytes and percentages, as 10,000 times a reflectance, never are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Numbers:
    """Median and greatest of the sampled numbers of a date, without zeros, which may be undeclared fill; else NaN."""

    middle: float = math.nan
    most: float = math.nan

    def unit(self, stated: float | None) -> float | None:
        """What stands for a reflectance of 1 in them; None where they do not tell."""
        if stated is not None and self.may_be(stated):
            return stated
        if self.middle <= _MOST_REFLECTANCE:
            return 1.0
        counts = self.middle >= _LEAST_COUNT and self.may_be(COUNTS_PER_REFLECTANCE)
        return COUNTS_PER_REFLECTANCE if counts else None

    def may_be(self, one: float) -> bool:
        return self.middle <= _MOST_REFLECTANCE * one and self.most > _DARKEST * one


def with_units(grid: Grid, layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """The layers, of which fractional ones without a scale state what stands for a reflectance of 1 (``stated_one``).

    Judged date by date, by the sample of all of them together; a date that does not tell is as the first that does.
    Raises SceneError where the numbers are neither reflectances nor 10,000 times those.
    """
    fractional: dict[date | None, list[Layer]] = {}
    for layer in layers:
        if _is_fractional(layer):
            fractional.setdefault(layer.date, []).append(layer)
    numbers = {when: _sampled(grid, own) for when, own in fractional.items()}
    units = {when: each.unit(fractional[when][0].stated_one) for when, each in numbers.items()}
    usual = next(filter(None, units.values()), None)
    for when, each in numbers.items():
        if units[when] is None and each.middle > _MOST_REFLECTANCE * (usual or 0):
            raise SceneError(
                f"The numbers of {shown(fractional[when][0].source.name)}{f' on {when}' if when else ''} are about "
                f"{each.middle:,.3g}: neither reflectances from 0 to 1 nor 10,000 times those.",
                remedy="Scale them to reflectances (`gdal_edit -scale 0.01` for percentages); ratios like ndvi and masks that "
                "lie beside the images can be taken of any numbers.",
            )
    return tuple(
        replace(layer, stated_one=units[layer.date] or usual or 1.0) if _is_fractional(layer) else layer
        for layer in layers
    )


def stated_unit(layers: Sequence[Layer]) -> float | None:
    """What stands for a reflectance of 1 in all layers, where the files tell and it is one number; else None."""
    told = [layer for layer in layers if not _is_fractional(layer) and np.dtype(layer.dtype).itemsize > 1]
    units = {layer.reflectance_of_one for layer in told}
    return units.pop() if len(units) == 1 and len(told) == len(layers) else None


def _is_fractional(layer: Layer) -> bool:
    return np.dtype(layer.dtype).kind == "f" and layer.scale == 1


def _sampled(grid: Grid, layers: Sequence[Layer]) -> _Numbers:
    samples = []
    for window in sample_windows(grid):
        # A damaged block is told of where the bands are read.
        values, valid = read_layers(grid, layers, window, lambda _: None)
        samples.append(values[:, valid])
    numbers = np.concatenate(samples, axis=1)
    numbers = numbers[numbers != 0]
    return (
        _Numbers(middle=float(np.median(numbers)), most=float(numbers.max())) if numbers.size else _Numbers()
    )
