"""PASTIS: patches of 1,280 m with Sentinel-2 series and declared parcels (Garnot and Landrieu, ICCV 2021).

The network here takes one date, so every crop shows one of its patch's clearer dates. The image is stretched
between percentiles of patch and date, as scenes are at run time; the means and deviations of
``NORM_S2_patch.json`` include clouds and are not used. Ground that nobody declared is known to be no parcel,
of unknown class; void parcels (mostly outside the patch) are unlabelled.
"""

from __future__ import annotations

import ast
import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geopanoptic.errors import UsageError
from geopanoptic.models.manifest import ClassSpec
from geopanoptic.training.datasets.channels import class_lookup, in_channels, thing_channels
from geopanoptic.training.datasets.settings import PastisData
from geopanoptic.training.datasets.stretch import stretched
from geopanoptic.training.patch import OUTPUT_SCALE, Patch
from geopanoptic.training.synthetic import BANDS
from geopanoptic.training.targets import IGNORED

CROPS = (
    "Meadow",
    "Soft winter wheat",
    "Corn",
    "Winter barley",
    "Winter rapeseed",
    "Spring barley",
    "Sunflower",
    "Grapevine",
    "Beet",
    "Winter triticale",
    "Winter durum wheat",
    "Fruits/vegetables/flowers",
    "Potatoes",
    "Leguminous fodder",
    "Soybeans",
    "Orchard",
    "Mixed cereal",
    "Sorghum",
)
"""Classes 1 to 18; 0 is background, 19 void."""
VOID = 19
_CLEAR_SHARE = 0.5
_CACHED_PATCHES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class PastisPatch:
    """Files of one patch and the dates of its series as YYYYMMDD, in the file's order."""

    images: Path
    target: Path
    parcels: Path
    dates: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pastis:
    """Crops of the patches of some folds. Channels of crops follow the class names; without a class of its
    name a crop is the only thing class there is."""

    patches: tuple[PastisPatch, ...]
    bands: tuple[str, ...]
    channel_of: NDArray[np.uint8]

    @classmethod
    def open(cls, settings: PastisData, *, bands: Sequence[str], classes: Sequence[ClassSpec]) -> Self:
        """Read ``metadata.geojson``. Raises ``UsageError`` where it is missing or the folds hold no patch."""
        patches = _patches(settings.folder, settings.folds)
        channel_of = class_lookup(dict(enumerate(CROPS, 1)), classes)
        things = thing_channels(classes)
        if len(things) == 1:
            channel_of[1:VOID] = np.where(channel_of[1:VOID] == IGNORED, things[0], channel_of[1:VOID])
        return cls(patches=patches, bands=tuple(bands), channel_of=channel_of)

    def draw(self, size_px: int, rng: np.random.Generator, *, sample: int) -> Patch:
        chosen = self.patches[rng.integers(len(self.patches))]
        date = rng.choice(_clear_dates(chosen))
        values = np.asarray(_load(chosen.images)[date])
        instances, target = _labels(chosen)
        valid = np.ones(target.shape, np.bool_)
        image, seen = in_channels(stretched(values, valid), valid, BANDS, self.bands)
        return Patch(
            image_chw=image,
            seen_chw=seen,
            instances_hw=instances.repeat(OUTPUT_SCALE, 0).repeat(OUTPUT_SCALE, 1),
            classes_hw=self.channel_of[target].repeat(OUTPUT_SCALE, 0).repeat(OUTPUT_SCALE, 1),
        ).random_window(size_px, rng)


def _patches(folder: Path, folds: Sequence[int]) -> tuple[PastisPatch, ...]:
    path = folder / "metadata.geojson"
    try:
        features = json.loads(path.read_text(encoding="utf-8"))["features"]
        rows = [feature["properties"] for feature in features]
        patches = tuple(
            PastisPatch(
                images=folder / "DATA_S2" / f"S2_{row['ID_PATCH']}.npy",
                target=folder / "ANNOTATIONS" / f"TARGET_{row['ID_PATCH']}.npy",
                parcels=folder / "ANNOTATIONS" / f"ParcelIDs_{row['ID_PATCH']}.npy",
                dates=_dates(row["dates-S2"]),
            )
            for row in rows
            if int(row["Fold"]) in folds
        )
    except (OSError, ValueError, KeyError, TypeError, SyntaxError) as error:
        raise UsageError(
            f"{path} is not the metadata of PASTIS: {type(error).__name__} {error}.",
            remedy="Give the folder that holds metadata.geojson, DATA_S2 and ANNOTATIONS.",
        ) from None
    if not patches:
        raise UsageError(
            f"{path} has no patch in fold {', '.join(map(str, folds))}; it has {_shown_folds(rows)}.",
            remedy="Choose other folds (1 to 5).",
        )
    return patches


def _shown_folds(rows: Sequence[dict[str, Any]]) -> str:
    return "folds " + ", ".join(sorted({str(row["Fold"]) for row in rows}))


def _dates(stored: dict[str, int] | str) -> tuple[int, ...]:
    """Dates in the order of the series; some releases store the mapping as text, even with single quotes."""
    mapping = ast.literal_eval(stored) if isinstance(stored, str) else stored
    return tuple(int(mapping[key]) for key in sorted(mapping, key=int))


def _load(path: Path) -> NDArray[Any]:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}.", remedy="Fetch the data set again.") from None


@functools.lru_cache(maxsize=_CACHED_PATCHES)
def _clear_dates(patch: PastisPatch) -> NDArray[np.intp]:
    """Numbers of the dates whose median blue is in the lower half: clouds and snow are bright in blue."""
    series = _load(patch.images)
    if series.ndim != 4 or series.shape[1] != len(BANDS) or len(series) != len(patch.dates):
        raise UsageError(
            f"{patch.images} is {series.shape}; ({len(patch.dates)}, {len(BANDS)}, 128, 128) was expected.",
            remedy="Fetch the data set again.",
        )
    blue = np.median(series[:, 0], axis=(1, 2))
    return np.flatnonzero(blue <= np.quantile(blue, _CLEAR_SHARE))


@functools.lru_cache(maxsize=_CACHED_PATCHES)
def _labels(patch: PastisPatch) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Instances (renumbered from 1, 0 background, -1 void) and crop numbers, (128, 128)."""
    target = np.asarray(_load(patch.target))[0].astype(np.uint8)
    parcels = np.asarray(_load(patch.parcels))
    _, index = np.unique(parcels, return_inverse=True)
    instances = (index.reshape(parcels.shape) + 1).astype(np.int32)
    instances[target == 0] = 0
    instances[target == VOID] = -1
    return instances, target
