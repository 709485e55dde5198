"""The verb: detections of tiles to the products of a run."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import rasterio
from affine import Affine

from geopanoptic.cores import usable_cores
from geopanoptic.errors import SceneError, UsageError
from geopanoptic.grid import Grid
from geopanoptic.models.manifest import ClassSpec
from geopanoptic.panoptic.fusion.rules import DEEPLAB, FusionRule, fusion_named
from geopanoptic.panoptic.parcels.repair import PanopticRegions
from geopanoptic.pipeline.detections.folder import SIDECAR, DetectionFolder, classes_of, open_folder
from geopanoptic.pipeline.detections.matching import SceneObjects, find_objects
from geopanoptic.pipeline.detections.settling import settle
from geopanoptic.pipeline.emission.emitting import RASTERS, trace_layers, write_products
from geopanoptic.pipeline.execution import Threads
from geopanoptic.pipeline.planning.plan import drawing_sizes
from geopanoptic.pipeline.progress import Progress, progress_of
from geopanoptic.pipeline.record import Record, warn_of_remains
from geopanoptic.pipeline.resuming.workfolder import kept_if_useful
from geopanoptic.pipeline.store.run_store import RunStore
from geopanoptic.products.commit import Commit
from geopanoptic.products.geoparquet import SUFFIX as PARQUET_SUFFIX
from geopanoptic.products.report import told_outputs, versions, write_run_report
from geopanoptic.products.suffixes import require_vector_suffix
from geopanoptic.scene.files.formats import driver_of

BLOCK_PX = 512
BLOCKS, TILES = "blocks", "tiles"
"""Folders of what is worked with."""

MIN_SCORE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionPlan:
    """What is to be made of a folder of detections."""

    scene: Path
    grid: Grid
    """Of the map: the scene's own."""
    tiles: DetectionFolder
    classes: tuple[ClassSpec, ...]
    rule: FusionRule
    min_area_px: int
    min_score: float
    simplify_m: float
    workers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fused:
    """The map that was written, and its report (the content of ``run.json``)."""

    out: Path
    report: dict[str, Any]


