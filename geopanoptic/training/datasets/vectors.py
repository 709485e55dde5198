"""Polygons of a scene's parcels, complete or only some of them.

Sparse labels: ground outside the polygons is unknown and takes part in no loss term, except thin gaps between
labelled fields, which hold no field. Full labels: every parcel inside the polygons' bounding box is drawn,
what lies between them there is known to be none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from scipy import ndimage

from geopanoptic.errors import UsageError
from geopanoptic.evaluation.maps.labelmap import outline_of
from geopanoptic.evaluation.sparse import distinct
from geopanoptic.grid import Grid, Window
from geopanoptic.products.vector_files import read_table
from geopanoptic.reprojection import reprojected
from geopanoptic.training.folds import balanced_folds
from geopanoptic.training.patches.patch import OUTPUT_SCALE

if TYPE_CHECKING:
    import geopandas

GAP_PX = 3
"""Gaps of up to twice as many label pixels between labelled fields count as known ground without a field."""

_BLOCKS_PX = (64.0, 32.0, 16.0)
_EVERYWHERE = "EPSG:6933"
"""Metres on the whole Earth, for one lattice of blocks under scenes of several CRSs."""
LEAST_AREA_PX = 8
"""Fields of fewer label pixels teach nothing and are left out."""


def read_fields(
    path: Path, grid: Grid, *, layer: str | None = None
) -> tuple[geopandas.GeoDataFrame, tuple[str, ...]]:
    """The polygons of a vector file that overlap ``grid``, valid and in its CRS, in the file's order, each once, and
    what was done to the rows for that.

    Raises ``UsageError`` for a file that cannot be read, without polygons, without CRS, or that misses the grid.
    """
    frame = read_table(path, layer)
    kinds = sorted(set(frame.geom_type.dropna()))
    found = f"but {', '.join(kinds)}" if kinds else f"and none of its {len(frame)} rows has a geometry"
    n_rows = len(frame)
    frame = frame[[frame.geometry.name]].reset_index(drop=True)
    # A collection may hold polygons of several parts.
    frame = frame[frame.geometry.notna()].explode().explode()
    frame = frame[frame.geom_type == "Polygon"]
    without = n_rows - frame.index.nunique()
    if frame.empty:
        raise UsageError(
            f"{path} has no polygons, {found}.",
            remedy="Draw each field as one polygon.",
        )
    if frame.crs is None:
        raise UsageError(
            f"{path} has no CRS.", remedy="Store it with its coordinate system (GeoPackage, GeoJSON)."
        )
    outlines = reprojected(frame.geometry.to_numpy(), frame.crs, grid.crs)
    frame = frame.set_geometry(shapely.make_valid(outlines), crs=grid.crs)
    ground = outline_of(grid)
    inside = frame[frame.intersects(ground)]
    if inside.empty:
        labels, scene = (", ".join(f"{v:.6g}" for v in each) for each in (frame.total_bounds, ground.bounds))
        raise UsageError(
            f"None of the {len(frame)} polygons of {path} overlaps the scene: they lie within ({labels}), "
            f"the scene within ({scene}).",
            remedy="Give the scene that the labels were drawn on, or correct the labels' CRS.",
        )
    fields = inside.iloc[distinct(inside.geometry.to_numpy())].reset_index(drop=True)
    notes = [f"{without} rows without a polygon were left out"] if without else []
    rows = inside.index.nunique()
    if rows < len(inside):
        notes.append(f"{len(inside)} parts of {rows} rows count one by one")
    if len(fields) < len(inside):
        notes.append(f"{len(inside) - len(fields)} repeated outlines were left out")
    return fields, tuple(notes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """Labelled parcels in label pixels of a grid, which knows what of its ground is labelled.

    ``outlines`` (n,) of what lies within the grid, x right and y down; ``chosen`` (n,) bool, those of this part: the
    others are unknown ground.
    """

    outlines: NDArray[np.object_]
    chosen: NDArray[np.bool_]
    known: Literal["sparse", "full"]
    tree: shapely.STRtree

    @classmethod
    def of(cls, frame: geopandas.GeoDataFrame, grid: Grid, *, known: Literal["sparse", "full"]) -> Self:
        """All fields of ``frame``, in the CRS of the image's ``grid``."""
        to_px = ~grid.scaled(OUTPUT_SCALE).transform
        outlines = shapely.transform(
            lying_on(outline_of(grid), frame.geometry.to_numpy()),
            lambda xy: np.column_stack(to_px @ (xy[:, 0], xy[:, 1])),
        )
        return cls(
            outlines=outlines,
            chosen=np.ones(len(outlines), np.bool_),
            known=known,
            tree=shapely.STRtree(outlines),
        )

    @property
    def bounds_px(self) -> Window:
        """The label pixels within the bounding box of all outlines."""
        left, top, right, bottom = shapely.total_bounds(self.outlines)
        return Window(math.floor(top), math.floor(left), math.ceil(bottom), math.ceil(right))

    def rasterise(self, window: Window) -> NDArray[np.int32]:
        """Instances of a window of label pixels: number from 1 of the field, 0 known to be none, -1 unknown.

        The smaller of two overlapping fields is drawn over the larger one. The raster does not depend on the
        window but for gaps within ``GAP_PX`` of its edge, so ask for as much more.
        """
        from rasterio.features import rasterize

        near = self.tree.query(shapely.box(window.col0, window.row0, window.col1, window.row1))
        near = near[np.lexsort((near, -shapely.area(self.outlines[near])))]
        instances = np.zeros(window.shape, np.int32)
        if len(near):
            shift = np.array([window.col0, window.row0])
            local = shapely.transform(self.outlines[near], lambda xy: xy - shift)
            rasterize(zip(local, (near + 1).tolist(), strict=True), out=instances)
        labelled = instances > 0
        if self.known == "sparse":
            gaps = ndimage.binary_closing(np.pad(labelled, GAP_PX), iterations=GAP_PX)
            known = gaps[GAP_PX:-GAP_PX, GAP_PX:-GAP_PX]
        else:
            known = np.zeros(window.shape, np.bool_)
            inner = self.bounds_px.intersection(window)
            if inner is not None:
                known[inner.slices(window)] = True
        left_out = ~np.concatenate([[True], self.chosen])[instances]
        if left_out.any() and not self.chosen.all():
            # Ground between fields counts with the nearest of them.
            nearest = ndimage.distance_transform_edt(~labelled, return_distances=False, return_indices=True)
            left_out = left_out[tuple(nearest)]
        return np.where(known & ~left_out, instances, -1).astype(np.int32)


