"""Maps that are label rasters: instance ids by pixel, with a class raster beside them or without one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from geopanoptic.errors import UsageError
from geopanoptic.evaluation.maps.labelmap import ClassNames, ClassScheme, LabelMap, PolygonLabels, outline_of
from geopanoptic.evaluation.maps.raster_reading import opened, reader, row_blocks
from geopanoptic.evaluation.maps.segments import Segments
from geopanoptic.grid import Grid, Window
from geopanoptic.reprojection import reprojected

INSTANCES, CLASSES = "parcel_id.tif", "class.tif"
"""Files of the folder that ``geopanoptic run --rasters`` writes."""

_BLOCK_PX = 8_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RasterSource:
    """Instance ids, with 0 for none; negative ids and a declared nodata value other than 0 are unknown.

    ``ids`` (n,) are the instances' values in the file, sorted; ``class_of_id`` (n,) their class raster's
    values, each instance's most frequent, or None; ``stuff_values`` the classes of the ground without an
    instance.
    """

    name: str
    path: Path
    class_path: Path | None
    grid: Grid
    ids: NDArray[np.int64]
    class_of_id: NDArray[np.int64] | None
    stuff_values: tuple[int, ...]
    names: dict[int, str]
    notes: tuple[str, ...] = ()

    def bounds_in(self, crs_wkt: str, *, near: shapely.Geometry | None = None) -> shapely.Polygon | None:
        # Straight edges bend in another projection.
        outline = shapely.segmentize(outline_of(self.grid), max(self.grid.shape) * _pixel(self.grid) / 20)
        moved = reprojected(np.array([outline], dtype=object), self.grid.crs, crs_wkt)[0]
        return None if moved.is_empty else moved

    def class_names(self, column: str | None) -> ClassNames:
        if column is not None and self.class_of_id is None:
            raise UsageError(
                f"{self.name} is an instance raster without classes.",
                remedy=f"Leave --class-column out, or give a folder with {INSTANCES} and {CLASSES}.",
            )
        if self.class_of_id is None:
            return ClassNames(things=None, stuff=None)
        things = frozenset(self._thing_names().tolist())
        return ClassNames(things=things, stuff=frozenset(self.names[each] for each in self.stuff_values))

    def _thing_names(self) -> NDArray[np.object_]:
        values = np.zeros(0, np.int64) if self.class_of_id is None else self.class_of_id
        return np.array([self.names[each] for each in values.tolist()], dtype=object)

    def on(self, grid: Grid, scheme: ClassScheme, *, column: str | None, void_class: str | None) -> LabelMap:
        n = len(self.ids)
        names = None if self.class_of_id is None else self._thing_names()
        kept = [value for value in self.stuff_values if self.names[value] in scheme.stuff]
        void = np.zeros(n, bool) if names is None or void_class is None else names == void_class
        segments = Segments.of(
            np.concatenate([scheme.of_things(names, n), [scheme.stuff[self.names[each]] for each in kept]]),
            void=np.concatenate([void, np.zeros(len(kept), bool)]),
        )
        instances = reader(self.path, self.grid, grid, largest=int(self.ids.max(initial=0)))
        classes = None
        if self.class_path is not None and self.stuff_values:
            classes = reader(self.class_path, self.grid, grid)
        covered = PolygonLabels(np.array([self.bounds_in(grid.crs_wkt)], dtype=object), np.array([1]), grid)
        unknown_value = _unknown_value(self.path)
        stuff_label = np.zeros(1 + max(self.names, default=0), np.int32)
        for number, value in enumerate(kept):
            stuff_label[value] = n + 1 + number

        def read(window: Window) -> NDArray[np.int32]:
            inside = np.zeros(window.shape, np.int32)
            covered.draw(window, inside)
            values = instances(window)
            labels = _labels_of(values, self.ids)
            if classes is not None and kept:
                value = classes(window)
                labels = np.where(
                    labels == 0, stuff_label[np.where(value < len(stuff_label), value, 0)], labels
                )
            unknown = (values < 0) | (inside == 0)
            if unknown_value is not None:
                unknown |= values == unknown_value
            labels[unknown] = -1
            return labels

        return LabelMap(
            segments=segments,
            n_things=n,
            read=read,
            cover=None if classes is None else lambda window: classes(window) > 0,
        )


def read_raster(path: Path) -> RasterSource:
    """Survey a label raster, or a folder of ``geopanoptic run --rasters``: which instances and classes there are.

    Raises ``UsageError`` for a file that cannot be read or has no CRS, several bands or no integers.
    """
    if path.is_dir():
        if not (path / INSTANCES).is_file():
            raise UsageError(
                f"The folder {path} has no {INSTANCES}.",
                remedy="Give a file, or the folder that `geopanoptic run --rasters` wrote.",
            )
        path = path / INSTANCES
    beside = path.with_name(CLASSES)
    class_path = beside if path.name == INSTANCES and beside.is_file() else None
    grid = _grid_of_labels(path)
    if class_path is not None and _grid_of_labels(class_path) != grid:
        raise UsageError(
            f"{path} and {class_path.name} beside it are on different grids.",
            remedy=f"Put {CLASSES} elsewhere if it does not belong to the map.",
        )
    names = _class_names(class_path)
    pairs = _survey(path, class_path, grid)
    ids = np.unique(pairs[0])
    ids = ids[ids > 0]
    unknown_value = _unknown_value(path)
    if unknown_value is not None:
        ids = ids[ids != unknown_value]
    class_of_id, stuff = None, ()
    if class_path is not None:
        class_of_id = _most_frequent(*pairs, ids)
        bare = np.unique(pairs[1][(pairs[0] == 0) & (pairs[1] > 0)]).tolist()
        things = set(class_of_id.tolist())
        stuff = tuple(value for value in bare if value not in things)
        for value in {*bare, *things}:
            names.setdefault(value, str(value))
    name = path.name if class_path is None else str(path.parent.name)
    return RasterSource(
        name=name,
        path=path,
        class_path=class_path,
        grid=grid,
        ids=ids,
        class_of_id=class_of_id,
        stuff_values=stuff,
        names=names,
    )


def _grid_of_labels(path: Path) -> Grid:
    with opened(path) as file:
        if file.count != 1 or not np.issubdtype(np.dtype(file.dtypes[0]), np.integer):
            raise UsageError(
                f"{path.name} has {file.count} band(s) of {file.dtypes[0]}, where labels are one band of integers.",
                remedy="Give a raster of instance ids, or a vector file.",
            )
        if file.crs is None:
            raise UsageError(
                f"{path.name} has no coordinate reference system.",
                remedy="Add it, for instance with gdal_edit.py -a_srs EPSG:32632.",
            )
        return Grid(crs_wkt=file.crs.to_wkt(), transform=file.transform, height=file.height, width=file.width)


def _unknown_value(path: Path) -> int | None:
    with opened(path) as file:
        return None if file.nodata in (None, 0) else int(file.nodata)


def _class_names(path: Path | None) -> dict[int, str]:
    if path is None:
        return {}
    with opened(path) as file:
        tags = file.tags(1)
    return {
        int(key[6:]): name for key, name in tags.items() if key.startswith("class_") and key[6:].isdigit()
    }


def _survey(
    path: Path, class_path: Path | None, grid: Grid
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Instance value, class value (0 without a class raster) and pixels of every pair that occurs."""
    instances = reader(path, grid, grid)
    classes = reader(class_path, grid, grid) if class_path is not None else None
    found: list[NDArray[np.int64]] = []
    for window in row_blocks(grid, _BLOCK_PX):
        flat = instances(window).ravel()
        kind = classes(window).ravel() if classes is not None else np.zeros(len(flat), np.int64)
        change = np.flatnonzero((flat[1:] != flat[:-1]) | (kind[1:] != kind[:-1])) + 1
        starts = np.concatenate([[0], change])
        runs = np.column_stack([flat[starts], kind[starts], np.diff(starts, append=flat.size)])
        found.append(_merged(runs))
    return tuple(_merged(np.concatenate(found)).T)  # type: ignore[return-value]


