"""Tables of features on a map as labels, whoever wrote them: what their ids and classes are.

The class stands in ``class_name`` (or the column asked for), the id in the column asked for, else in ``object_id``,
``parcel_id`` and the like where those are unique whole numbers, else the row counts. Objects without a class are
``unclassified``, those without an id are numbered on. Other columns are attributes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from geopanoptic.errors import UsageError
from geopanoptic.labels.formats.format import LabelSource, ReadOptions
from geopanoptic.labels.formats.tables import free_name, score_notes, with_columns
from geopanoptic.labels.objects import Labels, OutlineLabels, as_outlines
from geopanoptic.labels.taxonomy import (
    UNCLASSIFIED,
    Kind,
    Taxonomy,
    taxonomy_of_names,
    unclassified_notes,
    with_unclassified,
)
from geopanoptic.labels.tiles import SOURCE_ID
from geopanoptic.products.layers import LANDCOVER

STATED_ID = "stated_id"
"""Attribute for a column ``object_id`` that holds no unique whole numbers, or not those that were asked for."""

_LARGEST_ID = 2**31 - 1

_ID_COLUMNS = ("object_id", "parcel_id", "area_id", "id", "fid")


def labels_of_layers(
    path: Path,
    layers: Mapping[str, geopandas.GeoDataFrame],
    options: ReadOptions,
    *,
    stored: Taxonomy | None = None,
) -> LabelSource:
    """The labels of one or several layers of one CRS; ``stored`` are the classes that the file states.

    Raises ``UsageError`` where columns that were asked for do not exist or hold no ids, and where there are features but
    no polygon among them.
    """
    if options.raw:
        return _as_stored(path, layers, options, stored)
    notes: list[str] = []
    polygons: dict[str, geopandas.GeoDataFrame] = {}
    for layer, frame in layers.items():
        solid, changes = _polygons(frame)
        polygons[layer], renamed = _with_ids(solid, options)
        notes += [f"{path.name}, layer {layer}: {each}" for each in (*changes, *renamed)]
    n_features = sum(map(len, layers.values()))
    if n_features and not any(map(len, polygons.values())):
        raise UsageError(
            f"None of the {n_features:,} features of {path.name} is a polygon.",
            remedy="Give a file of polygons, or name their layer with --layer.",
        )
    taxonomy, frames = _classified(path, polygons, options, stored)
    notes += unclassified_notes((name for each in frames for name in each["class_name"]), path.name)
    if any((each["class_name"] == "").any() for each in frames):
        taxonomy = with_unclassified(taxonomy)
    numbered: list[geopandas.GeoDataFrame] = []
    for layer, frame in zip(polygons, frames, strict=True):
        own, noted = _numbered_on(frame, numbered)
        numbered.append(own.assign(**{SOURCE_ID: np.nan}) if noted and options.sources else own)
        # Rows that were only counted lose nothing.
        if noted and any(name in layers[layer] for name in (options.id_column, *_ID_COLUMNS)):
            notes.append(f"{path.name}, layer {layer}: {noted}")
    whole = pd.concat(numbered, ignore_index=True)
    whole["class_name"] = whole["class_name"].mask(whole["class_name"] == "", UNCLASSIFIED)
    notes += score_notes(whole, path.name)
    table = with_columns(pd.DataFrame(whole.drop(columns=whole.geometry.name)))
    outlines = np.array(whole.geometry.array, dtype=object)
    objects = geopandas.GeoDataFrame(table, geometry=outlines, crs=frames[0].crs)
    return _source(path, objects, taxonomy, options, tuple(notes))


def _polygons(frame: geopandas.GeoDataFrame) -> tuple[geopandas.GeoDataFrame, list[str]]:
    """The rows with valid polygons, and what became of the others."""
    outlines = np.array(frame.geometry.array, dtype=object)
    drawn = frame.geometry.notna().to_numpy() & ~shapely.is_empty(outlines)
    polygonal = frame.geometry.geom_type.isin(["Polygon", "MultiPolygon"]).to_numpy()
    invalid = drawn & polygonal & ~shapely.is_valid(outlines)
    outlines[invalid] = [polygonal_part(each) for each in shapely.make_valid(outlines[invalid])]
    flat = invalid & shapely.is_empty(outlines)
    counts = {
        "features have no outline, left out": ~drawn,
        "features are no polygons, left out": drawn & ~polygonal,
        "outlines have no area, left out": flat,
        "outlines crossed themselves and were made valid": invalid & ~flat,
    }
    notes = [f"{int(rows.sum()):,} {what}" for what, rows in counts.items() if rows.any()]
    kept = drawn & polygonal & ~flat
    solid = frame.set_geometry(geopandas.GeoSeries(outlines, index=frame.index, crs=frame.crs))[kept]
    return solid.reset_index(drop=True), notes


def polygonal_part(shape: shapely.Geometry) -> shapely.Geometry:
    """A shape without the points and lines that come along when a crossing outline is made valid or cut."""
    if shape.geom_type in ("Polygon", "MultiPolygon"):
        return shape
    parts = shapely.get_parts(shape)
    return shapely.union_all(parts[shapely.area(parts) > 0])


def one_map(labels: Iterable[Labels]) -> OutlineLabels:
    """The outlines of the one map that a format of maps holds. Raises ``UsageError`` for several images."""
    images = list(islice(labels, 2))
    if len(images) != 1:
        raise UsageError(
            f"A map holds the labels of one place, not of {'several' if images else 'no'} images.",
            remedy="Convert to a format of images, or give images that lie on one map.",
        )
    return as_outlines(images[0])


def with_classes(objects: geopandas.GeoDataFrame, taxonomy: Taxonomy) -> geopandas.GeoDataFrame:
    """The table with ``class_id`` and ``kind`` beside ``class_name``, for programs that do not know the classes."""
    of_class = {each.name: each for each in taxonomy.classes}
    names = objects["class_name"]
    return objects.assign(
        class_id=names.map({name: each.id for name, each in of_class.items()}).astype(np.int64),
        kind=names.map({name: each.kind for name, each in of_class.items()}).astype(object),
    )


def _source(
    path: Path,
    objects: geopandas.GeoDataFrame,
    taxonomy: Taxonomy,
    options: ReadOptions,
    notes: tuple[str, ...] = (),
) -> LabelSource:
    # Outlines without a CRS were drawn on the pixels of an image.
    images = list(options.images.values())
    canvas = images[0] if objects.crs is None and len(images) == 1 else None
    found = OutlineLabels(objects=objects, taxonomy=taxonomy, canvas=canvas)
    return LabelSource(name=path.name, taxonomy=taxonomy, images=lambda: iter([found]), notes=notes)


def _as_stored(
    path: Path,
    layers: Mapping[str, geopandas.GeoDataFrame],
    options: ReadOptions,
    stored: Taxonomy | None,
) -> LabelSource:
    """Every feature of the layers as it is stored, with its ``layer``; see ``ReadOptions.raw``."""
    taxonomy, named = _classified(path, layers, options, stored)
    told = []
    for (layer, frame), classified in zip(layers.items(), named, strict=True):
        names = classified["class_name"]
        told.append(
            frame.assign(object_id=_stated_ids(frame, options.id_column), class_name=names, layer=layer)
        )
    whole = with_columns(pd.concat(told, ignore_index=True))
    objects = geopandas.GeoDataFrame(whole, geometry=told[0].geometry.name, crs=told[0].crs)
    if objects.geometry.name != "geometry":
        objects = objects.rename_geometry("geometry")
    return _source(path, objects, taxonomy, options)


def _classified(
    path: Path, layers: Mapping[str, geopandas.GeoDataFrame], options: ReadOptions, stored: Taxonomy | None
) -> tuple[Taxonomy, list[geopandas.GeoDataFrame]]:
    """The frames with ``class_name``, empty where there is none, and the classes: the file's own, or those that occur."""
    named: list[geopandas.GeoDataFrame] = []
    kinds: dict[str, Kind] = {}
    for layer, frame in layers.items():
        column = options.class_column or "class_name"
        if options.class_column is not None and column not in frame:
            raise UsageError(
                f"{path}, layer {layer}, has no column {column!r}.", remedy=f"Columns: {', '.join(frame)}."
            )
        names = _class_names(frame[column]) if column in frame else pd.Series("parcel", index=frame.index)
        kind: Kind = "stuff" if layer == LANDCOVER.name else "thing"
        own = frame["kind"] if "kind" in frame else pd.Series(kind, index=frame.index)
        for name, each in pd.DataFrame({"name": names, "kind": own}).drop_duplicates("name").to_numpy():
            kinds.setdefault(name, each if each in ("thing", "stuff") else kind)
        named.append(frame.assign(class_name=names).drop(columns=["class_id", "kind"], errors="ignore"))
    kinds.pop("", None)
    for known in (stored, options.taxonomy):
        if known is not None and all(name in known for name in kinds):
            return known, named
    names = sorted(kinds) or ["parcel"]
    return taxonomy_of_names(names, kinds=[kinds.get(name, "thing") for name in names]), named


