"""Reads a file's header into plain values; refuses what no later step could repair. No pixel is read."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyproj
from affine import Affine
from pyproj.exceptions import CRSError
from rasterio.enums import ColorInterp, Interleaving, MaskFlags
from rasterio.io import DatasetReader

from geopanoptic.errors import SceneError, UsageError
from geopanoptic.grid import Grid
from geopanoptic.scene.bands.filenames import parse
from geopanoptic.scene.files.arrays import ArraySource
from geopanoptic.scene.files.cube_file import CubeFile
from geopanoptic.scene.files.datasets import GdalSource, gdal_environment, open_dataset, refused_if_damaged
from geopanoptic.scene.files.formats import VRT, driver_of, side_masks
from geopanoptic.scene.files.patch_file import PatchFile
from geopanoptic.scene.files.remote import remote_file
from geopanoptic.scene.files.sources import SourceFile, resolve, shown, state_of
from geopanoptic.scene.files.vrt import sources_of_vrt

Source = GdalSource | ArraySource | CubeFile | PatchFile
"""Where numbers are: a file that GDAL reads, local or remote; an array in this process; a cube; a patch."""

_NAME_TAGS = ("common_name", "band_name", "bandname", "band", "name", "long_name", "description")

Colour = Literal["red", "green", "blue", "nir", "alpha", "palette", "other"]

_COLOURS: dict[str, Colour] = {
    "red": "red", "green": "green", "blue": "blue", "nir": "nir", "alpha": "alpha", "palette": "palette",
}  # fmt: skip


class UnplacedError(SceneError):
    """An image of which nothing says where on Earth it lies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BandHeader:
    """One band of one file. ``index`` counts from 1, as GDAL does; ``nodata`` None: none declared.

    ``stated_one``: what stands for a reflectance of 1, where an attribute says so.
    """

    index: int
    description: str
    tags: tuple[tuple[str, str], ...]
    dtype: str
    nodata: float | None
    scale: float
    offset: float
    colour: Colour
    has_mask_band: bool
    stated_one: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What the file calls the band: its description, and its tags where they name it."""
        tags = {key.lower(): value for key, value in self.tags}
        return (self.description, *(tags[key] for key in _NAME_TAGS if key in tags))


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHeader:
    """A file's place on Earth, its bands and its own tags.

    ``transform_assumed``: its place in the CRS and the size of its pixels were made up. ``block_bytes``: what is decoded
    at once, the bands that are stored together included.
    """

    source: Source
    grid: Grid
    bands: tuple[BandHeader, ...]
    tags: tuple[tuple[str, str], ...]
    crs_assumed: bool
    transform_assumed: bool = False
    block_shape: tuple[int, int]
    block_bytes: int

    @property
    def data_bands(self) -> tuple[BandHeader, ...]:
        """The bands that are not an alpha channel."""
        return tuple(band for band in self.bands if band.colour != "alpha")


def read_header(path: Path | str, *, assume_crs: str | None = None, allow_vrt: bool = False) -> FileHeader:
    """The header of one local file (a Path), or of a remote GeoTIFF (its address as text).

    ``assume_crs`` (any text that PROJ understands) is used where the file states no CRS; a file without
    any georeference then gets pixels of one unit, first row at the top.

    Raises SceneError: missing, unreadable, empty, of another format, damaged, complex, without CRS or
    transform (UnplacedError), georeferenced by control points only, or refused by its server.
    """
    source = remote_file(path) if isinstance(path, str) else _local_file(path, allow_vrt=allow_vrt)
    # The settings must hold for the questions too: GDAL looks for a mask beside the file when it is asked.
    with gdal_environment(source), open_dataset(source) as dataset, refused_if_damaged(source):
        # Asked before anything that would make GDAL open them.
        if "OVERVIEW_FILE" in dataset.tags(ns="OVERVIEWS"):
            raise SceneError(
                f"{shown(source.path)} names another file as its overviews.",
                remedy="Write it anew: `gdal_translate -of COG in.tif out.tif`.",
            )
        bands = tuple(_band_header(dataset, index) for index in dataset.indexes)
        check_bands(source, bands)
        return FileHeader(
            source=source,
            grid=_grid(dataset, source, assume_crs),
            bands=bands,
            tags=tuple(sorted(dataset.tags().items())),
            crs_assumed=dataset.crs is None,
            transform_assumed=not _is_placed(dataset),
            block_shape=dataset.block_shapes[0],
            block_bytes=_block_bytes(dataset),
        )


def _local_file(path: Path, *, allow_vrt: bool) -> SourceFile:
    resolved = resolve(path)
    driver = driver_of(resolved, allow_vrt=allow_vrt)
    besides = [*sources_of_vrt(resolved)] if driver == VRT else [*side_masks(resolved)]
    status = resolved.stat()
    return SourceFile(
        path=resolved,
        name=path.name or os.fspath(path),
        driver=driver,
        size_bytes=status.st_size,
        mtime_ns=status.st_mtime_ns,
        besides=tuple((path, state_of(path)) for path in dict.fromkeys(besides)),
    )


def _band_header(dataset: DatasetReader, index: int) -> BandHeader:
    flags = dataset.mask_flag_enums[index - 1]
    interpretation = dataset.colorinterp[index - 1]
    header = BandHeader(
        index=index,
        description=(dataset.descriptions[index - 1] or "").strip(),
        tags=tuple(sorted(dataset.tags(index).items())),
        dtype=dataset.dtypes[index - 1],
        nodata=dataset.nodatavals[index - 1],
        scale=dataset.scales[index - 1],
        offset=dataset.offsets[index - 1],
        colour=_COLOURS.get(ColorInterp(interpretation).name.lower(), "other"),
        # An alpha band is read by its own index; NODATA_VALUES (per_dataset and nodata) is a mask.
        has_mask_band=MaskFlags.all_valid not in flags
        and MaskFlags.alpha not in flags
        and (MaskFlags.per_dataset in flags or MaskFlags.nodata not in flags),
    )
    # GDAL calls the fourth of four 8-bit bands alpha where nobody says otherwise.
    return replace(header, colour="other") if header.colour == "alpha" and _is_named(header) else header


def _is_named(band: BandHeader) -> bool:
    """Whether a band's name is that of a band; B4 may only count."""
    readings = [parse(name, letters=True) for name in band.names]
    return any(each.name or (each.code and each.code.zero_padded) for each in readings)


