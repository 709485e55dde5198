"""The two vector layers of a map, drawn from its coverage a few thousand polygons at a time.

Geometries and tables are large, the coverage in integers is small: with parts of fixed size, drawn on
threads just before they are needed, memory does not grow with the number of polygons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import pandas
from numpy.typing import NDArray

from geopanoptic.grid import Grid
from geopanoptic.panoptic.coverage import Outlines
from geopanoptic.pipeline.execution import Threads
from geopanoptic.products.classes import MapClass
from geopanoptic.products.layers import LANDCOVER, PARCELS, landcover_layer, parcel_layer

PART_POLYGONS = 4096


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
        return _joined(self.parcel_parts())

    def landcover(self) -> geopandas.GeoDataFrame:
        """The whole layer in memory."""
        return _joined(self.landcover_parts())

    def parcel_parts(self) -> Iterator[geopandas.GeoDataFrame]:
        """The parcels by id, in at least one part."""
        return self._parts(self._draw_parcels, 0, self.n_things)

    def landcover_parts(self) -> Iterator[geopandas.GeoDataFrame]:
        """The land cover by first pixel, in at least one part."""
        return self._parts(self._draw_landcover, self.n_things, len(self.outlines))

    def _parts(
        self, draw: Callable[[slice], geopandas.GeoDataFrame], begin: int, end: int
    ) -> Iterator[geopandas.GeoDataFrame]:
        firsts = range(begin, max(end, begin + 1), PART_POLYGONS)
        parts = [slice(first, min(first + PART_POLYGONS, end)) for first in firsts]
        return Threads(workers=self.workers).map(draw, parts)

    def _draw_parcels(self, part: slice) -> geopandas.GeoDataFrame:
        labels = self.outlines.labels[part]
        return parcel_layer(
            self.outlines.polygons(part, self.grid.transform),
            parcel_id=labels,
            class_id=self.class_id[labels],
            class_score=self.class_score[labels - 1],
            score=self.score[labels - 1],
            classes=self.classes,
            crs=self.grid.crs,
            bounds=self.grid.bounds,
        )

    def _draw_landcover(self, part: slice) -> geopandas.GeoDataFrame:
        return landcover_layer(
            self.outlines.polygons(part, self.grid.transform),
            class_id=self.class_id[self.outlines.labels[part]],
            classes=self.classes,
            crs=self.grid.crs,
            bounds=self.grid.bounds,
        )


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


def _joined(parts: Iterator[geopandas.GeoDataFrame]) -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame(pandas.concat(list(parts), ignore_index=True))
