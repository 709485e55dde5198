"""Polygons on a map: GeoPackage (ours with parcels and land cover, or anybody's), GeoJSON, and what else GDAL reads.

Columns: ``class_name`` (or ``--class-column``), ``score``, the id from ``--id-column``, else from ``object_id`` or
``parcel_id`` where those are unique whole numbers, else by row. All other columns are attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pyogrio
import shapely
from numpy.typing import NDArray

from geopanoptic.errors import UsageError
from geopanoptic.labels.formats.format import Format, LabelSource, ReadOptions, WriteOptions, Written
from geopanoptic.labels.formats.tables import with_columns
from geopanoptic.labels.objects import Labels, OutlineLabels, as_outlines
from geopanoptic.labels.taxonomy import Kind, LabelClass, Taxonomy, taxonomy_of_names
from geopanoptic.products.layers import LANDCOVER, PARCELS

OBJECTS = "objects"
"""Layer that labels are written to."""
CLASSES = "classes"
"""Layer without geometry: the taxonomy."""

_THING_LAYER, _STUFF_LAYERS = PARCELS.name, (LANDCOVER.name, "land_cover")
_ID_COLUMNS = ("object_id", "parcel_id", "area_id", "id", "fid")
_KEEPS = frozenset({"scores", "stuff", "georeference", "holes", "parts", "attributes", "overlaps", "ids"})


def read(path: Path, options: ReadOptions) -> LabelSource:
    layers = _layers_of(path, options.layer)
    frames = [_read_layer(path, layer) for layer in layers]
    notes = []
    for layer, frame in zip(layers, frames, strict=True):
        polygonal = frame.geometry.geom_type.isin(["Polygon", "MultiPolygon"]).to_numpy()
        if not polygonal.all():
            notes.append(
                f"{path.name}, layer {layer}: {int((~polygonal).sum())} features are no polygons, left out"
            )
    frames = [frame[frame.geometry.geom_type.isin(["Polygon", "MultiPolygon"])] for frame in frames]
    taxonomy, frames = _classified(path, layers, frames, options)
    whole = pd.concat([_with_ids(frame, options.id_column) for frame in frames], ignore_index=True)
    if whole["object_id"].duplicated().any():
        # Two layers number their objects each from 1; ids must be unique in one map.
        whole["object_id"] = np.arange(1, len(whole) + 1)
        notes.append(f"{path.name}: ids repeat, so objects are numbered anew")
    invalid = ~shapely.is_valid(np.asarray(whole.geometry.array))
    if invalid.any():
        whole.loc[invalid, whole.geometry.name] = shapely.make_valid(
            np.asarray(whole.geometry.array)[invalid]
        )
        notes.append(f"{path.name}: {int(invalid.sum())} outlines crossed themselves and were made valid")
    objects = geopandas.GeoDataFrame(with_columns(whole), geometry=whole.geometry.name, crs=frames[0].crs)
    if objects.geometry.name != "geometry":
        objects = objects.rename_geometry("geometry")
    # Outlines without a CRS were drawn on the pixels of an image.
    canvas = next(iter(options.images.values()), None) if objects.crs is None else None
    found = OutlineLabels(objects=objects, taxonomy=taxonomy, canvas=canvas)
    return LabelSource(name=path.name, taxonomy=taxonomy, images=lambda: iter([found]), notes=tuple(notes))


def _recogniser(suffixes: set[str]) -> Callable[[Path], bool]:
    def recognises(path: Path) -> bool:
        if path.suffix.lower() not in suffixes or not path.is_file():
            return False
        try:
            return any(kind is not None for _, kind in pyogrio.list_layers(path))
        except (pyogrio.errors.DataSourceError, OSError):
            return False

    return recognises


def _writer(driver: str) -> Callable[[Iterable[Labels], Path, WriteOptions], Written]:
    def write(labels: Iterable[Labels], target: Path, options: WriteOptions) -> Written:
        images = [as_outlines(each) for each in labels]
        if len(images) != 1:
            raise UsageError(
                f"A map holds the labels of one place, not of {len(images)} images.",
                remedy="Convert to a format of images, or give images that lie on one map.",
            )
        found = images[0]
        losses = []
        frame = found.objects
        if driver == "GeoJSON" and frame.crs is not None and frame.crs.to_epsg() != 4326:
            frame = frame.to_crs("EPSG:4326")
            losses.append("GeoJSON is in degrees (WGS 84): outlines were reprojected, to about a millimetre")
        of_class = {each.name: each for each in found.taxonomy.classes}
        frame = frame.assign(
            class_id=[of_class[name].id for name in frame["class_name"]],
            kind=[of_class[name].kind for name in frame["class_name"]],
        )
        _write_layer(frame, target, driver)
        if driver == "GPKG":
            classes = pd.DataFrame([each.model_dump() for each in found.taxonomy.classes]).fillna(
                {"parent": ""}
            )
            pyogrio.write_dataframe(classes, target, layer=CLASSES, driver=driver, append=True)
        return Written(files=(target,), images=1, objects=len(frame), losses=tuple(losses))

    return write


GEOPACKAGE = Format(
    name="gpkg",
    title="GeoPackage",
    form="outlines",
    images="none",
    keeps=_KEEPS,
    recognises=_recogniser({".gpkg", ".shp", ".fgb", ".gml", ".zip"}),
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
    """The layer asked for; our own two; else the first with geometry."""
    try:
        found = {str(name): kind for name, kind in pyogrio.list_layers(path)}
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
    if _THING_LAYER in spatial:
        return [name for name in (_THING_LAYER, *_STUFF_LAYERS) if name in spatial]
    if not spatial:
        raise UsageError(f"{path} has no layer with geometry.", remedy="Give a file of polygons.")
    return spatial[:1]


def _read_layer(path: Path, layer: str) -> geopandas.GeoDataFrame:
    try:
        frame = pyogrio.read_dataframe(path, layer=layer)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.GeometryError, ValueError) as error:
        raise UsageError(
            f"{path}, layer {layer}, cannot be read: {error}.", remedy="Export it again."
        ) from None
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise UsageError(f"{path}, layer {layer}, has no geometry.", remedy="Name another with --layer.")
    return frame[frame.geometry.notna() & ~frame.geometry.is_empty].reset_index(drop=True)


def _classified(
    path: Path, layers: list[str], frames: list[geopandas.GeoDataFrame], options: ReadOptions
) -> tuple[Taxonomy, list[geopandas.GeoDataFrame]]:
    """The frames with ``class_name``, and the classes: the file's own, or those that occur."""
    named: list[geopandas.GeoDataFrame] = []
    kinds: dict[str, Kind] = {}
    for layer, frame in zip(layers, frames, strict=True):
        column = options.class_column or "class_name"
        if options.class_column is not None and column not in frame:
            raise UsageError(
                f"{path}, layer {layer}, has no column {column!r}.", remedy=f"Columns: {', '.join(frame)}."
            )
        names = frame[column].astype(str) if column in frame else pd.Series("parcel", index=frame.index)
        kind: Kind = "stuff" if layer in _STUFF_LAYERS else "thing"
        own = frame["kind"] if "kind" in frame else pd.Series(kind, index=frame.index)
        for name, each in zip(names, own, strict=True):
            kinds.setdefault(name, each if each in ("thing", "stuff") else kind)
        named.append(frame.assign(class_name=names).drop(columns=["class_id", "kind"], errors="ignore"))
    stored = _stored_taxonomy(path)
    if stored is not None and all(name in stored for name in kinds):
        return stored, named
    if options.taxonomy is not None and all(name in options.taxonomy for name in kinds):
        return options.taxonomy, named
    names = sorted(kinds) or ["parcel"]
    return taxonomy_of_names(names, kinds=[kinds.get(name, "thing") for name in names]), named


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


