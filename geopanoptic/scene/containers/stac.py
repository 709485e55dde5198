"""STAC items as scenes: assets named by their metadata, radiometry and masks as stated, one date per item.

A band is an asset, or one of several in it, by its name (``B04``) on the item's platform, else by its common name,
else by the asset's key. Where a band comes several times (at several resolutions, as TIFF and JPEG 2000) the
finest counts, then the TIFF. Scale, offset and nodata are the file's own, else those of the raster extension; an
offset counts as 0 where the item says that it was applied already (``earthsearch:boa_offset_applied``).

Sources: STAC 1.0 and 1.1; extensions eo 1.0 to 2.0, raster 1.1 and 2.0, projection.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from geopanoptic.errors import SceneError
from geopanoptic.scene.bands.bandnames import (
    REFLECTANCE_BANDS,
    Sensor,
    band_code,
    common_name,
    name_of_code,
    sensor_of,
)
from geopanoptic.scene.bands.filenames import parse
from geopanoptic.scene.bands.headers import BandHeader, FileHeader, read_header
from geopanoptic.scene.bands.masking import MASK_WORDS, NamedMask, mask_of
from geopanoptic.scene.bands.naming import NamedBand
from geopanoptic.scene.containers.contents import Contents
from geopanoptic.scene.containers.stac_links import Item, target
from geopanoptic.scene.files.sources import shown

_LANDSAT = (Sensor.LANDSAT_4_7, Sensor.LANDSAT_8_9)
_OVERVIEWS = frozenset({"overview", "thumbnail", "metadata"})
_RASTERS = ("image/tiff", "image/vnd.stac.geotiff", "image/jp2", "image/geotiff", "application/x-geotiff")
_SUFFIXES = (".tif", ".tiff", ".jp2")
_STEP_IN_KEY = re.compile(r"_(\d+)m$")
_APPLIED = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
_BASELINES = ("s2:processing_baseline", "sentinel2:processing_baseline", "processing:version")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """One band of one asset: ``name`` canonical, or the word that a mask is named with; ``stated`` about it."""

    name: str
    key: str
    href: str
    index: int
    stated: dict[str, Any]
    step_m: float
    is_tiff: bool
    is_visual: bool


def date_of_item(item: Item) -> date:
    """The UTC day of an item (``datetime``, else ``start_datetime``). Raises SceneError without one."""
    properties = _properties(item)
    stated = properties.get("datetime") or properties.get("start_datetime")
    try:
        when = datetime.fromisoformat(str(stated))
        return (when.astimezone(UTC) if when.tzinfo else when).date()
    except (ValueError, OverflowError):
        raise SceneError(
            f"The STAC item {item.name} in {item.place.shown} states no usable datetime ({stated!r}).",
            remedy="Its properties need a datetime like 2021-06-15T10:15:59Z.",
        ) from None


def read_item(item: Item, *, only: frozenset[str] | None = None) -> Contents:
    """The bands (``only`` those, where given) and masks of one item, by headers only.

    Raises SceneError: no datetime, no asset that is a band, an asset that is missing, damaged or at a place
    that the item may not name.
    """
    when, properties = date_of_item(item), _properties(item)
    files: dict[str, FileHeader] = {}
    bands: list[NamedBand] = []
    masks: list[NamedMask] = []
    for found in _chosen(item, only):
        if found.href not in files:
            files[found.href] = _opened(found, item)
        file = files[found.href]
        if found.index > len(file.bands):
            raise SceneError(
                f"The STAC item {item.name} names {found.index} bands of {shown(file.source.name)}, which has "
                f"{len(file.bands)}.",
                remedy="Repair the item, or give the image files themselves.",
            )
        header = file.bands[found.index - 1]
        if found.name in REFLECTANCE_BANDS:
            header = _as_stated(header, found, properties)
            bands.append(NamedBand(file=file, header=header, band=found.name, date=when))
        elif mask := mask_of(found.name, file, header, when):
            masks.append(mask)
    cloud = _number(properties.get("eo:cloud_cover"))
    return Contents(
        name=item.name,
        bands=tuple(bands),
        masks=tuple(masks),
        cloud_percent=((when, cloud),) if cloud is not None and 0 <= cloud <= 100 else (),
    )


def _chosen(item: Item, only: frozenset[str] | None) -> list[_Found]:
    """Each band and mask once, in the order of the assets; a picture's colours only where nothing else is there."""
    found = list(_bands(item))
    if any(each.name in REFLECTANCE_BANDS and not each.is_visual for each in found):
        found = [each for each in found if not each.is_visual]
    best: dict[str, _Found] = {}
    for each in sorted(found, key=lambda each: (each.step_m, not each.is_tiff)):
        best.setdefault(each.name, each)
    if not any(name in REFLECTANCE_BANDS for name in best):
        raise SceneError(
            f"The STAC item {item.name} in {item.place.shown} has no asset that is a band "
            f"({', '.join(map(shown, _assets(item))) or 'no assets'}).",
            remedy="Its assets need eo:bands (or bands) with names or common names, or keys such as B04 or red.",
        )
    wanted = only | MASK_WORDS if only is not None and only <= set(best) else set(best)
    return [each for each in found if best[each.name] is each and each.name in wanted]


def _properties(item: Item) -> dict[str, Any]:
    properties = item.document.get("properties")
    return properties if isinstance(properties, dict) else {}


