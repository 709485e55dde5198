"""Checks a GDAL virtual raster before GDAL sees it: plain mosaics of images in its own folder only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from geopanoptic.errors import SceneError
from geopanoptic.scene.files.documents import read_xml
from geopanoptic.scene.files.formats import VRT, driver_of
from geopanoptic.scene.files.sources import resolve, shown

_ALLOWED = frozenset(
    [
        "VRTDataset",
        "SRS",
        "GeoTransform",
        "Metadata",
        "MDI",
        "VRTRasterBand",
        "NoDataValue",
        "Offset",
        "Scale",
        "ColorInterp",
        "Description",
        "UnitType",
        "CategoryNames",
        "Category",
        "ColorTable",
        "Entry",
        "SimpleSource",
        "ComplexSource",
        "AveragedSource",
        "SourceFilename",
        "SourceBand",
        "SourceProperties",
        "SrcRect",
        "DstRect",
        "NODATA",
        "ScaleOffset",
        "ScaleRatio",
        "BlockXSize",
        "BlockYSize",
        "OverviewList",
        "HideNoDataValue",
        "Histograms",
        "HistItem",
        "HistMin",
        "HistMax",
        "BucketCount",
        "IncludeOutOfRange",
        "Approximate",
        "HistCounts",
        "GDALStatistics",
    ]
)


def sources_of_vrt(path: Path) -> Iterator[Path]:
    """The images that a VRT shows. Refuses (SceneError) a VRT that could do more than show parts of images beside it.

    No expressions, warps, raw bands, options, entities or other elements than those of a plain mosaic;
    every source is an existing image below the VRT's own folder.
    """
    root = read_xml(path)
    for element in root.iter():
        if element.tag not in _ALLOWED or element.get("subClass") is not None:
            raise _refused(path, f"uses <{element.tag}>, which can do more than show other images")
        if element.tag == "SourceFilename":
            yield _source(path, element.text or "", relative=element.get("relativeToVRT") == "1")


def _source(path: Path, name: str, *, relative: bool) -> Path:
    source = resolve(path.parent / name) if relative else resolve(Path(name))
    if not source.is_relative_to(path.parent):
        raise _refused(path, f"reads {shown(source)}, outside its own folder")
    if driver_of(source) == VRT:
        raise _refused(path, "reads another virtual raster")
    return source


def _refused(path: Path, why: str) -> SceneError:
    return SceneError(
        f"{shown(path)} {why}.", remedy="Build a GeoTIFF from it: `gdal_translate in.vrt out.tif`."
    )
