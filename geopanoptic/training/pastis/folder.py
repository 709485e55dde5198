"""The PASTIS folder as it is published: what is where, and how its metadata are to be read.

Compatible with the quirks of the releases (dates as a mapping or as text with either quotes, out of order,
repeated), and strict where the files contradict the metadata.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from geopanoptic.errors import UsageError
from geopanoptic.npy import map_npy
from geopanoptic.scene.containers.pastis import BANDS, METADATA, days_of_images
from geopanoptic.training.pastis.targets import numbered

Sensor = Literal["S2", "S1A", "S1D"]
"""Sentinel-2, and Sentinel-1 on ascending and descending orbits (PASTIS-R)."""
SENSORS: tuple[Sensor, ...] = get_args(Sensor)
RADAR_BANDS = ("vv", "vh", "vv_vh")
"""Backscatter of the two polarisations in decibels, and their difference."""
BANDS_OF: Mapping[Sensor, tuple[str, ...]] = {"S2": BANDS, "S1A": RADAR_BANDS, "S1D": RADAR_BANDS}
"""Names of the channels of every sensor's files, in their order."""

PATCH_PX = 128
VOID = 19
"""Class of parcels that lie mostly outside their patch; they are neither taught nor scored."""
CROPS = (
    "Meadow", "Soft winter wheat", "Corn", "Winter barley", "Winter rapeseed", "Spring barley", "Sunflower",
    "Grapevine", "Beet", "Winter triticale", "Winter durum wheat", "Fruits/vegetables/flowers", "Potatoes",
    "Leguminous fodder", "Soybeans", "Orchard", "Mixed cereal", "Sorghum",
)  # fmt: skip
"""Classes 1 to 18; 0 is background, 19 void."""
BACKGROUND = "Background"

_FETCH = "Fetch the data set again."
_CACHED_PATCHES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class PastisPatch:
    """One patch in the metadata; ``dates`` of every sensor in the order of its file. Equal by its number."""

    number: int
    fold: int = field(compare=False)
    tile: str = field(compare=False)
    dates: Mapping[Sensor, tuple[date, ...]] = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PastisLabels:
    """``instances_hw`` int32: parcels 1..n of the classes 1 to 19, 0 background; ``target_hw`` uint8 class."""

    instances_hw: NDArray[np.int32]
    target_hw: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class PastisFolder:
    """A folder with ``metadata.geojson``, ``DATA_S2``, ``ANNOTATIONS`` and, of PASTIS-R, ``DATA_S1A`` and so on."""

    path: Path
    patches: tuple[PastisPatch, ...] = field(compare=False)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the metadata. Raises ``UsageError`` where they are missing or mean something else."""
        file = path / METADATA
        try:
            features = json.loads(file.read_text(encoding="utf-8"))["features"]
            patches = tuple(_patch(feature["properties"]) for feature in features)
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            OverflowError,
            RecursionError,
        ) as error:
            raise UsageError(
                f"{file} is not the metadata of PASTIS: {type(error).__name__} {error}.",
                remedy="Give the folder that holds metadata.geojson, DATA_S2 and ANNOTATIONS.",
            ) from None
        repeated = len(patches) - len(set(patches))
        if repeated:
            raise UsageError(f"{file} names {repeated} patches more than once.", remedy=_FETCH)
        return cls(path=path, patches=patches)

    def in_folds(self, folds: Sequence[int]) -> tuple[PastisPatch, ...]:
        """The patches of some folds in the metadata's order. Raises ``UsageError`` where there is none."""
        chosen = tuple(each for each in self.patches if each.fold in folds)
        if not chosen:
            there = ", ".join(str(fold) for fold in sorted({each.fold for each in self.patches}))
            raise UsageError(
                f"{self.path / METADATA} has no patch in fold {', '.join(map(str, folds))}; it has folds "
                f"{there or 'none'}.",
                remedy="Choose other folds (1 to 5).",
            )
        return chosen

    def image_path(self, patch: PastisPatch, sensor: Sensor) -> Path:
        return self.path / f"DATA_{sensor}" / f"{sensor}_{patch.number}.npy"

    def norm_path(self, sensor: Sensor) -> Path:
        return self.path / f"NORM_{sensor}_patch.json"

    def series(self, patch: PastisPatch, sensor: Sensor) -> NDArray[np.generic]:
        """Values as stored (T, bands, h, w), T in the file's order, mapped from disk.

        Raises ``UsageError`` where the file is missing or its dates are not those of the metadata.
        """
        path = self.image_path(patch, sensor)
        values = _load(path)
        n_dates, n_bands = len(patch.dates.get(sensor, ())), len(BANDS_OF[sensor])
        if values.shape != (n_dates, n_bands, PATCH_PX, PATCH_PX):
            raise UsageError(
                f"{path} is {values.shape}; ({n_dates}, {n_bands}, {PATCH_PX}, {PATCH_PX}) was expected: "
                f"{METADATA} lists {n_dates} dates of {sensor}.",
                remedy=_FETCH,
            )
        return values

    @functools.lru_cache(maxsize=_CACHED_PATCHES)  # noqa: B019  a folder is a small value, equal by its path
    def labels(self, patch: PastisPatch) -> PastisLabels:
        """Parcels and classes of a patch. Raises ``UsageError`` where the files are missing or do not fit."""
        annotations = self.path / "ANNOTATIONS"
        target_path = annotations / f"TARGET_{patch.number}.npy"
        target = _load(target_path)
        parcels = np.asarray(_load(annotations / f"ParcelIDs_{patch.number}.npy"))
        target_hw = np.asarray(target[0] if target.ndim == 3 else target)
        if not target_hw.shape == parcels.shape == (PATCH_PX, PATCH_PX):
            raise UsageError(
                f"Patch {patch.number} in {annotations} has classes of {target_hw.shape} pixels and parcels of "
                f"{parcels.shape}; ({PATCH_PX}, {PATCH_PX}) were expected.",
                remedy=_FETCH,
            )
        if target_hw.min() < 0 or target_hw.max() > VOID:
            raise UsageError(
                f"{target_path} holds classes {target_hw.min()} to {target_hw.max()}; 0 to {VOID} were expected.",
                remedy=_FETCH,
            )
        return PastisLabels(
            instances_hw=numbered(parcels, target_hw), target_hw=np.ascontiguousarray(target_hw, np.uint8)
        )


def _patch(properties: Mapping[str, Any]) -> PastisPatch:
    return PastisPatch(
        number=int(properties["ID_PATCH"]),
        fold=int(properties["Fold"]),
        tile=str(properties.get("TILE", "")).lower(),
        dates={
            sensor: days_of_images(properties[f"dates-{sensor}"])
            for sensor in SENSORS
            if sensor == "S2" or properties.get(f"dates-{sensor}")
        },
    )


def _load(path: Path) -> NDArray[Any]:
    try:
        return map_npy(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}.", remedy=_FETCH) from None