def _class_names(values: pd.Series) -> pd.Series:
    """Classes as text, empty where there is none."""
    # 17.0 in one file and 17 in the other are one class: a missing value turns integers into floats.
    told = [
        str(int(each)) if isinstance(each, float) and each.is_integer() else str(each)
        for each in values.astype(object)
    ]
    return pd.Series(told, index=values.index, dtype=object).mask(values.isna(), "")


def _with_ids(
    frame: geopandas.GeoDataFrame, options: ReadOptions
) -> tuple[geopandas.GeoDataFrame, list[str]]:
    """The frame with ``object_id``, ids as they are stated, objects without one on from the highest of them, and what
    became of a column of that name."""
    asked = options.id_column
    if asked is not None and asked not in frame:
        raise UsageError(f"There is no column {asked!r}.", remedy=f"Columns: {', '.join(frame)}.")
    stated = np.zeros(len(frame), np.int64)
    for column in (asked,) if asked is not None else _ID_COLUMNS:
        if column in frame and (ids := _unique_ids(frame[column])) is not None:
            stated = ids
            if column in ("object_id", asked) and column != (options.class_column or "class_name"):
                frame = frame.drop(columns=column)
            break
    else:
        if asked is not None:
            raise UsageError(
                f"Column {asked!r} does not hold unique whole numbers from 1 to {_LARGEST_ID}.",
                remedy="Leave --id-column out to number objects by row.",
            )
    notes: list[str] = []
    if "object_id" in frame and frame["object_id"].notna().any():
        name = free_name(STATED_ID, frame)
        frame = frame.rename(columns={"object_id": name})
        notes.append(f"the column object_id, which is not what objects are numbered by, is {name} now")
    new = stated == 0
    numbered = frame.assign(object_id=np.where(new, stated.max(initial=0) + np.cumsum(new), stated))
    if options.sources:
        numbered = numbered.assign(**{SOURCE_ID: np.where(new, np.nan, stated)})
    return numbered, notes