def _merged(runs: NDArray[np.int64]) -> NDArray[np.int64]:
    order = np.lexsort((runs[:, 1], runs[:, 0]))
    runs = runs[order]
    new = np.concatenate([[True], (runs[1:, :2] != runs[:-1, :2]).any(1)])
    starts = np.flatnonzero(new)
    return np.column_stack([runs[starts, :2], np.add.reduceat(runs[:, 2], starts)])


def _most_frequent(
    instance: NDArray[np.int64], kind: NDArray[np.int64], pixels: NDArray[np.int64], ids: NDArray[np.int64]
) -> NDArray[np.int64]:
    order = np.lexsort((kind, -pixels, instance))
    values, first = np.unique(instance[order], return_index=True)
    return kind[order][first][np.searchsorted(values, ids)]


def _labels_of(values: NDArray[np.int64], ids: NDArray[np.int64]) -> NDArray[np.int32]:
    """Rank from 1 of every id, 0 for what is no id; looked up once per run of equal pixels."""
    flat = values.ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    firsts = flat[starts]
    rank = np.searchsorted(ids, firsts)
    known = rank < len(ids)
    known[known] = ids[rank[known]] == firsts[known]
    labels = np.where(known, rank + 1, 0).astype(np.int32)
    return np.repeat(labels, np.diff(starts, append=flat.size)).reshape(values.shape)


def _pixel(grid: Grid) -> float:
    return float(np.sqrt(abs(grid.transform.determinant)))