def _block_bytes(dataset: DatasetReader) -> int:
    together = dataset.dtypes if dataset.interleaving is Interleaving.pixel else dataset.dtypes[:1]
    return math.prod(dataset.block_shapes[0]) * sum(np.dtype(dtype).itemsize for dtype in together)


def check_bands(source: Source, bands: tuple[BandHeader, ...]) -> None:
    """Raises SceneError for no band, complex numbers, and a scale or offset that would erase a band."""
    if not bands:
        raise SceneError(f"{shown(source.path)} holds no image.", remedy="Give a raster with bands.")
    for band in bands:
        if "complex" in band.dtype:
            raise SceneError(
                f"{shown(source.path)}: band {band.index} holds complex numbers ({band.dtype}).",
                remedy="Give detected intensities or reflectances, not single-look complex data.",
            )
        if not (math.isfinite(band.scale) and math.isfinite(band.offset)) or band.scale == 0:
            raise SceneError(
                f"{shown(source.path)}: band {band.index} declares scale {band.scale} and offset "
                f"{band.offset}, which would erase it.",
                remedy="Repair them: `gdal_edit -scale 1 -offset 0`.",
            )


def _is_placed(dataset: DatasetReader) -> bool:
    return bool(dataset.transform != Affine.identity())


def _grid(dataset: DatasetReader, source: GdalSource, assume_crs: str | None) -> Grid:
    placed = _is_placed(dataset)
    if dataset.crs is not None and placed:
        wkt = dataset.crs.to_wkt(version="WKT2_2019")
        transform = dataset.transform
    elif assume_crs is None:
        raise _no_place(dataset, source, placed)
    else:
        wkt = assumed_wkt(assume_crs) if dataset.crs is None else dataset.crs.to_wkt(version="WKT2_2019")
        transform = dataset.transform if placed else Affine(1, 0, 0, 0, -1, dataset.height)
    check_transform(shown(source.path), transform)
    return Grid(crs_wkt=wkt, transform=transform, height=dataset.height, width=dataset.width)


def check_transform(name: str, transform: Affine) -> None:
    """Raises SceneError, naming ``name``, for a transform that has no inverse."""
    if transform.determinant == 0 or not all(map(math.isfinite, transform[:6])):
        raise SceneError(
            f"{name} has a transform that flattens the image: {tuple(transform)[:6]}.",
            remedy="Set it: `gdal_edit -a_ullr ulx uly lrx lry`.",
        )


def _no_place(dataset: DatasetReader, source: GdalSource, placed: bool) -> SceneError:
    name = shown(source.path)
    if not placed and (dataset.gcps[0] or dataset.rpcs is not None):
        kind = "ground control points" if dataset.gcps[0] else "RPCs"
        return SceneError(
            f"{name} is placed by {kind} only, not by a grid.",
            remedy="Rectify it first: `gdalwarp -t_srs EPSG:<code> in.tif out.tif`"
            + ("." if dataset.gcps[0] else " (add `-rpc`)."),
        )
    missing = "coordinate reference system" if placed else "place on Earth"
    if dataset.crs is not None:
        missing = "transform: its pixels have no coordinates"
    return (SceneError if placed else UnplacedError)(
        f"{name} has no {missing} (a photo, a screenshot or a file that lost its georeference).",
        remedy="Give the georeferenced original, or state the CRS with --assume-crs EPSG:<code>"
        + ("." if placed else " (pixels then count as one unit each)."),
    )


def assumed_wkt(assume_crs: str) -> str:
    """WKT2 of a CRS that the user states. Raises UsageError for one that PROJ does not know."""
    try:
        return pyproj.CRS.from_user_input(assume_crs).to_wkt("WKT2_2019")
    except CRSError:
        raise UsageError(
            f"{assume_crs!r} is not a coordinate reference system.",
            remedy="Write it like EPSG:32632, or as WKT.",
        ) from None
