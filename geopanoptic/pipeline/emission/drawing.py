"""The two vector layers of a map, drawn from its coverage a few thousand polygons at a time.

Geometries and tables are large, the coverage in integers is small: with batches of fixed size, drawn on
threads just before they are needed, memory does not grow with the number of polygons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import geopandas
import numpy as np
import pyarrow
from numpy.typing import NDArray

from geopanoptic.grid import Grid
from geopanoptic.panoptic.coverage import Outlines
from geopanoptic.pipeline.execution import Threads
from geopanoptic.products.classes import MapClass
from geopanoptic.products.layers import LANDCOVER, PARCELS, Layer
from geopanoptic.products.literal import literally
from geopanoptic.products.polygons import Polygons
from geopanoptic.products.rows import landcover_rows, parcel_rows, table_of_rows

BATCH_POLYGONS = 4096

Part: TypeAlias = tuple[Callable[[slice], pyarrow.RecordBatch], slice]


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
        return table_of_rows(self._drawn(self._parcel_parts()))

    def landcover(self) -> geopandas.GeoDataFrame:
        """The whole layer in memory."""
        return table_of_rows(self._drawn(self._landcover_parts()))

    def batches(self) -> tuple[Iterator[pyarrow.RecordBatch], Iterator[pyarrow.RecordBatch]]:
        """The parcels by id and the land cover by first pixel, each in at least one batch, in this order only.

        While the last parcels are written, land cover is drawn already.
        """
        parcels = self._parcel_parts()
        drawn = self._drawn([*parcels, *self._landcover_parts()])
        return islice(drawn, len(parcels)), drawn

    def _parcel_parts(self) -> list[Part]:
        return [(self._draw_parcels, part) for part in _parts(0, self.n_things)]

    def _landcover_parts(self) -> list[Part]:
        return [(self._draw_landcover, part) for part in _parts(self.n_things, len(self.outlines))]

    def _drawn(self, parts: list[Part]) -> Iterator[pyarrow.RecordBatch]:
        return Threads(workers=self.workers).map(lambda part: part[0](part[1]), parts)

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


def _parts(begin: int, end: int) -> list[slice]:
    firsts = range(begin, max(end, begin + 1), BATCH_POLYGONS)
    return [slice(first, min(first + BATCH_POLYGONS, end)) for first in firsts]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayersOfFile:
    """The layers of a GeoPackage that a run wrote."""

    path: Path

    def parcels(self) -> geopandas.GeoDataFrame:
        """The whole layer in memory."""
        return self._layer(PARCELS)

    def landcover(self) -> geopandas.GeoDataFrame:
        """The whole layer in memory."""
        return self._layer(LANDCOVER)

    def _layer(self, layer: Layer) -> geopandas.GeoDataFrame:
        with literally(self.path) as path:
            return geopandas.read_file(path, layer=layer.name)
