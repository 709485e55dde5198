"""Steps 7 and 8: labels to polygon layers and rasters, written into a commit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import xarray
from numpy.typing import NDArray

from geopanoptic.grid import Grid, Window
from geopanoptic.panoptic.coverage import BlockCorners, join_corners, link, outlines, simplify, trace_block
from geopanoptic.panoptic.parcels.repair import PanopticRegions
from geopanoptic.pipeline.emission.drawing import DrawnLayers
from geopanoptic.pipeline.execution import Executor, Threads
from geopanoptic.pipeline.execution.crew import local_workers
from geopanoptic.pipeline.grouping.segmentation import local_map
from geopanoptic.pipeline.memory import return_freed_memory
from geopanoptic.pipeline.record import Record
from geopanoptic.pipeline.store.run_store import RunStore
from geopanoptic.products.classes import MapClass, of_kind
from geopanoptic.products.cog import (
    RasterProduct,
    class_raster,
    confidence_raster,
    instance_raster,
    verify_cog,
    write_cog,
)
from geopanoptic.products.commit import Check, Commit
from geopanoptic.products.geopackage import UNDATED, verify_geopackage, write_geopackage
from geopanoptic.products.geoparquet import passing_parcels, verify_geoparquet

RASTERS = ("class", "parcel_id", "confidence")


class MapPlan(Protocol):
    """What has to be known of a map that is to be written; the plan of a run says it."""

    @property
    def grid(self) -> Grid:
        """Of the map's pixels."""

    @property
    def classes(self) -> Sequence[MapClass]:
        """Thing and stuff classes; regions carry indices into those of their kind."""

    @property
    def simplify_m(self) -> float:
        """How far a border may move when straightened."""

    @property
    def workers(self) -> int:
        """Threads of this process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceBlock:
    """Task: the corners of the regions' outlines in one block."""

    store: RunStore

    def __call__(self, block: Window) -> BlockCorners:
        return trace_block(self.store.read("label", block.grown(1)), block, self.store.shape)


def trace_layers(
    store: RunStore, planned: MapPlan, final: PanopticRegions, executor: Executor, record: Record
) -> DrawnLayers:
    """Trace all regions as one coverage, straighten shared borders once, and attach attributes."""
    grid, blocks = planned.grid, store.blocks()
    return_freed_memory()
    with record.stage("trace", total=grid.height * grid.width, unit="px") as stage:

        def traced() -> Iterator[BlockCorners]:
            for block, corners in zip(blocks, executor.map(TraceBlock(store=store), blocks), strict=True):
                yield corners
                stage.advance(block.size_px)

        corners = join_corners(traced())
        # Those of the blocks, which the C library keeps because they are small.
        return_freed_memory()
        arcs = link(corners)
        del corners
    with record.stage("simplify"):
        if planned.simplify_m > 0:
            along_row_m, along_col_m = grid.pixel_size_m()
            tolerance_px = planned.simplify_m / along_row_m, planned.simplify_m / along_col_m
            with local_map(executor) as each:
                arcs = simplify(arcs, tolerance_px, each)
    return DrawnLayers(
        outlines=outlines(arcs),
        grid=grid,
        classes=planned.classes,
        class_id=_class_ids(planned, final),
        score=final.score,
        class_score=final.class_score,
        n_things=final.n_things,
        workers=local_workers(executor),
    )


def raster_windows(
    store: RunStore, planned: MapPlan, final: PanopticRegions
) -> dict[str, Callable[[Window], NDArray[np.generic]]]:
    """Readers of the rasters' windows (h, w): class uint8, parcel_id int32, confidence uint8; 0 = nodata.

    Confidence (255 = 1) is the thing probability on things, elsewhere the probability of the best stuff
    class; at least 1 where there is data.
    """
    class_id = _class_ids(planned, final).astype(np.uint8)

    def classes(window: Window) -> NDArray[np.generic]:
        return class_id[store.read("label", window)]

    def parcels(window: Window) -> NDArray[np.generic]:
        label = store.read("label", window)
        return np.where(label <= final.n_things, label, 0).astype(np.int32)

    def confidence(window: Window) -> NDArray[np.generic]:
        label = store.read("label", window)
        thing = store.read("field", window).astype(np.uint16)
        stuff = (255 - thing) * store.read("stuff_score", window) // 255
        certainty = np.where(label <= final.n_things, thing, stuff)
        return np.where(label > 0, np.maximum(certainty, 1), 0).astype(np.uint8)

    return {"class": classes, "parcel_id": parcels, "confidence": confidence}


