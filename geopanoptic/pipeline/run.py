"""A run from scene to products: the eight steps, in order."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray

from geopanoptic.errors import SceneError, UsageError
from geopanoptic.models.bundle import load_bundle
from geopanoptic.pipeline.emission import (
    RASTERS,
    rasters_in_memory,
    rasters_of_files,
    trace_layers,
    write_products,
)
from geopanoptic.pipeline.inference import infer
from geopanoptic.pipeline.parameters import Parameters
from geopanoptic.pipeline.plan import Plan, check_disk, make_plan
from geopanoptic.pipeline.progress import Progress, Silent
from geopanoptic.pipeline.record import Record, report
from geopanoptic.pipeline.result import Result
from geopanoptic.pipeline.rules import rules_of_bundle
from geopanoptic.pipeline.segmentation import segment
from geopanoptic.pipeline.store import RunStore
from geopanoptic.products.commit import Commit
from geopanoptic.products.report import write_run_report
from geopanoptic.products.suffixes import require_vector_suffix
from geopanoptic.scene import Scene, open_scene

SceneLike = Scene | str | Path | Sequence[str | Path]


def plan(scene: SceneLike, **parameters: Any) -> Plan:
    """What :func:`run` would do with the same parameters: layout, memory, disk. Reads headers only."""
    return _plan(scene, Parameters(**parameters))


def run(
    scene: SceneLike,
    out: str | Path | None = None,
    *,
    rasters: str | Path | None = None,
    work: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    **parameters: Any,
) -> Result:
    """Map one scene: parcels and land cover as polygons and rasters.

    Parameters
    ----------
    scene
        A file, a folder, several files (one per band), or a ``Scene`` from ``open_scene``.
    out
        GeoPackage to write; without it nothing is written and the result holds its rasters in memory.
    rasters
        Folder for ``class.tif``, ``parcel_id.tif`` and ``confidence.tif`` (cloud-optimised GeoTIFF).
    work
        Folder for intermediate data; by default beside ``out``.
    overwrite
        Replace existing outputs, once the new ones are complete and verified.
    progress
        Receives stages, notes and warnings; nothing is shown by default.
    parameters
        The fields of ``geopanoptic.pipeline.parameters.Parameters``, which are the options of the command
        line. The result does not depend on ``tile_px``, ``block_px``, ``batch``, ``memory``, ``threads``.

    Raises
    ------
    SceneError, ModelError, UsageError, OutputError, ResourceError, LockedError
        See ``geopanoptic.errors``; an existing output is untouched then.
    """
    asked = Parameters(**parameters)
    record = Record(progress or Silent())
    targets = _targets(out, rasters)

    # 1 open and 2 plan, before any output is touched.
    with record.stage("plan"):
        planned = _plan(scene, asked)
    for note in planned.scene.notes:
        record.note(note)
    for warning in (*planned.scene.warnings, *planned.warnings):
        record.warn(warning)

    with ExitStack() as stack:
        commit = None
        if targets.vector is not None:
            commit = stack.enter_context(
                Commit(targets.all, overwrite=overwrite, inputs=[Path(file) for file in planned.scene.files])
            )
        folder = _work_folder(stack, commit, Path(work) if work is not None else None)
        check_disk(planned, folder)
        store = RunStore(
            folder=folder,
            shape=planned.grid.shape,
            block_px=planned.layout.block_px * planned.bundle.output_scale,
        )
        # 3 read and 4 infer.
        normalisation = infer(store, planned, asked, record)
        # 5 group and 6 fuse.
        final = segment(
            store,
            rules_of_bundle(planned.bundle, min_area_px=planned.min_area_px),
            workers=planned.workers,
            progress=record,
        )
        if not final.n_regions:
            record.warn("The scene has no valid pixel in the area asked for: the layers are empty.")
        # 7 trace.
        layers = trace_layers(store, planned, final, record)
        # 8 commit.
        if commit is None or targets.vector is None:
            arrays: xarray.Dataset | None = rasters_in_memory(store, planned, final)
            told = report(planned, asked, normalisation, final, record)
        else:
            with record.stage("write"):
                checks = write_products(
                    commit,
                    targets.vector,
                    targets.rasters,
                    store=store,
                    planned=planned,
                    asked=asked,
                    final=final,
                    layers=layers,
                )
            _refuse_changed(planned.scene)
            told = report(planned, asked, normalisation, final, record)
            write_run_report(commit.staged(targets.report), told)
            commit.publish(checks)
            arrays = rasters_of_files(targets.rasters)
    return Result(
        parcels=layers.parcels, landcover=layers.landcover, rasters=arrays, report=told, out=targets.vector
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Targets:
    vector: Path | None
    rasters: Mapping[str, Path]

    @property
    def report(self) -> Path:
        return (self.vector or Path()).with_suffix(".run.json")

    @property
    def all(self) -> list[Path]:
        return [self.vector, self.report, *self.rasters.values()] if self.vector is not None else []


def _targets(out: str | Path | None, rasters: str | Path | None) -> _Targets:
    if out is None:
        if rasters is not None:
            raise UsageError("Rasters are asked for without an output.", remedy="Name the GeoPackage too.")
        return _Targets(vector=None, rasters={})
    vector = Path(out)
    require_vector_suffix(vector)
    names = RASTERS if rasters is not None else ()
    return _Targets(vector=vector, rasters={name: Path(rasters or "") / f"{name}.tif" for name in names})


def _plan(source: SceneLike, asked: Parameters) -> Plan:
    scene = (
        source
        if isinstance(source, Scene)
        else open_scene(source, bands=asked.bands, dates=asked.dates, assume_crs=asked.assume_crs)
    )
    return make_plan(
        scene,
        load_bundle(asked.model),
        min_area_m2=asked.min_area_m2,
        simplify_m=asked.simplify_m,
        tile_px=asked.tile_px,
        block_px=asked.block_px,
        batch=asked.batch,
        memory=asked.memory,
        workers=asked.threads,
    )


def _work_folder(stack: ExitStack, commit: Commit | None, work: Path | None) -> Path:
    """Beside the output, where leftovers of a killed run are found again; or a fresh folder in ``work``."""
    if work is None and commit is not None:
        commit.work.mkdir(parents=True, exist_ok=True)
        return commit.work
    if work is not None:
        work.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="geopanoptic-", dir=work))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _refuse_changed(scene: Scene) -> None:
    changed = scene.changed_files()
    if changed:
        raise SceneError(
            f"{', '.join(str(file) for file in changed)} changed while it was read.",
            remedy="Run again once it is complete.",
        )