def _numbered_on(
    frame: geopandas.GeoDataFrame, before: Sequence[geopandas.GeoDataFrame]
) -> tuple[geopandas.GeoDataFrame, str]:
    """A layer with the lowest free ids where its own are of objects of layers ``before`` it too, and what was done.

    Layers number their objects each from 1, and ids are unique in one map: the first layer, parcels, keeps its own.
    """
    taken = (
        np.concatenate([each["object_id"].to_numpy() for each in before]) if before else np.zeros(0, np.int64)
    )
    if not frame["object_id"].isin(taken).any():
        return frame, ""
    free = np.setdiff1d(np.arange(1, len(taken) + len(frame) + 1), taken)[: len(frame)]
    told = (
        f"its ids are those of other objects too, so its {len(frame):,} objects get others, from {free[0]} on"
    )
    return frame.assign(object_id=free), told


def _stated_ids(frame: geopandas.GeoDataFrame, asked: str | None) -> NDArray[np.int64]:
    """The ids that the source states, repeated or not, 0 where it states none; other ids than numbers get numbers."""
    if asked is not None and asked not in frame:
        raise UsageError(f"There is no column {asked!r}.", remedy=f"Columns: {', '.join(frame)}.")
    column = asked or next((name for name in _ID_COLUMNS if name in frame), None)
    if column is None:
        return np.arange(1, len(frame) + 1)
    numbers = _integers(frame[column])
    return np.asarray(pd.factorize(frame[column])[0] + 1, np.int64) if numbers is None else numbers


def _unique_ids(values: pd.Series) -> NDArray[np.int64] | None:
    """Ids as ``OutlineLabels`` has them, 0 where none is stated; None where the values are no such ids."""
    numbers = _integers(values)
    stated = np.zeros(0, np.int64) if numbers is None else numbers[values.notna().to_numpy()]
    if numbers is None or not len(stated) or stated.min() < 1 or len(np.unique(stated)) < len(stated):
        return None
    return numbers if stated.max() + len(numbers) - len(stated) <= _LARGEST_ID else None


def _integers(values: pd.Series) -> NDArray[np.int64] | None:
    """Whole numbers exactly as they are stated, 0 where there is none; None where the values are anything else.

    Text is a number only where it is how the number is written: "010" is another id than "10".
    """
    there = values.dropna()
    try:
        stated = [int(each) for each in there]
    except (TypeError, ValueError, OverflowError):
        return None
    alike = (
        there == stated
        if pd.api.types.is_numeric_dtype(there)
        else there.astype(str) == list(map(str, stated))
    )
    # Beyond 2**53 a float is no longer the number that was written.
    largest = 2**53 if pd.api.types.is_float_dtype(there) else 2**63 - 1
    if not alike.all() or max(map(abs, stated), default=0) > largest:
        return None
    numbers = np.zeros(len(values), np.int64)
    numbers[values.notna().to_numpy()] = stated
    return numbers