def write_products(
    commit: Commit,
    vector: Path,
    rasters: Mapping[str, Path],
    *,
    parquet: Path | None = None,
    store: RunStore,
    planned: MapPlan,
    final: PanopticRegions,
    layers: DrawnLayers,
    about: Mapping[str, Any],
    observed: datetime | None,
) -> dict[Path, Check]:
    """Stage the GeoPackage, the GeoParquet if there is to be one, and the rasters; returns how each is to be verified
    before it is published.

    ``about`` is what both say of themselves, ``observed`` (aware) when the ground was last seen; None: nobody knows.
    """
    classes = planned.classes
    parcels, landcover = layers.batches()
    if parquet is not None:
        parcels = passing_parcels(
            commit.staged(parquet),
            parcels,
            collection=parquet.stem,
            classes=classes,
            metadata=about,
            observed=observed,
        )
    write_geopackage(
        commit.staged(vector),
        parcels=parcels,
        landcover=landcover,
        classes=classes,
        metadata=about,
        timestamp=observed or UNDATED,
    )
    n_parcels, n_areas = final.n_things, final.n_regions - final.n_things
    checks: dict[Path, Check] = {
        vector: lambda staged: verify_geopackage(staged, parcels=n_parcels, landcover=n_areas)
    }
    products: dict[str, RasterProduct] = {
        "class": class_raster(classes),
        "parcel_id": instance_raster(),
        "confidence": confidence_raster(),
    }
    if parquet is not None:
        checks[parquet] = lambda staged: verify_geoparquet(staged, parcels=n_parcels)
    readers = raster_windows(store, planned, final)

    def write_one(name: str) -> None:
        blocks = ((block, readers[name](block)) for block in store.blocks())
        write_cog(commit.staged(rasters[name]), blocks, grid=planned.grid, product=products[name])

    # Products are staged on this machine's disk, beside the output.
    for _ in Threads(workers=planned.workers).map(write_one, list(rasters)):
        pass
    checks |= {path: lambda staged: verify_cog(staged, grid=planned.grid) for path in rasters.values()}
    return checks


def rasters_in_memory(store: RunStore, planned: MapPlan, final: PanopticRegions) -> xarray.Dataset:
    """The rasters as a dataset with CRS, read whole."""
    grid = planned.grid
    coordinates = {}
    if grid.transform.b == 0 and grid.transform.d == 0:
        coordinates = {
            "x": grid.transform.c + grid.transform.a * (np.arange(grid.width) + 0.5),
            "y": grid.transform.f + grid.transform.e * (np.arange(grid.height) + 0.5),
        }
    readers = raster_windows(store, planned, final)
    layers = {name: (("y", "x"), read(grid.window)) for name, read in readers.items()}
    return _placed(xarray.Dataset(layers, coords=coordinates), grid)


def rasters_of_files(paths: Mapping[str, Path]) -> xarray.Dataset | None:
    """The written rasters as a lazy dataset, or None where none were asked for."""
    if not paths:
        return None
    opened = {
        name: xarray.open_dataarray(path, engine="rasterio", chunks={"x": 2048, "y": 2048}).squeeze(
            "band", drop=True
        )
        for name, path in paths.items()
    }
    return xarray.Dataset(opened)


def _placed(dataset: xarray.Dataset, grid: Grid) -> xarray.Dataset:
    import rioxarray  # noqa: F401  (registers .rio)

    placed: xarray.Dataset = dataset.rio.write_crs(grid.crs_wkt).rio.write_transform(grid.transform)
    return placed


def _class_ids(planned: MapPlan, final: PanopticRegions) -> NDArray[np.int32]:
    """Class id of every label, (n_regions + 1,); 0 for nodata."""
    n = final.n_things
    things = np.array([each.id for each in of_kind(planned.classes, "thing")], np.int32)
    stuff = np.array([each.id for each in of_kind(planned.classes, "stuff")], np.int32)
    of_label = [np.zeros(1, np.int32), things[final.class_index[:n]], stuff[final.class_index[n:]]]
    return np.concatenate(of_label)
