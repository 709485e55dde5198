"""A run from scene to products: the eight steps, in order."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray

from geopanoptic.arguments import options_of
from geopanoptic.errors import UsageError
from geopanoptic.pipeline.detections.finding import group_parcels
from geopanoptic.pipeline.emission.cataloguing import refuse_undated, write_item
from geopanoptic.pipeline.emission.drawing import LayersOfFile
from geopanoptic.pipeline.emission.emitting import (
    RASTERS,
    rasters_in_memory,
    rasters_of_files,
    trace_layers,
    write_products,
)
from geopanoptic.pipeline.execution import wait_for_interrupted
from geopanoptic.pipeline.execution.crew import PROCESSES, THREADS
from geopanoptic.pipeline.execution.opening import open_executor
from geopanoptic.pipeline.grouping.rules import rules_of_bundle
from geopanoptic.pipeline.grouping.segmentation import segment
from geopanoptic.pipeline.network.inference import PrefersBf16, infer
from geopanoptic.pipeline.network.skipping import leave_out, take_in_part
from geopanoptic.pipeline.parameters import Parameters
from geopanoptic.pipeline.planning.plan import Plan
from geopanoptic.pipeline.planning.room import check_disk, check_memory
from geopanoptic.pipeline.preparing import (
    SceneLike,
    begin_finish,
    begin_run,
    crew_of,
    plan_run,
    refuse_changed,
    refuse_other_run,
    remember_rate,
)
from geopanoptic.pipeline.progress import Progress, progress_of
from geopanoptic.pipeline.record import Record, last_date, metadata, report, warn_of_remains
from geopanoptic.pipeline.result import Result
from geopanoptic.pipeline.resuming.beginning import require_complete
from geopanoptic.pipeline.resuming.workfolder import refuse_claimed, refuse_foreign, stored_bytes, work_folder
from geopanoptic.products.commit import Commit
from geopanoptic.products.geoparquet import SUFFIX as PARQUET_SUFFIX
from geopanoptic.products.report import told_outputs, write_run_report
from geopanoptic.products.stac import SUFFIX as STAC_SUFFIX
from geopanoptic.products.suffixes import require_vector_suffix

if TYPE_CHECKING:
    from distributed import Client


@options_of(Parameters)
def plan(scene: SceneLike, **parameters: Any) -> Plan:
    """What :func:`run` would do with the same parameters: layout, memory, disk. Reads headers only."""
    asked = Parameters(**parameters)
    return plan_run(scene, asked, crew_of(asked))


def refuse(
    planned: Plan,
    out: str | Path | None = None,
    *,
    rasters: str | Path | None = None,
    parquet: bool = False,
    stac: bool = False,
    work: str | Path | None = None,
    resume: bool = False,
    finish: bool = False,
    shard: bool = False,
    overwrite: bool = False,
    **parameters: Any,
) -> None:
    """Raises what :func:`run`, or a ``shard``, would raise before it reads a pixel: of its memory, outputs, work folder,
    disk and device. Changes nothing."""
    asked, targets = Parameters(**parameters), _targets(out, rasters, parquet=parquet, stac=stac)
    if stac:
        refuse_undated(planned.scene)
    if not shard:
        check_memory(planned, asked.memory)
    folder = None if work is None else Path(work)
    if targets.vector is not None:
        commit = Commit(targets.all, overwrite=overwrite, inputs=_inputs(planned, asked))
        commit.refuse()
        folder = folder or commit.work
    if folder is not None:
        if work is not None:
            refuse_foreign(folder)
            if not shard:
                refuse_claimed(folder)
        if work is not None or resume:
            refuse_other_run(planned, asked, folder, may_continue=resume or finish or shard)
        _check_disk(planned, folder.resolve(), targets, rasters)
    if not finish and asked.scheduler in (THREADS, PROCESSES):
        PrefersBf16(device=asked.device, runtime=asked.runtime)()


def _check_disk(planned: Plan, folder: Path, targets: _Targets, rasters: str | Path | None) -> None:
    check_disk(
        planned,
        folder,
        stored_bytes=stored_bytes(folder),
        out=None if targets.vector is None else targets.vector.resolve().parent,
        rasters=None if rasters is None else Path(rasters).resolve(),
    )


@options_of(Parameters)
def run(
    scene: SceneLike,
    out: str | Path | None = None,
    *,
    rasters: str | Path | None = None,
    parquet: bool = False,
    stac: bool = False,
    work: str | Path | None = None,
    keep_work: bool = False,
    resume: bool = False,
    finish: bool = False,
    overwrite: bool = False,
    progress: Progress | bool | None = None,
    client: Client | None = None,
    **parameters: Any,
) -> Result:
    """Map one scene, of one date or of a season: parcels and land cover as polygons and rasters.

    Parameters
    ----------
    scene
        A file, a folder, several files (one per band, per date or both), or a ``Scene`` from ``open_scene``.
    out
        GeoPackage to write; without it nothing is written and the result holds its rasters in memory.
    rasters
        Folder for ``class.tif``, ``parcel_id.tif`` and ``confidence.tif`` (cloud-optimised GeoTIFF).
    parquet
        Also write the parcels as GeoParquet (fiboa) beside ``out``, such as ``parcels.parquet``.
    stac
        Also write a STAC item of the map beside ``out``, such as ``parcels.stac.json``, for catalogues.
    work
        Folder for intermediate data, of this run alone; by default beside ``out``.
    keep_work
        Leave the intermediate data in ``work``, for a later run with ``resume``.
    resume
        Continue an earlier run with the same ``work`` or ``out``, to the same bytes. Refused where scene,
        model or parameters are others; only ``min_area_m2``, ``simplify_m``, ``fusion`` and what never
        changes the map may be. Where there is nothing to continue, the run starts from the beginning.
    finish
        Make the map of blocks that :func:`~geopanoptic.pipeline.sharding.run_shard` has put into ``work``.
    overwrite
        Replace existing outputs, once the new ones are complete and verified.
    progress
        Receives stages, notes and warnings; True shows them on standard error, by default warnings alone are shown there.
    client
        A connected ``distributed.Client`` whose workers compute; ``scheduler`` does not count then.
    parameters
        The fields of ``geopanoptic.pipeline.parameters.Parameters``, which are the options of the command
        line. The result does not depend on ``tile_px``, ``block_px``, ``batch``, ``memory``, ``threads``,
        ``scheduler`` and ``workers``.

    Raises
    ------
    SceneError, ModelError, UsageError, OutputError, ResourceError, LockedError
        See ``geopanoptic.errors``; an existing output is untouched then.
    """
    asked = Parameters(**parameters)
    record = Record(progress_of(progress))
    targets = _targets(out, rasters, parquet=parquet, stac=stac)
    if work is None and (keep_work or finish):
        raise UsageError(
            f"{'--finish' if finish else '--keep-work'} needs a work folder.", remedy="Name it with --work."
        )

    # 1 open and 2 plan, before any output is touched.
    with record.stage("plan"):
        crew = crew_of(asked, client)
        planned = plan_run(scene, asked, crew)
        rules = rules_of_bundle(planned.bundle, min_area_px=planned.min_area_px, fusion=asked.fusion)
    record.announce(planned)
    if stac:
        refuse_undated(planned.scene)
    check_memory(planned, asked.memory)

    # What a run that was interrupted in this notebook still writes must not lie in this one's folder.
    wait_for_interrupted()
    with ExitStack() as stack:
        commit = None
        if targets.vector is not None:
            commit = stack.enter_context(
                Commit(
                    targets.all,
                    overwrite=overwrite,
                    resumable=True,
                    inputs=_inputs(planned, asked),
                )
            )
            warn_of_remains(targets.report, targets.all, record)
        folder = stack.enter_context(
            work_folder(
                commit,
                # Workers may have been started elsewhere.
                None if work is None else Path(work).absolute(),
                resume=resume,
                keep=keep_work,
                progress=record,
            )
        )
        _check_disk(planned, folder, targets, rasters)
        executor = stack.enter_context(open_executor(crew, folder=folder, progress=record, client=client))
        # 3 read and 4 infer.
        if finish:
            planned, beginning = begin_finish(planned, asked, crew, folder=folder, record=record)
            missing = take_in_part(beginning.missing(executor), beginning.store, executor, record)
            if asked.on_error == "fail":
                require_complete(beginning, missing, folder)
            leave_out(missing, beginning.store, record)
        else:
            planned, beginning = begin_run(
                planned,
                asked,
                crew,
                folder=folder,
                executor=executor,
                record=record,
                may_continue=resume,
            )
            missing = beginning.missing(executor)
            infer(beginning.store, missing, planned, asked, beginning.normalisation, executor, record)
        store, normalisation = beginning.store, beginning.normalisation
        # 5 group and 6 fuse.
        final = (
            group_parcels(
                store,
                planned.bundle,
                fusion=asked.fusion,
                min_area_px=planned.min_area_px,
                executor=executor,
                progress=record,
            )
            if planned.bundle.finds_parcels
            else segment(
                store,
                rules,
                executor=executor,
                progress=record,
                at_a_time=planned.grouping_tasks,
                device=asked.device,
            )
        )
        if not final.n_regions:
            record.warn_of_pixels("The scene has no valid pixel in the area asked for: the layers are empty.")
        # 7 trace.
        layers = trace_layers(store, planned, final, executor, record)
        record.worker_peak_bytes = executor.worker_peak_bytes()
        # 8 commit.
        if commit is None or targets.vector is None:
            arrays: xarray.Dataset | None = rasters_in_memory(store, planned, final)
            told = report(planned, asked, normalisation, final, record, crew)
        else:
            with record.stage("write"):
                checks = write_products(
                    commit,
                    targets.vector,
                    targets.rasters,
                    parquet=targets.parquet,
                    store=store,
                    planned=planned,
                    final=final,
                    layers=layers,
                    about=metadata(planned, asked, record),
                    observed=last_date(planned.scene),
                )
            refuse_changed(planned.scene)
            told = report(planned, asked, normalisation, final, record, crew) | told_outputs(
                targets.all, beside=targets.report
            )
            write_run_report(commit.staged(targets.report), told)
            if targets.stac is not None:
                write_item(
                    commit.staged(targets.stac),
                    planned,
                    told,
                    item=targets.stac,
                    vector=targets.vector,
                    parquet=targets.parquet,
                    report=targets.report,
                    rasters=targets.rasters,
                )
            commit.publish(checks)
            remember_rate(planned, asked, crew, record)
            arrays = rasters_of_files(targets.rasters)
    return Result(
        layers=layers if targets.vector is None else LayersOfFile(path=targets.vector),
        rasters=arrays,
        report=told,
        out=targets.vector,
        classes=planned.bundle.classes,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Targets:
    vector: Path | None
    rasters: Mapping[str, Path]
    parquet: Path | None = None
    stac: Path | None = None

    @property
    def report(self) -> Path:
        return (self.vector or Path()).with_suffix(".run.json")

    @property
    def all(self) -> list[Path]:
        if self.vector is None:
            return []
        beside = [each for each in (self.parquet, self.stac) if each is not None]
        return [self.vector, self.report, *self.rasters.values(), *beside]


def _inputs(planned: Plan, asked: Parameters) -> list[Path]:
    """The files that a run reads, and so never replaces."""
    area = [Path(asked.aoi)] if isinstance(asked.aoi, str | Path) else []
    return [*map(Path, planned.scene.files), *area]


def _targets(out: str | Path | None, rasters: str | Path | None, *, parquet: bool, stac: bool) -> _Targets:
    if out is None:
        asked = {"Rasters are": rasters is not None, "GeoParquet is": parquet, "A STAC item is": stac}
        if any(asked.values()):
            what = next(each for each, wanted in asked.items() if wanted)
            raise UsageError(f"{what} asked for without an output.", remedy="Name the GeoPackage too.")
        return _Targets(vector=None, rasters={})
    vector = Path(out)
    require_vector_suffix(vector, parquet_beside=True)
    names = RASTERS if rasters is not None else ()
    return _Targets(
        vector=vector,
        rasters={name: Path(rasters or "") / f"{name}.tif" for name in names},
        parquet=vector.with_suffix(PARQUET_SUFFIX) if parquet else None,
        stac=vector.with_suffix(STAC_SUFFIX) if stac else None,
    )