def lying_on(ground: shapely.Geometry, outlines: NDArray[np.object_]) -> NDArray[np.object_]:
    """What of every outline (n,) lies on ``ground``, empty where none does; those that lie there whole stay as they are."""
    shapely.prepare(ground)
    beyond = ~shapely.covers(ground, outlines)
    parts = shapely.intersection(outlines[beyond], ground)
    inside = outlines.copy()
    inside[beyond] = np.where(shapely.area(parts) > 0, parts, shapely.Polygon())
    return inside


def folds_of(
    frames: Sequence[geopandas.GeoDataFrame],
    grids: Sequence[Grid],
    *,
    folds: int,
    block_m: float | None = None,
) -> list[NDArray[np.int64]]:
    """The fold (n,) of every field of each frame, which is in the CRS of its grid, by square blocks of ``block_m`` metres.

    Without ``block_m`` of 64 pixels of the first grid, or of fewer where the fields lie so close together that a fold
    would stay empty. All frames share the blocks: a field on several scenes is held out of all of them at once.
    """
    first, pixel_m = grids[0], max(grids[0].pixel_size_m())
    one_crs = all(grid.crs == first.crs for grid in grids)
    crs, lattice = (first.crs, first.transform) if one_crs else (_EVERYWHERE, Affine.scale(pixel_m))
    outlines = [reprojected(frame.geometry.to_numpy(), frame.crs, crs) for frame in frames]
    inner = shapely.point_on_surface(np.concatenate(outlines))
    col, row = ~lattice @ (shapely.get_x(inner), shapely.get_y(inner))
    for size_px in _BLOCKS_PX if block_m is None else (block_m / pixel_m,):
        rows, cols = (np.floor(place / size_px).astype(np.int64) for place in (row, col))
        fold = balanced_folds(rows, cols, folds)
        if len(np.unique(fold)) == folds:
            break
    return np.split(fold, np.cumsum([len(frame) for frame in frames])[:-1])