def _with_ids(frame: geopandas.GeoDataFrame, asked: str | None) -> geopandas.GeoDataFrame:
    if asked is not None and asked not in frame:
        raise UsageError(f"There is no column {asked!r}.", remedy=f"Columns: {', '.join(frame)}.")
    for column in (asked,) if asked is not None else _ID_COLUMNS:
        if column in frame and (ids := _whole_numbers(frame[column])) is not None:
            drop = [column] if column in ("object_id", asked) else []
            return frame.drop(columns=drop).assign(object_id=ids)
    if asked is not None:
        raise UsageError(
            f"Column {asked!r} does not hold unique whole numbers from 1 to 2147483647.",
            remedy="Leave --id-column out to number objects by row.",
        )
    return frame.assign(object_id=np.arange(1, len(frame) + 1))


def _whole_numbers(values: pd.Series) -> NDArray[np.int64] | None:
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(np.float64)
    fine = np.isfinite(numbers) & (numbers == np.round(numbers)) & (numbers > 0) & (numbers < 2**31)
    if not fine.all() or len(np.unique(numbers)) < len(numbers):
        return None
    return numbers.astype(np.int64)


def _write_layer(frame: geopandas.GeoDataFrame, target: Path, driver: str) -> None:
    told = frame.copy()
    for name in told.columns.drop(told.geometry.name):
        if told[name].map(lambda value: isinstance(value, (dict, list))).any():
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
        layer_options={"COORDINATE_PRECISION": "9"} if driver == "GeoJSON" else {},
    )
