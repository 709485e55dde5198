"""Maps that are polygons: vector files of any kind, tables, and our own GeoPackages with both layers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pyproj
import shapely
from numpy.typing import NDArray

from geopanoptic.errors import UsageError
from geopanoptic.evaluation.maps.labelmap import ClassNames, ClassScheme, LabelMap, PolygonLabels
from geopanoptic.evaluation.maps.segments import Segments
from geopanoptic.grid import Grid, Window
from geopanoptic.products.layers import LANDCOVER, PARCELS
from geopanoptic.products.vector_files import layer_of_polygons, layers_of_file, read_table
from geopanoptic.reprojection import reprojected

CLASS_COLUMN = "class_name"
"""Where our own layers keep the name of the class."""

KIND_COLUMN = "kind"
"""Says thing or stuff where one layer holds both, as `geopanoptic labels` writes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorSource:
    """``things``: one row per object, valid polygons; ``stuff``: land cover with ``class_name``, or empty; ``has_stuff``:
    whether it would be there, as it is not where a file holds parcels only."""

    name: str
    things: geopandas.GeoDataFrame
    stuff: geopandas.GeoDataFrame
    has_stuff: bool
    notes: tuple[str, ...] = ()

    @property
    def grid(self) -> None:
        return None

    def bounds_in(self, crs_wkt: str, *, near: shapely.Geometry | None = None) -> shapely.Polygon | None:
        frames = (self.things, self.stuff) if near is None else (self.things,)
        parts = []
        for frame in frames:
            outlines = reprojected(frame.geometry.to_numpy(), frame.crs, crs_wkt)
            outlines = outlines[~shapely.is_empty(outlines)]
            if near is not None:
                outlines = outlines[shapely.STRtree(outlines).query(near)]
            if len(outlines):
                parts.append(shapely.total_bounds(outlines))
        if not parts:
            return None
        corners = np.array(parts)
        return shapely.box(*corners[:, :2].min(0), *corners[:, 2:].max(0))

    def class_names(self, column: str | None) -> ClassNames:
        names = self._thing_names(column)
        # A column in which nobody wrote says as much as none.
        told = names is not None and (not len(names) or bool(names.astype(bool).any()))
        if column is not None and not told:
            raise UsageError(
                f"Column {column!r} of {self.name} holds no class in any of its {len(self.things)} rows.",
                remedy="Name another one with --class-column, or leave it out to take all things as one class.",
            )
        return ClassNames(
            things=frozenset(names) - {None} if names is not None and told else None,
            stuff=frozenset(names_of(self.stuff[CLASS_COLUMN])) - {None} if self.has_stuff else None,
        )

    def _thing_names(self, column: str | None) -> NDArray[np.object_] | None:
        if column is not None and column not in self.things.columns:
            there = [str(each) for each in self.things.columns if each != self.things.geometry.name]
            raise UsageError(
                f"{self.name} has no column {column!r}; its columns are {', '.join(there) or 'none'}.",
                remedy="Name one of them with --class-column, as PRED_COLUMN,TRUTH_COLUMN where they differ.",
            )
        chosen = column or (CLASS_COLUMN if CLASS_COLUMN in self.things.columns else None)
        return None if chosen is None else names_of(self.things[chosen])

    def on(self, grid: Grid, scheme: ClassScheme, *, column: str | None, void_class: str | None) -> LabelMap:
        n = len(self.things)
        names = self._thing_names(column)
        cover = [name for name in sorted(scheme.stuff) if len(self.stuff)]
        crowd = np.zeros(n, bool)
        if "iscrowd" in self.things.columns:
            crowd = self.things["iscrowd"].fillna(0).astype(bool).to_numpy()
        score = np.full(n, np.nan)
        if "score" in self.things.columns:
            score = pd.to_numeric(self.things["score"], errors="coerce").to_numpy(float)
        category = scheme.of_things(names, n)
        void = category == 0
        if names is not None and void_class is not None:
            void |= names == void_class
        extra = len(cover)
        segments = Segments.of(
            np.concatenate([category, [scheme.stuff[name] for name in cover]]),
            score=np.concatenate([score, np.full(extra, np.nan)]),
            crowd=np.concatenate([crowd, np.zeros(extra, bool)]),
            void=np.concatenate([void, np.zeros(extra, bool)]),
        )
        outlines = reprojected(self.things.geometry.to_numpy(), self.things.crs, grid.crs_wkt)
        things = PolygonLabels(outlines, np.arange(1, n + 1), grid)
        label_of = {name: n + 1 + number for number, name in enumerate(cover)}
        of_cover = np.array([label_of.get(name, 0) for name in names_of(self.stuff[CLASS_COLUMN])], int)
        shown = of_cover > 0
        stuff = _drawn(self.stuff[shown], of_cover[shown], grid)
        whole = stuff if shown.all() else _drawn(self.stuff, np.ones(len(self.stuff), int), grid)

        def covered(window: Window) -> NDArray[np.bool_]:
            drawn = np.zeros(window.shape, np.int32)
            whole.draw(window, drawn)
            return drawn > 0

        def read(window: Window) -> NDArray[np.int32]:
            labels = np.zeros(window.shape, np.int32)
            stuff.draw(window, labels)
            things.draw(window, labels)
            return labels

        return LabelMap(
            segments=segments,
            n_things=n,
            read=read,
            cover=covered if len(self.stuff) else None,
            outlines=outlines,
        )


