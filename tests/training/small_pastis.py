"""A small PASTIS folder with a known season: five patches, one per fold, fields that differ in phenology.

As the published files are read: classes in the first of three planes, dates as a mapping, outlines in EPSG:2154.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray

from geopanoptic.scene.containers.pastis import LAMBERT_93, METADATA
from geopanoptic.training.pastis.folder import PATCH_PX, VOID, PastisFolder, PastisPatch, Sensor
from geopanoptic.training.pastis.normalisation import moments_of

PIXEL_M = 10.0
ZONE = 31  # of UTM, north
CORN, WHEAT, MEADOW = 3, 2, 1
DATES = tuple(date(2019, 3, 1) + timedelta(days=30 * step) for step in range(6))
_FIELD_PX = 16
_PEAK_MONTH = {MEADOW: 6.0, WHEAT: 5.0, CORN: 8.0, 0: 20.0, VOID: 7.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedImages:
    """``values_tchw`` as stored (T, bands of the sensor, 128, 128) and a date for each."""

    dates: tuple[date, ...]
    values_tchw: NDArray[np.generic]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPatch:
    """``corner_xy``: the upper left corner in the UTM zone, metres; parcel ids and classes are (128, 128)."""

    number: int
    fold: int
    corner_xy: tuple[float, float]
    images: Mapping[Sensor, DatedImages]
    parcels_hw: NDArray[np.integer]
    target_hw: NDArray[np.integer]


def season_of(number: int, *, radar: bool = False) -> LabelledPatch:
    """A patchwork of square fields, every fourth square background, one void; some days come twice."""
    rng = np.random.default_rng(number)
    squares = PATCH_PX // _FIELD_PX
    crops = rng.choice([0, MEADOW, WHEAT, CORN], (squares, squares))
    crops[0, 0] = VOID
    ids = np.where(crops > 0, rng.permutation(squares**2).reshape(squares, squares) + 9000, 0)
    block = np.ones((_FIELD_PX, _FIELD_PX), np.int64)
    target, parcels = np.kron(crops, block), np.kron(ids, block)
    dates = (*DATES[::-1], DATES[2])
    images: dict[Sensor, DatedImages] = {
        "S2": DatedImages(dates=dates, values_tchw=_optical(target, dates, rng))
    }
    if radar:
        values = rng.normal(-12, 3, (3, 3, PATCH_PX, PATCH_PX)).astype(np.float16)
        images["S1A"] = DatedImages(dates=DATES[:3], values_tchw=values)
        images["S1D"] = DatedImages(dates=DATES[3:], values_tchw=values + np.float16(1))
    return LabelledPatch(
        number=10_000 + number,
        fold=number % 5 + 1,
        corner_xy=(600_000.0 + 1280 * number, 5_000_000.0),
        images=images,
        parcels_hw=parcels,
        target_hw=target,
    )


def write_small(path: Path, *, patches: int = 5, radar: bool = False) -> PastisFolder:
    """As many patches as asked for, their folds in turn; the metadata and the moments of every fold."""
    features = [_write_patch(path, season_of(number, radar=radar)) for number in range(patches)]
    (path / METADATA).write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    folder = PastisFolder.open(path)
    for sensor in ("S2", "S1A", "S1D") if radar else ("S2",):
        _write_moments(folder, sensor)
    return folder


def _write_patch(path: Path, season: LabelledPatch) -> dict[str, Any]:
    """Write the arrays of one patch; return its entry of the metadata."""
    arrays = {f"DATA_{sensor}/{sensor}": images.values_tchw for sensor, images in season.images.items()} | {
        "ANNOTATIONS/TARGET": np.stack([season.target_hw] * 3).astype(np.uint8),
        "ANNOTATIONS/ParcelIDs": season.parcels_hw.astype(np.int32),
    }
    for name, array in arrays.items():
        file = path / f"{name}_{season.number}.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, array)
    dates = {
        f"dates-{sensor}": {str(n): int(f"{when:%Y%m%d}") for n, when in enumerate(images.dates)}
        for sensor, images in season.images.items()
    }
    properties = {"ID_PATCH": season.number, "Fold": season.fold, "TILE": f"t{ZONE}xxx", **dates}
    return {"type": "Feature", "properties": properties, "geometry": _outline(season.corner_xy)}


def _outline(corner_xy: tuple[float, float]) -> dict[str, Any]:
    """The patch as a GeoJSON multipolygon in Lambert 93."""
    left, top = corner_xy
    side = PATCH_PX * PIXEL_M
    xs, ys = [left, left + side, left + side, left, left], [top, top, top - side, top - side, top]
    to_lambert = pyproj.Transformer.from_crs(f"EPSG:326{ZONE}", LAMBERT_93, always_xy=True)
    ring = [[float(x), float(y)] for x, y in zip(*to_lambert.transform(xs, ys), strict=True)]
    return {"type": "MultiPolygon", "coordinates": [[ring]]}


def _write_moments(folder: PastisFolder, sensor: Sensor) -> None:
    """``NORM_<sensor>_patch.json``."""
    by_fold: dict[int, list[PastisPatch]] = {}
    for patch in folder.patches:
        by_fold.setdefault(patch.fold, []).append(patch)
    stored = {}
    for fold, patches in by_fold.items():
        each = moments_of(folder, patches, sensor)
        stored[f"Fold_{fold}"] = {"mean": each.mean.tolist(), "std": each.std.tolist()}
    folder.norm_path(sensor).write_text(json.dumps(stored))


def _optical(
    target: NDArray[np.int64], dates: tuple[date, ...], rng: np.random.Generator
) -> NDArray[np.int16]:
    """Near infrared rises and red falls around the month in which a crop is greenest."""
    values = np.full((len(dates), 10, *target.shape), 900.0)
    peak = np.vectorize(_PEAK_MONTH.__getitem__)(target)
    for image, when in zip(values, dates, strict=True):
        green = np.exp(-(((when.month - peak) / 1.5) ** 2))
        image[2] = 1200 - 900 * green
        image[3:8] = 1500 + 2500 * green
    return np.rint(values + rng.normal(0, 40, values.shape)).astype(np.int16)
