"""Steps 1 and 2 of a run, open and plan, and the opening of its work folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING

import xarray

from geopanoptic.errors import ResourceError, SceneError, UsageError
from geopanoptic.pipeline.execution import Executor
from geopanoptic.pipeline.execution.crew import PROCESSES, Crew, crew_for
from geopanoptic.pipeline.memory import PROCESS_BYTES, WORTHWHILE_TILE_BYTES
from geopanoptic.pipeline.network.inference import DescribeRuntime, PrefersBf16, network_of_run, stored_layers
from geopanoptic.pipeline.network.normalising import FirstLook, look_at
from geopanoptic.pipeline.parameters import Parameters
from geopanoptic.pipeline.planning.aoi import read_aoi
from geopanoptic.pipeline.planning.fitting import budget_of
from geopanoptic.pipeline.planning.plan import Plan, make_plan
from geopanoptic.pipeline.planning.rates import remember, remembered
from geopanoptic.pipeline.planning.suitability import bundle_for, note_of_default
from geopanoptic.pipeline.record import Record
from geopanoptic.pipeline.resuming.beginning import Beginning, begin
from geopanoptic.pipeline.resuming.identity import Identity, identity_of
from geopanoptic.pipeline.resuming.manifest import Manifest, read_manifest, require_same
from geopanoptic.pipeline.resuming.workfolder import require_unused
from geopanoptic.scene import Scene, as_scene, open_scene

if TYPE_CHECKING:
    from distributed import Client

_OF_OPENING = tuple(
    name for name in signature(open_scene).parameters if name in Parameters.__dataclass_fields__
)

SceneLike = Scene | str | Path | Sequence[str | Path] | xarray.DataArray | xarray.Dataset


def crew_of(asked: Parameters, client: Client | None = None) -> Crew:
    """Who computes a run with these parameters; where no number of processes is asked for, no more than its memory
    is enough for."""
    crew = crew_for(asked.scheduler, workers=asked.workers, threads=asked.threads, client=client)
    if crew.scheduler != PROCESSES or asked.workers is not None:
        return crew
    carried = budget_of(asked.memory, crew) // (PROCESS_BYTES + WORTHWHILE_TILE_BYTES * crew.threads)
    return replace(crew, processes=max(min(crew.processes, carried), 1))


def plan_run(source: SceneLike, asked: Parameters, crew: Crew) -> Plan:
    """Open a scene (headers only) and lay the work out for a crew.

    Raises UsageError for a scene that is open already and parameters that only its opening could heed, and for an area
    of interest that cannot be used.
    """
    scene = as_scene(source, **{name: getattr(asked, name) for name in _OF_OPENING})
    planned = plan_scene(scene, asked, crew)
    return planned if asked.aoi is None else replace(planned, wanted=read_aoi(asked.aoi, planned.grid))


def plan_scene(scene: Scene, asked: Parameters, crew: Crew) -> Plan:
    """Lay the work out for a crew."""
    bundle = bundle_for(scene, asked.model, asked.pixel_size)
    planned = make_plan(
        scene,
        bundle,
        min_area_m2=asked.min_area_m2,
        simplify_m=asked.simplify_m,
        tile_px=asked.tile_px,
        block_px=asked.block_px,
        batch=asked.batch,
        memory=asked.memory,
        crew=crew,
        pixel_size=asked.pixel_size,
    )
    notes = note_of_default(scene, bundle) if asked.model is None else ()
    planned = replace(planned, precision=asked.precision, notes=(*planned.notes, *notes))
    # How much of the scene an area of interest holds is not known yet.
    rate = remembered(_rate_key(planned, asked, crew)) if asked.aoi is None else None
    if rate is None:
        return planned
    return replace(planned, estimated_s=rate.seconds(planned.network_px, planned.grid.window.size_px))


def remember_rate(planned: Plan, asked: Parameters, crew: Crew, record: Record) -> None:
    """Keep how fast a run of a whole scene was that is over, for the estimates of plans to come."""
    rate = record.rate(planned.grid.window.size_px) if asked.aoi is None else None
    if rate is not None:
        remember(_rate_key(planned, asked, crew), rate)


def _rate_key(planned: Plan, asked: Parameters, crew: Crew) -> str:
    bundle = planned.bundle
    looks = f"{bundle.views} x {bundle.second_scale or 1}"
    computed_by = f"{looks} {asked.runtime} {asked.device} {asked.precision}"
    # A network of coarse pixels waits for many that are read.
    if planned.scene.reduction is not None:
        computed_by += f" by {planned.scene.reduction.factor}"
    return f"{bundle.sha256[:16]} {computed_by} {crew.scheduler} {crew.processes} x {crew.threads}"


def begin_run(
    planned: Plan,
    asked: Parameters,
    crew: Crew,
    *,
    folder: Path,
    executor: Executor,
    record: Record,
    may_continue: bool,
    shards: int | None = None,
) -> tuple[Plan, Beginning]:
    """Open the run's store in ``folder``; the plan comes back with the block size that counts there.

    Raises UsageError where the folder holds another run, and ResourceError where the run began in a precision that this
    machine lacks.
    """

    def begun() -> tuple[Plan, Beginning]:
        with record.stage("load model"):
            settled = replace(
                planned, precision=_precision(planned, asked, executor, folder if may_continue else None)
            )
            (runtime,) = executor.map(
                DescribeRuntime(network=network_of_run(settled, asked)), [planned.bundle.name], network=True
            )
        beginning = begin(
            folder,
            identity_of(planned.scene, planned.bundle, bands=planned.bands, aoi=asked.aoi, runtime=runtime),
            shape=planned.grid.shape,
            block_px=planned.layout.block_px * planned.bundle.output_scale,
            look=lambda: _first_look(planned, asked, record),
            may_continue=may_continue,
            shards=shards,
            layers=stored_layers(planned.bundle),
        )
        return _adopted(beginning, settled, asked, crew, record), beginning

    nothing_stored = read_manifest(folder) is None
    try:
        return begun()
    except UsageError:
        # Meanwhile another shard, on another machine, may have settled the precision.
        if (
            not (may_continue and nothing_stored and asked.precision == "auto")
            or read_manifest(folder) is None
        ):
            raise
        return begun()


def _precision(planned: Plan, asked: Parameters, executor: Executor, continued: Path | None) -> str:
    """The precision of a run; of one that may be continued from a work folder the one that it began in."""
    if asked.precision != "auto":
        return asked.precision
    prefers = PrefersBf16(device=asked.device, runtime=asked.runtime)
    stored = None if continued is None else read_manifest(continued)
    if stored is not None:
        runtime = str(stored.identity["runtime"])
        if ", bf16 on " not in runtime:
            return "f32"
        # Another runtime that is asked for is told as a difference to the run that began.
        if runtime.startswith("openvino ") and asked.runtime in ("auto", "openvino"):
            (able,) = executor.map(prefers, [planned.bundle.name], network=True)
            if not able:
                raise ResourceError(
                    f"The run in {continued} began by {runtime}, and OpenVINO does not compute in bfloat16 here.",
                    remedy="Continue it on machines like the first, or start all of it afresh with --precision f32, "
                    "in another --work folder.",
                )
        return "bf16"
    if planned.bundle.takes_series or planned.bundle.finds_parcels:
        return "f32"
    # The first answer waits for a worker; others may be there that are older machines.
    (first,) = executor.map(prefers, [planned.bundle.name], network=True)
    answers = executor.everywhere(prefers) if first else []
    return "bf16" if answers and all(answers) else "f32"


def begin_finish(
    planned: Plan, asked: Parameters, crew: Crew, *, folder: Path, record: Record
) -> tuple[Plan, Beginning]:
    """As :func:`begin_run`, where all blocks are there already: whatever computed them is taken as it is.

    Raises UsageError where the folder holds another run or none.
    """
    stored = read_manifest(folder)
    if stored is None:
        raise UsageError(
            f"{folder} holds no run to finish.",
            remedy="Compute its parts first: --shard 1/4 --work FOLDER, up to 4/4.",
        )
    beginning = begin(
        folder,
        _identity_by(stored, planned, asked),
        shape=planned.grid.shape,
        block_px=stored.block_px,
        look=lambda: _first_look(planned, asked, record),
        may_continue=True,
        layers=stored_layers(planned.bundle),
    )
    return _adopted(beginning, planned, asked, crew, record), beginning


def refuse_other_run(planned: Plan, asked: Parameters, folder: Path, *, may_continue: bool) -> None:
    """Raises UsageError where a work folder holds another run, and without ``may_continue`` also where it holds this
    one; what computes the network is not looked at."""
    stored = read_manifest(folder)
    if stored is None:
        return
    identity = _identity_by(stored, planned, asked)
    if may_continue:
        require_same(stored.identity, identity, folder)
    else:
        require_unused(folder, identity)


def _identity_by(stored: Manifest, planned: Plan, asked: Parameters) -> Identity:
    """The identity of a run whose network is computed by what computed the stored one."""
    return identity_of(
        planned.scene, planned.bundle, bands=planned.bands, aoi=asked.aoi, runtime=stored.identity["runtime"]
    )


def _first_look(planned: Plan, asked: Parameters, record: Record) -> FirstLook:
    with record.stage("normalise"):
        return look_at(planned, skip_unreadable=asked.on_error == "skip")


def _adopted(beginning: Beginning, planned: Plan, asked: Parameters, crew: Crew, record: Record) -> Plan:
    record.runtime = beginning.manifest.identity["runtime"]
    record.area = beginning.manifest.identity["area of interest"]
    record.valid_share = beginning.manifest.valid_share
    for warning in beginning.manifest.warnings:
        record.warn_of_pixels(warning)
    block_px = beginning.store.block_px // planned.bundle.output_scale
    if block_px == planned.layout.block_px:
        return planned
    return in_other_blocks(planned, asked, crew, block_px)


def in_other_blocks(planned: Plan, asked: Parameters, crew: Crew, block_px: int) -> Plan:
    """The same work, laid out in blocks of ``block_px`` scene pixels."""
    laid_out = plan_scene(planned.scene, replace(asked, block_px=block_px), crew)
    return replace(laid_out, precision=planned.precision, wanted=planned.wanted)


def refuse_changed(scene: Scene) -> None:
    """Raises SceneError where a file of the scene was changed since it was opened."""
    changed = scene.changed_files()
    if changed:
        raise SceneError(
            f"{', '.join(str(file) for file in changed)} changed while it was read.",
            remedy="Run again once it is complete.",
        )
