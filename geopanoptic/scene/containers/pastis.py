"""Patches of PASTIS (Panoptic Agricultural Satellite TIme Series) as scenes of many dates.

``DATA_S2/S2_<id>.npy`` holds the numbers (T, 10, 128, 128) of bands B02 to B12; days, tile and place are in the
``metadata.geojson`` of the data set, one folder above. There the patch is a polygon in EPSG:2154; in the UTM zone
of its Sentinel-2 tile it is the exact box of 1280 m that the pixels lie on.

Source: https://github.com/VSainteuf/pastis-benchmark, documentation and reference reader.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
from affine import Affine

from geopanoptic.errors import SceneError
from geopanoptic.grid import Grid
from geopanoptic.scene.bands.headers import BandHeader, FileHeader
from geopanoptic.scene.bands.naming import NamedBand
from geopanoptic.scene.containers.contents import Contents
from geopanoptic.scene.files.documents import read_json
from geopanoptic.scene.files.patch_file import MAGIC, PatchFile, mapped
from geopanoptic.scene.files.sources import files_in, is_file, resolve, shown

BANDS = (
    "blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22",
)  # fmt: skip
"""Of the files' channels, in their order."""

METADATA = "metadata.geojson"
NODATA = -10_000
"""What the Theia products that the patches were cut from write outside their images."""
LAMBERT_93 = "EPSG:2154"
"""CRS of the patches' outlines."""

_NAME = re.compile(r"S2_(\d+)\.npy")
_TILE = re.compile(r"t?(\d{2})([c-hj-np-x])[a-z]{2}", re.IGNORECASE)
_OFF_GRID_PX = 0.01
_DATES_CHARACTERS = 100_000


def is_patch(path: Path) -> bool:
    """Whether a file is a NumPy array named as a Sentinel-2 patch of PASTIS."""
    if _NAME.fullmatch(path.name) is None or not is_file(path):
        return False
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def patches_in(folder: Path) -> list[Path]:
    """The patches in a folder, by their number. Raises SceneError for a folder that cannot be listed."""
    return [path for path in files_in(folder) if is_patch(path)]


def read_patch(path: Path) -> Contents:
    """The patch with its dates and its place in UTM. No pixel is read.

    Two images of one day (adjoining orbits) are one date: the first counts, and a warning names the day.

    Raises SceneError: damaged or of another shape, no metadata one folder above, the patch is not in them, or
    dates, tile or polygon do not fit the file.
    """
    resolved = resolve(path)
    source = _source(resolved, path.name)
    metadata = _metadata_of(resolved)
    document = read_json(metadata)
    patch = _NAME.fullmatch(resolved.name)
    feature = _feature(document, patch[1] if patch else "", metadata)
    dates = _dates(feature["properties"], source, metadata)
    grid = _grid(feature, document, source, metadata)
    named, repeated = [], []
    seen: set[date] = set()
    for position, when in enumerate(dates):
        if when in seen:
            repeated.append(when)
            continue
        seen.add(when)
        file = _file(source, grid, position)
        named += [
            NamedBand(file=file, header=header, band=band, date=when)
            for header, band in zip(file.bands, BANDS, strict=True)
        ]
    return Contents(
        name=shown(path.name.removesuffix(".npy")),
        bands=tuple(named),
        warnings=tuple(
            f"{shown(path.name)}: {when} comes again; its first image is used." for when in repeated
        ),
    )


def days_of_images(stated: Any) -> tuple[date, ...]:
    """The day of each image of a patch, in the order of the file. Raises ValueError for anything else.

    Versions of the data set state a dictionary, or its text with double or single quotes. Its keys are numbers in
    the images' order, from 0 in the published files.
    """
    try:
        if isinstance(stated, str) and len(stated) <= _DATES_CHARACTERS:
            stated = json.loads(stated) if '"' in stated else ast.literal_eval(stated)
        days = {int(number): date.fromisoformat(str(day)) for number, day in stated.items()}
    except (TypeError, AttributeError, SyntaxError, OverflowError, RecursionError, MemoryError):
        raise ValueError('dates are expected like {"0": 20180924, "1": 20180929, ...}') from None
    return tuple(day for _, day in sorted(days.items()))


def _metadata_of(patch: Path) -> Path:
    metadata = patch.parent.parent / METADATA
    if not is_file(metadata):
        raise SceneError(
            f"{shown(patch)} is a patch of PASTIS, but {shown(metadata)}, which states its place and dates, is not "
            "there.",
            remedy=f"Keep the patch in the folder DATA_S2 of the data set, and {METADATA} beside that folder.",
        )
    return metadata


def _source(path: Path, name: str) -> PatchFile:
    status, numbers = path.stat(), mapped(path)
    if (
        numbers.ndim != 4
        or numbers.shape[1] != len(BANDS)
        or 0 in numbers.shape
        or numbers.dtype.kind not in "iuf"
    ):
        raise SceneError(
            f"{shown(path)} holds {numbers.dtype} of shape {numbers.shape}; a patch of PASTIS holds numbers of "
            f"shape (dates, {len(BANDS)}, rows, columns).",
            remedy="Give a file of DATA_S2.",
        )
    return PatchFile(
        path=path,
        name=name,
        shape_tchw=numbers.shape,  # type: ignore[arg-type]
        dtype=numbers.dtype.name,
        size_bytes=status.st_size,
        mtime_ns=status.st_mtime_ns,
    )


