"""Polygons on a map: GeoPackage (ours with parcels and land cover, or anybody's), GeoJSON, and what else GDAL reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import geopandas
import pandas as pd
import pyogrio

from geopanoptic.errors import UsageError
from geopanoptic.labels.formats.features import labels_of_layers, one_map, with_classes
from geopanoptic.labels.formats.format import Format, LabelSource, ReadOptions, WriteOptions, Written
from geopanoptic.labels.objects import Labels
from geopanoptic.labels.taxonomy import LabelClass, Taxonomy
from geopanoptic.products.layers import LANDCOVER, PARCELS
from geopanoptic.products.literal import literally

OBJECTS = "objects"
"""Layer that labels are written to."""
CLASSES = "classes"
"""Layer without geometry: the taxonomy."""

_KEEPS = frozenset({"scores", "stuff", "georeference", "holes", "parts", "attributes", "overlaps", "ids"})


def read(path: Path, options: ReadOptions) -> LabelSource:
    chosen = _layers_of(path, options.layer)
    with literally(path) as plain:
        layers = {layer: _read_layer(path, plain, layer, raw=options.raw) for layer in chosen}
        stored = _stored_taxonomy(plain)
    return labels_of_layers(path, layers, options, stored=stored)


def _recogniser(suffixes: set[str]) -> Callable[[Path], bool]:
    def recognises(path: Path) -> bool:
        if path.suffix.lower() not in suffixes or not path.is_file():
            return False
        try:
            with literally(path) as plain:
                return any(kind is not None for _, kind in pyogrio.list_layers(plain))
        except (pyogrio.errors.DataSourceError, OSError):
            return False

    return recognises


def _writer(driver: str) -> Callable[[Iterable[Labels], Path, WriteOptions], Written]:
    def write(labels: Iterable[Labels], target: Path, options: WriteOptions) -> Written:
        if driver == "GPKG" and target.suffix.lower() not in ("", ".gpkg"):
            raise UsageError(
                f"{target.name} does not end as a GeoPackage does.", remedy="End its name in .gpkg."
            )
        found = one_map(labels)
        losses = []
        frame = found.objects
        if driver == "GeoJSON" and frame.crs is not None and frame.crs.to_epsg() != 4326:
            frame = frame.to_crs("EPSG:4326")
            losses.append("GeoJSON is in degrees (WGS 84): outlines were reprojected, to about a millimetre")
        with literally(target) as plain:
            _write_layer(with_classes(frame, found.taxonomy), plain, driver)
            if driver == "GPKG":
                classes = pd.DataFrame([each.model_dump() for each in found.taxonomy.classes]).fillna(
                    {"parent": ""}
                )
                pyogrio.write_dataframe(classes, plain, layer=CLASSES, driver=driver, append=True)
        return Written(files=(target,), images=1, objects=len(frame), losses=tuple(losses))

    return write


GEOPACKAGE = Format(
    name="gpkg",
    title="GeoPackage",
    form="outlines",
    images="none",
    keeps=_KEEPS,
    recognises=_recogniser({".gpkg", ".shp", ".fgb", ".zip"}),
    read=read,
    write=_writer("GPKG"),
)
GEOJSON = Format(
    name="geojson",
    title="GeoJSON",
    form="outlines",
    images="none",
    keeps=_KEEPS,
    recognises=_recogniser({".geojson", ".json"}),
    read=read,
    write=_writer("GeoJSON"),
)


def _layers_of(path: Path, asked: str | None) -> list[str]:
    """The layer asked for; our own two; else the first that may hold polygons, or has any geometry."""
    try:
        with literally(path) as plain:
            found = {str(name): kind for name, kind in pyogrio.list_layers(plain)}
    except (pyogrio.errors.DataSourceError, OSError) as error:
        raise UsageError(
            f"{path} cannot be read as vector file: {error}.", remedy="Give a vector file."
        ) from None
    if asked is not None:
        if asked not in found:
            raise UsageError(
                f"{path} has no layer {asked!r}.", remedy=f"Its layers: {', '.join(map(str, found))}."
            )
        return [asked]
    spatial = [str(name) for name, kind in found.items() if kind is not None]
    if PARCELS.name in spatial:
        return [name for name in (PARCELS.name, LANDCOVER.name) if name in spatial]
    if not spatial:
        raise UsageError(f"{path} has no layer with geometry.", remedy="Give a file of polygons.")
    solid = [name for name in spatial if not any(flat in str(found[name]) for flat in ("Point", "Line"))]
    return (solid or spatial)[:1]


def _read_layer(path: Path, plain: Path, layer: str, *, raw: bool = False) -> geopandas.GeoDataFrame:
    try:
        frame = pyogrio.read_dataframe(plain, layer=layer, on_invalid="ignore" if raw else "raise")
    except (pyogrio.errors.DataSourceError, pyogrio.errors.GeometryError, ValueError) as error:
        raise UsageError(
            f"{path}, layer {layer}, cannot be read: {error}.", remedy="Export it again."
        ) from None
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise UsageError(f"{path}, layer {layer}, has no geometry.", remedy="Name another with --layer.")
    return frame


def _stored_taxonomy(path: Path) -> Taxonomy | None:
    if path.suffix.lower() != ".gpkg" or CLASSES not in {str(name) for name, _ in pyogrio.list_layers(path)}:
        return None
    rows: list[dict[str, Any]] = pyogrio.read_dataframe(path, layer=CLASSES).to_dict("records")
    try:
        classes = [
            LabelClass(
                id=row["id"],
                name=row["name"],
                kind=row["kind"],
                colour=row["colour"] or "",
                parent=row["parent"] or None,
                code=row["code"] or "",
            )
            for row in rows
        ]
        return Taxonomy(name="labels", classes=tuple(classes))
    except (KeyError, ValueError):
        return None  # somebody else's layer of that name


def _write_layer(frame: geopandas.GeoDataFrame, target: Path, driver: str) -> None:
    told = frame.copy()
    for name in [each for each in told if told[each].dtype == object]:
        if pd.api.types.infer_dtype(told[name], skipna=True).startswith("mixed"):
            told[name] = told[name].map(str)
    many = told.geometry.geom_type.eq("MultiPolygon").any()
    pyogrio.write_dataframe(
        told,
        target,
        layer=OBJECTS if driver == "GPKG" else None,
        driver=driver,
        promote_to_multi=bool(many),
        geometry_type=None if len(told) else "Polygon",
        # A tenth of a millimetre; GDAL's own choice is a centimetre.
        layer_options={"COORDINATE_PRECISION": "9"} if driver == "GeoJSON" else _own_columns(told),
    )


def _own_columns(frame: geopandas.GeoDataFrame) -> dict[str, str]:
    """Names of the columns that a GeoPackage adds, where objects have attributes of the usual ones."""
    taken = {str(name).lower() for name in frame.drop(columns=frame.geometry.name)}
    usual = {"FID": "fid", "GEOMETRY_NAME": "geom"}
    return {option: f"gpkg_{name}" for option, name in usual.items() if name in taken}
