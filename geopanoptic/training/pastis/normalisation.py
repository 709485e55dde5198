"""Fixed normalisation of PASTIS: means and deviations of the training folds, and of no other.

The reference code normalises validation and test patches by their own fold, which tells the network about data
it must not know; here every patch of an experiment is normalised alike, and the bundle carries the ranges.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geopanoptic.errors import UsageError
from geopanoptic.training.pastis.folder import BANDS_OF, PastisFolder, PastisPatch, Sensor
from geopanoptic.wording import fault

# A band of this mean and deviation is brought to 0.4 and 0.25, which the network expects of its input.
_BELOW, _ABOVE = 1.6, 2.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Mean and standard deviation of every band in stored units, float64 (bands,)."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    @classmethod
    def averaged(cls, each: Sequence[Moments]) -> Moments:
        return cls(
            mean=np.mean([one.mean for one in each], axis=0), std=np.mean([one.std for one in each], axis=0)
        )

    @property
    def ranges(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The stored values (bands,) that become 0 and 1."""
        return self.mean - _BELOW * self.std, self.mean + _ABOVE * self.std


def moments(folder: PastisFolder, folds: Sequence[int], sensor: Sensor) -> Moments:
    """From ``NORM_<sensor>_patch.json``, averaged over ``folds``; computed from the images where it is absent.

    Raises ``UsageError`` where the file lacks a fold or bands, or the folds hold no patch of the sensor.
    """
    path = folder.norm_path(sensor)
    if not path.exists():
        return Moments.averaged([_of_fold(folder, fold, sensor) for fold in folds])
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        of_folds = [
            Moments(
                mean=np.array(stored[f"Fold_{fold}"]["mean"], np.float64),
                std=np.array(stored[f"Fold_{fold}"]["std"], np.float64),
            )
            for fold in folds
        ]
        if any(
            each.mean.shape != each.std.shape or len(each.std) != len(BANDS_OF[sensor]) for each in of_folds
        ):
            raise ValueError(f"{len(BANDS_OF[sensor])} means and deviations were expected in every fold")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} does not hold the moments of the folds {', '.join(map(str, folds))}: {fault(error)}.",
            remedy="Fetch it again, or remove it: the moments are then computed from the images.",
        ) from None
    return Moments.averaged(of_folds)


def moments_of(folder: PastisFolder, patches: Sequence[PastisPatch], sensor: Sensor) -> Moments:
    """Means over patches of the moments over dates and pixels, as the published file has them."""
    of_patches = []
    for patch in patches:
        values = np.asarray(folder.series(patch, sensor)).astype(np.float32)
        pixels = np.moveaxis(values, 1, 0).reshape(values.shape[1], -1)
        of_patches.append(
            Moments(
                mean=np.nanmean(pixels, axis=1, dtype=np.float64),
                std=np.nanstd(pixels, axis=1, dtype=np.float64),
            )
        )
    return Moments.averaged(of_patches)


@functools.lru_cache(maxsize=32)
def _of_fold(folder: PastisFolder, fold: int, sensor: Sensor) -> Moments:
    patches = tuple(patch for patch in folder.in_folds([fold]) if patch.dates.get(sensor))
    if not patches:
        raise UsageError(
            f"{folder.path} has no image of {sensor} in fold {fold}.",
            remedy="Get PASTIS-R, or leave the radar out.",
        )
    return moments_of(folder, patches, sensor)