def _feature(document: Any, patch: str, metadata: Path) -> dict[str, Any]:
    features = document.get("features") if isinstance(document, dict) else None
    if not isinstance(features, list):
        raise SceneError(f"{shown(metadata)} is no GeoJSON of patches.", remedy="Download it again.")
    for feature in features:
        properties = feature.get("properties") if isinstance(feature, dict) else None
        if isinstance(properties, dict) and str(properties.get("ID_PATCH")) == patch:
            return {**feature, "properties": properties}
    raise SceneError(
        f"{shown(metadata)} does not list the patch {patch} ({len(features)} others).",
        remedy="Keep the file beside the data set that it came with.",
    )


def _dates(properties: dict[str, Any], source: PatchFile, metadata: Path) -> tuple[date, ...]:
    try:
        days = days_of_images(properties.get("dates-S2"))
    except ValueError:
        raise SceneError(
            f"{shown(metadata)} states no usable dates-S2 for {shown(source.name)}.",
            remedy='They look like {"0": 20180924, "1": 20180929, ...}; download the metadata again.',
        ) from None
    count = source.shape_tchw[0]
    if len(days) != count:
        raise SceneError(
            f"{shown(source.path)} holds {count} images, but {shown(metadata)} states {len(days)} dates for it.",
            remedy="Keep both from the same download.",
        )
    return days


def _grid(feature: dict[str, Any], document: dict[str, Any], source: PatchFile, metadata: Path) -> Grid:
    tile = _TILE.fullmatch(str(feature["properties"].get("TILE", "")))
    if tile is None or not 1 <= int(tile[1]) <= 60:
        raise _misplaced(
            source, metadata, f"the tile {feature['properties'].get('TILE')!r} is no Sentinel-2 tile"
        )
    south = tile[2].upper() < "N"
    crs = pyproj.CRS.from_epsg((32_700 if south else 32_600) + int(tile[1]))
    try:
        points = np.array(list(_points(feature["geometry"]["coordinates"])), np.float64).reshape(-1, 2)
        stated = document.get("crs", {}).get("properties", {}).get("name", LAMBERT_93)
        to_utm = pyproj.Transformer.from_crs(pyproj.CRS.from_user_input(stated), crs, always_xy=True)
        xs, ys = to_utm.transform(points[:, 0], points[:, 1])
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        RecursionError,
        pyproj.exceptions.ProjError,
    ) as error:
        raise _misplaced(source, metadata, f"its polygon cannot be read ({error})") from None
    if not len(points) or not all(map(math.isfinite, (*xs, *ys))):
        raise _misplaced(source, metadata, "its polygon lies nowhere in the tile's UTM zone")
    height, width = source.shape_tchw[2:]
    left, top = min(xs), max(ys)
    col_m, row_m = (max(xs) - left) / width, (top - min(ys)) / height
    # Corners of the box, whichever point each is: a skewed polygon has points elsewhere.
    skew_m = max(min(x - left, max(xs) - x) + min(y - min(ys), top - y) for x, y in zip(xs, ys, strict=True))
    if not col_m > 0 or abs(row_m - col_m) * height > _OFF_GRID_PX * col_m or skew_m > _OFF_GRID_PX * col_m:
        raise _misplaced(
            source, metadata, "its polygon is no upright square of pixels in the tile's UTM zone"
        )
    # To a micrometre: the reprojection leaves noise below that.
    left, top, step_m = round(left, 6), round(top, 6), round(col_m, 6)
    transform = Affine(step_m, 0, left, 0, -step_m, top)
    return Grid(crs_wkt=crs.to_wkt("WKT2_2019"), transform=transform, height=height, width=width)


def _points(coordinates: Any) -> Iterator[tuple[float, float]]:
    """Every point of a polygon or multipolygon."""
    if coordinates and isinstance(coordinates[0], int | float):
        yield float(coordinates[0]), float(coordinates[1])
        return
    for part in coordinates:
        yield from _points(part)


def _misplaced(source: PatchFile, metadata: Path, why: str) -> SceneError:
    return SceneError(
        f"{shown(source.name)} cannot be placed: {why}, says {shown(metadata)}.",
        remedy="Keep the metadata beside the data set that they came with.",
    )


def _file(source: PatchFile, grid: Grid, position: int) -> FileHeader:
    first = position * len(BANDS) + 1
    return FileHeader(
        source=source,
        grid=grid,
        bands=tuple(
            BandHeader(
                index=first + number,
                description=band,
                tags=(),
                dtype=source.dtype,
                nodata=float(NODATA),
                scale=1.0,
                offset=0.0,
                colour="other",
                has_mask_band=False,
            )
            for number, band in enumerate(BANDS)
        ),
        tags=(),
        crs_assumed=False,
        block_shape=grid.shape,
        block_bytes=0,
    )
