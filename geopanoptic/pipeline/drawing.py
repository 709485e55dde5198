"""The two vector layers of a map, drawn from its coverage a few thousand polygons at a time.

Geometries and tables are large, the coverage in integers is small: with batches of fixed size, drawn on
threads just before they are needed, memory does not grow with the number of polygons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import pyarrow
from numpy.typing import NDArray

from geopanoptic.grid import Grid
from geopanoptic.panoptic.coverage import Outlines
from geopanoptic.pipeline.execution import Threads
from geopanoptic.products.classes import MapClass
from geopanoptic.products.layers import LANDCOVER, PARCELS
from geopanoptic.products.polygons import Polygons
from geopanoptic.products.rows import landcover_rows, parcel_rows, table_of_rows

BATCH_POLYGONS = 4096


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DrawnLayers:
    """The layers of a traced map: labels 1..n_things are parcels, the others land cover.

    ``class_id`` int32 (labels + 1,) is indexed by label, ``score`` and ``class_score`` float64 (labels,) by
    label - 1.
    """

    outlines: Outlines
    grid: Grid
    classes: Sequence[MapClass]
    class_id: NDArray[np.int32]
    score: NDArray[np.float64]
    class_score: NDArray[np.float64]
    n_things: int
    workers: int

    def parcels(self) -> geopandas.GeoDataFrame:
        """The whole layer in memory."""
        return table_of_rows(self.parcel_batches())

    def landcover(self) -> geopandas.GeoDataFrame:
        """The whole layer in memory."""
        return table_of_rows(self.landcover_batches())

    def parcel_batches(self) -> Iterator[pyarrow.RecordBatch]:
        """The parcels by id, in at least one batch."""
        return self._batches(self._draw_parcels, 0, self.n_things)

    def landcover_batches(self) -> Iterator[pyarrow.RecordBatch]:
        """The land cover by first pixel, in at least one batch."""
        return self._batches(self._draw_landcover, self.n_things, len(self.outlines))

    def _batches(
        self, draw: Callable[[slice], pyarrow.RecordBatch], begin: int, end: int
    ) -> Iterator[pyarrow.RecordBatch]:
        firsts = range(begin, max(end, begin + 1), BATCH_POLYGONS)
        parts = [slice(first, min(first + BATCH_POLYGONS, end)) for first in firsts]
        return Threads(workers=self.workers).map(draw, parts)

    def _draw_parcels(self, part: slice) -> pyarrow.RecordBatch:
        labels = self.outlines.labels[part]
        return parcel_rows(
            self._polygons(part),
            parcel_id=labels,
            class_id=self.class_id[labels],
            class_score=self.class_score[labels - 1],
            score=self.score[labels - 1],
            classes=self.classes,
            crs=self.grid.crs,
            bounds=self.grid.bounds,
        )

    def _draw_landcover(self, part: slice) -> pyarrow.RecordBatch:
        return landcover_rows(
            self._polygons(part),
            class_id=self.class_id[self.outlines.labels[part]],
            classes=self.classes,
            crs=self.grid.crs,
            bounds=self.grid.bounds,
        )

    def _polygons(self, part: slice) -> Polygons:
        xy, ring_offsets, polygon_offsets = self.outlines.rings(part, self.grid.transform)
        return Polygons(xy=xy, ring_offsets=ring_offsets, polygon_offsets=polygon_offsets)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayersOfFile:
    """The layers of a GeoPackage that a run wrote."""

    path: Path

    def parcels(self) -> geopandas.GeoDataFrame:
        """The whole layer in memory."""
        return geopandas.read_file(self.path, layer=PARCELS.name)

    def landcover(self) -> geopandas.GeoDataFrame:
        """The whole layer in memory."""
        return geopandas.read_file(self.path, layer=LANDCOVER.name)