def _drawn(frame: geopandas.GeoDataFrame, labels: NDArray[np.integer], grid: Grid) -> PolygonLabels:
    outlines = reprojected(frame.geometry.to_numpy(), frame.crs, grid.crs_wkt)
    return PolygonLabels(outlines, labels, grid)


def names_of(classes: pd.Series) -> NDArray[np.object_]:
    """Names (n,) of the classes in a column of any type, None where there is none."""
    told = zip(classes.tolist(), classes.notna(), strict=True)
    return np.array([_class_name(value) or None if known else None for value, known in told], dtype=object)


def _class_name(value: Any) -> str:
    # 17.0 in one file and 17 in the other are one class: a missing value turns integers into floats.
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def vector_source(
    things: geopandas.GeoDataFrame, stuff: geopandas.GeoDataFrame | None = None, *, name: str
) -> VectorSource:
    """A source of valid polygons with a CRS. Rows whose ``kind`` is stuff are, in one table with things.

    Raises ``UsageError`` where there is no CRS, or rows but no polygon among them.
    """
    crs = things.crs
    if crs is None:
        raise UsageError(
            f"{name} has no coordinate reference system.",
            remedy="Store it with its CRS, for instance as a GeoPackage, or give the missing .prj file.",
        )
    if stuff is None and {KIND_COLUMN, CLASS_COLUMN} <= set(things.columns):
        is_stuff = (things[KIND_COLUMN] == "stuff").to_numpy()
        things, stuff = things[~is_stuff], things[is_stuff]
    polygons, notes = _polygons(things, name)
    cover = geopandas.GeoDataFrame({CLASS_COLUMN: np.zeros(0, object)}, geometry=[], crs=crs)
    if stuff is not None and len(stuff):
        cover, more = _polygons(stuff, name)
        notes += more
    return VectorSource(
        name=name, things=polygons, stuff=cover, has_stuff=stuff is not None, notes=tuple(notes)
    )


def _polygons(frame: geopandas.GeoDataFrame, name: str) -> tuple[geopandas.GeoDataFrame, tuple[str, ...]]:
    geometry = frame.geometry.to_numpy()
    solid = np.isin(shapely.get_type_id(geometry), (3, 6)) & ~shapely.is_empty(geometry)
    if len(frame) and not solid.any():
        kinds = ", ".join(sorted({str(kind) for kind in frame.geom_type.dropna()}))
        found = f"but {kinds}" if kinds else f"and none of its {len(frame)} rows has a geometry"
        raise UsageError(
            f"{name} has no polygons, {found}.", remedy="Give a file with one polygon per parcel."
        )
    kept = frame[solid].reset_index(drop=True)
    broken = int(np.count_nonzero(~shapely.is_valid(kept.geometry.to_numpy())))
    kept = kept.set_geometry(shapely.make_valid(kept.geometry.to_numpy()), crs=frame.crs)
    left_out = int((~solid).sum())
    notes = [f"{name}: {left_out} rows without a polygon are left out."] if left_out else []
    return kept, (*notes, *([f"{name}: {broken} invalid polygons are repaired."] if broken else ()))


def read_vector(path: Path, *, layer: str | None = None) -> VectorSource:
    """Read a vector file; of our own GeoPackages both layers, otherwise ``layer`` or ``layer_of_polygons``.

    Raises ``UsageError`` for a file that cannot be read, or that has no CRS, polygons or such layer.
    """
    layers = layers_of_file(path)
    chosen = layer_of_polygons(path, layers, layer)
    ours = layer is None and {PARCELS.name, LANDCOVER.name} <= set(layers)
    source = vector_source(
        read_table(path, chosen), read_table(path, LANDCOVER.name) if ours else None, name=path.name
    )
    others = [name for name, kind in layers.items() if "Polygon" in kind and name != chosen]
    if layer is not None or chosen == PARCELS.name or not others:
        return source
    note = f"{path.name}: layer {chosen} is read, not {', '.join(others)}; --layer names another."
    return replace(source, notes=(note, *source.notes))


def is_projected_in_metres(crs: pyproj.CRS) -> bool:
    """Whether coordinates count metres, on the ground or nearly so."""
    return crs.is_projected and all(axis.unit_conversion_factor == 1 for axis in crs.axis_info[:2])