def _assets(item: Item) -> dict[str, dict[str, Any]]:
    assets = item.document.get("assets")
    pairs = assets.items() if isinstance(assets, dict) else ()
    return {key: each for key, each in pairs if isinstance(each, dict) and isinstance(each.get("href"), str)}


def _bands(item: Item) -> Iterator[_Found]:
    """Every band and mask that the assets hold."""
    properties = _properties(item)
    words = (properties.get("platform"), properties.get("constellation"), item.document.get("collection"))
    sensor = next((s for word in words if (s := sensor_of(str(word or "")))), None)
    sensor = sensor or sensor_of(str(item.document.get("id", "")))
    for key, asset in _assets(item).items():
        listed = asset["roles"] if isinstance(asset.get("roles"), list) else ()
        roles = {role for role in listed if isinstance(role, str)}
        kind = str(asset.get("type", "")).partition(";")[0].strip().lower()
        path = asset["href"].partition("?")[0].lower()
        if roles & _OVERVIEWS or not (kind in _RASTERS or (not kind and path.endswith(_SUFFIXES))):
            continue
        ancillary = parse(key).ancillary
        entries = _entries(asset)
        for index, stated in enumerate(entries, 1):
            name = _mask_word(ancillary, asset) if len(entries) == 1 else None
            name = name or _band_name(stated, key if len(entries) == 1 else "", sensor)
            if name is not None and (name in REFLECTANCE_BANDS or name in MASK_WORDS):
                yield _Found(
                    name=name,
                    key=key,
                    href=asset["href"],
                    index=index,
                    stated=stated,
                    step_m=_step_m(key, asset, stated),
                    is_tiff="tiff" in kind or path.endswith((".tif", ".tiff")),
                    is_visual="visual" in roles or ancillary in ("visual", "tci", "rgb"),
                )


def _entries(asset: dict[str, Any]) -> list[dict[str, Any]]:
    """What is stated about each band, from all the lists that may state it; one band where there is none."""
    lists = [asset[key] for key in ("eo:bands", "raster:bands", "bands") if isinstance(asset.get(key), list)]
    count = max([1, *map(len, lists)])
    merged: list[dict[str, Any]] = [dict(asset) for _ in range(count)]
    for entries in lists:
        for into, entry in zip(merged, entries, strict=False):
            into.update(entry if isinstance(entry, dict) else {})
    return [{key.rpartition(":")[2] if key.startswith(("raster:", "eo:")) else key: value
             for key, value in each.items()} for each in merged]  # fmt: skip


def _mask_word(ancillary: str | None, asset: dict[str, Any]) -> str | None:
    probability = "probab" in str(asset.get("title", "")).lower()
    return "cloudprobability" if probability and ancillary in ("cloud", "clouds") else ancillary


def _band_name(stated: dict[str, Any], key: str, sensor: Sensor | None) -> str | None:
    for text in (str(stated.get("name", "")), key):
        code = band_code(text.rpartition("_")[2] or text) or parse(text).code
        if code is not None and sensor is not None and (name := name_of_code(code, sensor)):
            return name
    for text in (str(stated.get("common_name", "")), str(stated.get("name", "")), key):
        if name := common_name(text.replace("_", "").replace("-", "")) or parse(text).name:
            # STAC calls Landsat's near infrared by the name of Sentinel-2's narrow band.
            return "nir" if name == "nir08" and sensor in _LANDSAT else name
    return None


def _number(value: Any) -> float | None:
    """A number of JSON, infinite where it is too large; None for anything else."""
    try:
        return float(value) if isinstance(value, int | float) else None
    except OverflowError:
        return math.inf


def _step_m(key: str, asset: dict[str, Any], stated: dict[str, Any]) -> float:
    for value in (stated.get("spatial_resolution"), stated.get("gsd")):
        if (step_m := _number(value)) is not None:
            return step_m
    transform = asset.get("proj:transform")
    if isinstance(transform, list) and transform and (step := _number(transform[0])) is not None:
        return abs(step)
    in_key = _STEP_IN_KEY.search(key)
    return float(in_key[1]) if in_key else math.inf


def _opened(found: _Found, item: Item) -> FileHeader:
    try:
        path: Path | str = target(found.href, item.place)
        file = read_header(path)
    except SceneError as error:
        raise SceneError(
            f"The asset {shown(found.key)} of the STAC item {item.name} cannot be used: {error.message}",
            remedy=error.remedy,
        ) from None
    properties = _properties(item)
    baseline = next((str(properties[key]) for key in _BASELINES if properties.get(key)), None)
    return file if baseline is None else replace(file, tags=(*file.tags, ("PROCESSING_BASELINE", baseline)))


def _as_stated(header: BandHeader, found: _Found, properties: dict[str, Any]) -> BandHeader:
    scale, offset, nodata = (_number(found.stated.get(key)) for key in ("scale", "offset", "nodata"))
    applied = any(properties.get(key) is True for key in _APPLIED)
    if header.nodata is None and nodata is not None:
        header = replace(header, nodata=nodata)
    if applied:
        header = replace(header, tags=(*header.tags, ("BOA_ADD_OFFSET", "0")))
        offset = 0.0
    if (header.scale, header.offset) != (1.0, 0.0):
        return header
    scale, offset = 1.0 if scale is None else scale, offset or 0.0
    if not (math.isfinite(scale) and math.isfinite(offset)) or scale == 0:
        raise SceneError(
            f"The asset {shown(found.key)} states scale {scale} and offset {offset}, which would erase it.",
            remedy="Repair the item.",
        )
    return replace(header, scale=scale, offset=offset)
