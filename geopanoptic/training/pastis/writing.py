"""Data in the published format of PASTIS, from any series of images with parcels.

Written as the published files are read: classes in the first of three planes, dates as a mapping, outlines in
EPSG:2154, the official centre heat and zones beside the instances. The metadata come last, so a folder that is
not finished is no PASTIS folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray

from geopanoptic.errors import OutputError, UsageError
from geopanoptic.training.pastis.folder import (
    BANDS_OF,
    METADATA,
    PATCH_PX,
    VOID,
    PastisFolder,
    PastisPatch,
    Sensor,
)
from geopanoptic.training.pastis.normalisation import moments_of
from geopanoptic.training.pastis.targets import centre_targets, numbered

PIXEL_M = 10.0
_LAMBERT_93 = "EPSG:2154"
_STORED: Mapping[Sensor, type[np.generic]] = {"S2": np.int16, "S1A": np.float16, "S1D": np.float16}


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedImages:
    """``values_tchw`` (T, bands of the sensor, 128, 128) and a date for each; in any order, also repeated."""

    dates: tuple[date, ...]
    values_tchw: NDArray[np.generic]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPatch:
    """One patch to be written.

    fold
        1 to 5.
    zone
        UTM zone of the northern hemisphere, 1 to 60; ``corner_xy`` is the upper left corner in it, metres.
    images
        By sensor; Sentinel-2 as digital numbers (reflectance x 10,000).
    parcels_hw, target_hw
        Parcel ids and classes 0 to 19, (128, 128).
    """

    number: int
    fold: int
    zone: int
    corner_xy: tuple[float, float]
    images: Mapping[Sensor, DatedImages]
    parcels_hw: NDArray[np.integer]
    target_hw: NDArray[np.integer]


def write_pastis(path: Path, seasons: Iterable[LabelledPatch]) -> PastisFolder:
    """Write every patch and the metadata; return the folder as it reads.

    Raises ``OutputError`` where ``path`` holds such data already or cannot be written, ``UsageError`` for a patch
    that the format cannot hold.
    """
    if (path / METADATA).exists():
        raise OutputError(f"{path} holds PASTIS data already.", remedy="Name a new folder.")
    try:
        features = [_write_patch(path, season) for season in seasons]
        metadata = {
            "type": "FeatureCollection",
            "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::2154"}},
            "features": features,
        }
        unfinished = path / f".{METADATA}"
        unfinished.write_text(json.dumps(metadata, indent=1), encoding="utf-8")
        unfinished.rename(path / METADATA)
        folder = PastisFolder.open(path)
        _write_moments(folder)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}.", remedy="Name another folder."
        ) from None
    return folder


def _write_patch(path: Path, season: LabelledPatch) -> dict[str, Any]:
    """Write the arrays of one patch; return its entry of the metadata."""
    _check_labels(season)
    instances_hw = numbered(season.parcels_hw, season.target_hw)
    targets = centre_targets(instances_hw)
    arrays = {
        f"DATA_{sensor}/{sensor}": _stored(season, sensor, images) for sensor, images in season.images.items()
    } | {
        "ANNOTATIONS/TARGET": np.stack([season.target_hw] * 3).astype(np.uint8),
        "ANNOTATIONS/ParcelIDs": season.parcels_hw.astype(np.int32),
        "INSTANCE_ANNOTATIONS/INSTANCES": instances_hw,
        "INSTANCE_ANNOTATIONS/HEATMAP": targets.heatmap_hw,
        "INSTANCE_ANNOTATIONS/ZONES": targets.zones_hw,
    }
    for name, array in arrays.items():
        file = path / f"{name}_{season.number}.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, array)
    dates = {
        f"dates-{sensor}": {str(n): int(f"{when:%Y%m%d}") for n, when in enumerate(images.dates)}
        for sensor, images in season.images.items()
    }
    properties = {
        "ID_PATCH": season.number,
        "Fold": season.fold,
        "TILE": f"t{season.zone:02d}xxx",  # readers look at the zone only
        "N_Parcel": int(instances_hw.max(initial=0)),
        "Parcel_Cover": float((instances_hw > 0).mean()),
        **dates,
    }
    return {"type": "Feature", "properties": properties, "geometry": _outline(season)}


def _check_labels(season: LabelledPatch) -> None:
    shape = (PATCH_PX, PATCH_PX)
    if season.parcels_hw.shape != shape or season.target_hw.shape != shape:
        raise UsageError(
            f"Patch {season.number}: labels are {season.parcels_hw.shape} and {season.target_hw.shape}; {shape} was "
            "expected.",
            remedy=f"Cut the labels to {PATCH_PX} pixels a side.",
        )
    low, high = int(season.target_hw.min()), int(season.target_hw.max())
    if low < 0 or high > VOID or season.fold not in range(1, 6) or season.zone not in range(1, 61):
        raise UsageError(
            f"Patch {season.number}: classes {low} to {high}, fold {season.fold}, zone {season.zone}; 0 to {VOID}, "
            "1 to 5 and 1 to 60 were expected.",
            remedy="Number classes, folds and zones as PASTIS does.",
        )
    if "S2" not in season.images:
        raise UsageError(f"Patch {season.number} has no Sentinel-2 images.", remedy="Give images of S2.")


def _stored(season: LabelledPatch, sensor: Sensor, images: DatedImages) -> NDArray[np.generic]:
    """The values in the type of the published files, none of them changed."""
    values = images.values_tchw
    shape = (len(images.dates), len(BANDS_OF[sensor]), PATCH_PX, PATCH_PX)
    if values.shape != shape:
        raise UsageError(
            f"Patch {season.number}: the images of {sensor} are {values.shape}; {shape} was expected.",
            remedy="Give one image of all bands for every date.",
        )
    kind = _STORED[sensor]
    if np.issubdtype(kind, np.integer):
        limits = np.iinfo(kind)  # type: ignore[type-var]
        if values.min(initial=0) < limits.min or values.max(initial=0) > limits.max:
            raise UsageError(
                f"Patch {season.number}: the images of {sensor} reach from {values.min()} to {values.max()}; "
                f"{limits.min} to {limits.max} can be stored.",
                remedy="Give digital numbers: reflectance x 10,000.",
            )
        values = np.rint(values)
    return values.astype(kind)


def _outline(season: LabelledPatch) -> dict[str, Any]:
    """The patch as a GeoJSON multipolygon in Lambert 93."""
    left, top = season.corner_xy
    side = PATCH_PX * PIXEL_M
    xs, ys = [left, left + side, left + side, left, left], [top, top, top - side, top - side, top]
    to_lambert = pyproj.Transformer.from_crs(f"EPSG:326{season.zone:02d}", _LAMBERT_93, always_xy=True)
    ring = [[float(x), float(y)] for x, y in zip(*to_lambert.transform(xs, ys), strict=True)]
    return {"type": "MultiPolygon", "coordinates": [[ring]]}


def _write_moments(folder: PastisFolder) -> None:
    """``NORM_<sensor>_patch.json`` of every sensor that all folds have."""
    folds = sorted({patch.fold for patch in folder.patches})
    for sensor in BANDS_OF:
        by_fold: dict[int, list[PastisPatch]] = {fold: [] for fold in folds}
        for patch in folder.patches:
            if sensor in patch.dates:
                by_fold[patch.fold].append(patch)
        if not folds or not all(by_fold.values()):
            continue
        stored = {}
        for fold, patches in by_fold.items():
            each = moments_of(folder, patches, sensor)
            stored[f"Fold_{fold}"] = {"mean": each.mean.tolist(), "std": each.std.tolist()}
        folder.norm_path(sensor).write_text(json.dumps(stored, indent=4), encoding="utf-8")