def fuse(
    detections: str | Path,
    scene: str | Path,
    out: str | Path,
    *,
    fusion: str = DEEPLAB.name,
    rasters: str | Path | None = None,
    parquet: bool = False,
    min_score: float = MIN_SCORE,
    min_area_m2: float | None = None,
    simplify_m: float | None = None,
    block_px: int = BLOCK_PX,
    threads: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | bool | None = None,
) -> Fused:
    """Make one map of what an instance model said of a scene's tiles; see ``folder`` and ``reading`` for its form.

    Tiles should overlap: detections are the same object where they agree on the ground that two tiles share.
    Detections below ``min_score`` take no part, and regions below ``min_area_m2`` (default: ten pixels) join a
    neighbour. The map does not depend on ``block_px``, ``threads`` and the order of the files.

    Every file is read once, and kept beside ``out`` in what is needed of it: with ``resume`` what an earlier call that
    was stopped has kept is not read again, unless its file has changed since.

    Raises ``UsageError`` for detections that cannot be read, ``SceneError`` for a scene without a place, and
    ``OutputError`` as ``run``.
    """
    rule = fusion_named(fusion)
    vector, grid = Path(out), _grid_of(Path(scene))
    require_vector_suffix(vector, parquet_beside=True)
    min_area_px, simplify_m = drawing_sizes(grid, min_area_m2, simplify_m)
    if not 0 <= min_score <= 1:
        raise UsageError(
            f"--min-score is {min_score}.", remedy="Give --min-score from 0 to 1, as scores are."
        )
    if block_px < 1 or (threads is not None and threads < 1):
        raise UsageError("Blocks and threads must be at least 1.", remedy="Leave them out.")
    found, told_of_tiles = open_folder(Path(detections), grid)
    workers = threads or usable_cores()
    record = Record(progress_of(progress))
    report_path = vector.with_suffix(".run.json")
    raster_paths = {} if rasters is None else {name: Path(rasters) / f"{name}.tif" for name in RASTERS}
    parquet_path = vector.with_suffix(PARQUET_SUFFIX) if parquet else None
    executor = Threads(workers=workers)
    targets = [vector, report_path, *raster_paths.values(), *([] if parquet_path is None else [parquet_path])]
    outputs = Commit(
        targets,
        overwrite=overwrite,
        resumable=True,
        inputs=[Path(scene), *found.paths],
    )
    with outputs as commit, kept_if_useful(commit.work, f"{TILES}/*/*.npy"):
        warn_of_remains(report_path, targets, record)
        for folder in (BLOCKS,) if resume else (BLOCKS, TILES):
            shutil.rmtree(commit.work / folder, ignore_errors=True)
        store = RunStore(folder=commit.work / BLOCKS, shape=grid.shape, block_px=block_px)
        tiles = replace(found, kept=commit.work / TILES)
        with record.stage("read", total=len(tiles), unit="tiles") as stage:
            for _ in executor.map(tiles.keep, range(len(tiles))):
                stage.advance(1)
        classes = classes_of(told_of_tiles, tiles)
        planned = FusionPlan(
            scene=Path(scene),
            grid=grid,
            tiles=tiles,
            classes=classes.of_map(),
            rule=rule,
            min_area_px=min_area_px,
            min_score=min_score,
            simplify_m=simplify_m,
            workers=workers,
        )
        with record.stage("match"):
            objects = find_objects(tiles, classes, min_score=min_score, executor=executor)
        if objects.unnamed:
            counts = ", ".join(
                f"{count:,} of label {label}" for label, count in sorted(objects.unnamed.items())
            )
            record.warn(f"Detections are left out whose label {SIDECAR} names no thing for: {counts}.")
        final = settle(
            store,
            (tiles, classes, objects),
            rule,
            min_area_px=planned.min_area_px,
            executor=executor,
            progress=record,
        )
        layers = trace_layers(store, planned, final, executor, record)
        about = _about(planned)
        with record.stage("write"):
            checks = write_products(
                commit,
                vector,
                raster_paths,
                parquet=parquet_path,
                store=store,
                planned=planned,
                final=final,
                layers=layers,
                about=about,
                observed=None,
            )
        told = _report(planned, about, objects, final, record) | told_outputs(targets, beside=report_path)
        write_run_report(commit.staged(report_path), told)
        commit.publish(checks)
    return Fused(out=vector, report=told)


def _about(planned: FusionPlan) -> dict[str, Any]:
    """What can change the map, and nothing that cannot."""
    return {
        "software": f"geopanoptic {versions()['geopanoptic']}",
        "scene": planned.scene.name,
        "tiles": len(planned.tiles.paths),
        "fusion": planned.rule.name,
        "min_score": planned.min_score,
        "min_area_output_px": planned.min_area_px,
        "simplify_m": planned.simplify_m,
    }


def _report(
    planned: FusionPlan,
    about: Mapping[str, Any],
    objects: SceneObjects,
    final: PanopticRegions,
    record: Record,
) -> dict[str, Any]:
    detections: Sequence[int] = [int((each >= 0).sum()) for each in objects.of_tile]
    return {
        **about,
        "detections": sum(detections) + objects.unnamed.total(),
        "objects": len(objects.score),
        "parcels": final.n_things,
        "landcover_areas": final.n_regions - final.n_things,
        "versions": versions(),
        **record.summary(planned.grid.height * planned.grid.width),
    }


def _grid_of(scene: Path) -> Grid:
    try:
        with rasterio.open(scene, driver=driver_of(scene)) as file:
            crs, transform, shape = file.crs, file.transform, file.shape
    except (rasterio.errors.RasterioError, OSError) as error:
        raise SceneError(
            f"{scene} cannot be read: {error}.", remedy="Give the GeoTIFF that the tiles were cut from."
        ) from None
    if crs is None or transform == Affine.identity():
        raise SceneError(f"{scene} does not say where it lies.", remedy="Give the georeferenced scene.")
    return Grid(crs_wkt=crs.to_wkt(), transform=transform, height=shape[0], width=shape[1])
