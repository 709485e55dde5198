"""``geopanoptic run``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from geopanoptic.cli.common_options import device_option, progress_of_command, quiet_option
from geopanoptic.cli.continuing import telling_how_to_continue
from geopanoptic.cli.map_options import FUSION_NAMES, map_options, pixel_size_option
from geopanoptic.cli.scene_options import SCENE_OPTIONS, scene_options
from geopanoptic.cli.sections import SectionedCommand, exit_code_lines
from geopanoptic.errors import PARTS_SKIPPED
from geopanoptic.wording import counted

if TYPE_CHECKING:
    from geopanoptic.pipeline.progress import Progress

SECTIONS = {
    "Output": ("out", "rasters", "parquet", "stac", "overwrite"),
    "Scene": (*SCENE_OPTIONS, "aoi"),
    "Map": ("model", "pixel_size", "fusion", "min_area_m2", "simplify_m"),
    "Work": (
        *("device", "runtime", "precision", "scheduler", "workers", "threads"),
        *("memory", "tile_px", "block_px", "batch", "on_error"),
    ),
    "Resuming and sharing": ("work", "keep_work", "resume", "shard", "finish"),
    "Messages": ("dry_run", "as_json", "quiet"),
}

EPILOG = f"""\b
Examples:
  geopanoptic run scene.tif --out parcels.gpkg
  geopanoptic run s2_*_20210615_*.tif --out june.gpkg --rasters june/
  geopanoptic run scenes/2021/ --out parcels.gpkg                every date of the folder
  geopanoptic run scenes/2021/ --from 2021-04-01 --max-cloud 60 --out parcels.gpkg
  geopanoptic run scenes/2021/ --dates 2021-06-15 --out june.gpkg
  geopanoptic run PASTIS/DATA_S2 --model MODEL --out maps        one map for every patch
  geopanoptic run aerial.tif --pixel-size 5 --out parcels.gpkg   small fields in fine pixels
  geopanoptic run planet.tif --bands blue,green,red,nir --out parcels.gpkg
  geopanoptic run two_dates.tif --bands red,green,blue,nir --dates 2021-04-15,2021-07-15 --out a.gpkg
  geopanoptic run scene.tif --dry-run
  geopanoptic run scene.tif --out parcels.gpkg --resume   after a run that was stopped

\b
Job arrays, on machines that share a folder and nothing else:
  geopanoptic run scene.tif --shard 1/16 --work /shared/run     and so on up to 16/16
  geopanoptic run scene.tif --finish --work /shared/run --out parcels.gpkg

\b
Output:
  parcels.gpkg      layers `parcels` (one polygon each: class_name, score 0..1, area_m2,
                    perimeter_m, a point inside) and `landcover`; opens coloured in QGIS
  parcels.run.json  what ran: versions, parameters, seconds per stage, rates, warnings
  parcels.parquet   with --parquet: the parcels as GeoParquet that follows fiboa
  parcels.stac.json with --stac: the map as an item for STAC catalogues

The map does not depend on --memory, --tile, --block, --batch and --threads. An existing output stays as it
is until the new one is complete and verified, whatever ends the run.

{exit_code_lines(3, 4, 6, 75)}
"""


@click.command(cls=SectionedCommand, sections=SECTIONS, epilog=EPILOG)
@click.argument("scene", nargs=-1, required=True)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="GeoPackage to write: parcels.gpkg."
)
@click.option(
    "--model",
    metavar="MODEL",
    help="Name of a bundled model, or the folder of another.  [default: by the scene, see `geopanoptic models list`]",
)
@pixel_size_option
@click.option(
    "--fusion",
    type=click.Choice(FUSION_NAMES),
    default="deeplab",
    show_default=True,
    help="How parcels and land cover become one map: ours, or another rule of the literature.",
)
@scene_options
@click.option(
    "--aoi",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Map only pixels inside these polygons (GeoPackage, GeoJSON, Shapefile, ...; reprojected).",
)
@map_options
@click.option("--stac", is_flag=True, help="Also write a STAC item of the map beside --out, for catalogues.")
@device_option
@click.option(
    "--runtime",
    type=click.Choice(["auto", "torch", "openvino", "onnxruntime", "compiled"]),
    default="auto",
    show_default=True,
    help="What computes the network; auto takes the fastest one installed.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "f32", "bf16"]),
    default="auto",
    show_default=True,
    help="bf16 takes the network half the time where the processor computes in it; auto takes it there for single dates, "
    "with OpenVINO.",
)
@click.option(
    "--scheduler",
    default="threads",
    show_default=True,
    metavar="NAME",
    help="Who computes: threads of this process, processes of this machine, slurm jobs, or the Dask cluster at "
    "tcp://HOST:PORT.",
)
@click.option(
    "--workers",
    type=int,
    metavar="N",
    help="Processes or Slurm jobs; with the scheduler threads the same as --threads.  [default: by the cores]",
)
@click.option(
    "--on-error",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="skip leaves out a block that cannot be read or computed, and a date that cannot be opened, lists "
    "them in run.json and exits with 6.",
)
@click.option(
    "--memory",
    metavar="SIZE",
    help="Budget such as 4GB. A scene that needs more than the machine has is refused unless this covers it.  [default: 6GB, or 2GB for each core if that is more, but at most half of what is free (in a "
    "Slurm job: of its memory)]",
)
@click.option(
    "--tile",
    "tile_px",
    type=int,
    metavar="PIXELS",
    help="Side of a tile in the scene.  [default: by --memory]",
)
@click.option(
    "--block",
    "block_px",
    type=int,
    metavar="PIXELS",
    help="Side of a block of tiles.  [default: as many tiles as there are threads]",
)
@click.option("--batch", type=int, metavar="N", help="Tiles per network call.  [default: one per thread]")
@click.option(
    "--threads",
    type=int,
    metavar="N",
    help="Threads of a process.  [default: all cores, or 1 each with several processes]",
)
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where intermediate data lies while running: an empty or new folder, one per run.  [default: beside --out]",
)
@click.option(
    "--keep-work", is_flag=True, help="Leave the intermediate data in --work, for other runs with --resume."
)
@click.option(
    "--resume",
    is_flag=True,
    help="Continue a run that was stopped, to the same bytes. Scene, model and what changes the map must be as "
    "then, save --min-area, --simplify and --fusion; whatever is not is listed.",
)
@click.option(
    "--shard",
    metavar="I/N",
    help="Compute only part I of N into --work, which all parts share, and write no map. A part that was stopped "
    "is just run again.",
)
@click.option(
    "--finish",
    is_flag=True,
    help="Make the map of the parts in --work, once all of them are there. What they left out with --on-error skip is told.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Print the plan (tiles, memory, disk, time), check all that a run checks before it reads pixels, and stop.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report, the plan or the error as JSON.")
@quiet_option("Print only warnings and errors.")
def run(
    scene: tuple[str, ...],
    out: Path | None,
    rasters: Path | None,
    parquet: bool,
    stac: bool,
    work: Path | None,
    keep_work: bool,
    resume: bool,
    shard: str | None,
    finish: bool,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    **parameters: Any,
) -> None:
    """Map SCENE: agricultural parcels and land cover.

    SCENE is one GeoTIFF, COG or JPEG 2000, several files (one per band, per date, or both), or a folder of
    them, or of a folder per date. Of a folder of PASTIS patches every patch gets a map, in the folder --out. Band names and dates are read from descriptions, tags, file and folder names;
    `geopanoptic inspect SCENE` shows what was found.

    The bundled models need red, green and blue, and use near infrared, red edge and short-wave infrared where
    the scene has them. Without --model the scene decides: several dates take fields-series, one date fields-m up to 25
    million pixels, beyond that fields-s, which is six times as fast.
    """
    from geopanoptic.errors import UsageError
    from geopanoptic.pipeline.batch import patches_of

    source: Any = list(scene) if len(scene) > 1 else scene[0]
    progress = progress_of_command(quiet=quiet, as_json=as_json)
    written: dict[str, Any] = {
        "rasters": rasters,
        "parquet": parquet,
        "stac": stac,
        "resume": resume,
        "overwrite": overwrite,
    }
    if dry_run:
        outputs = {"work": work, "finish": finish, "shard": shard is not None, **written}
        _tell_plan(source, out, progress, as_json=as_json, outputs=outputs, parameters=parameters)
        return
    if shard is not None:
        if work is None or out is not None or finish:
            raise UsageError(
                "--shard computes a part of the map's data into --work, and writes no map.",
                remedy="Give --shard and --work without --out; when all parts are done, --finish, --work and --out.",
            )
        if asked := [f"--{name}" for name in ("rasters", "parquet", "stac") if written[name]]:
            raise UsageError(
                f"--shard writes no map, and so nothing for {' and '.join(asked)}.",
                remedy="Give that with --finish, when all parts are done.",
            )
        done = _shard(source, shard, work, progress, parameters)
    elif out is None:
        raise UsageError(
            "--out is missing.", remedy="Name the GeoPackage to write, as in --out parcels.gpkg."
        )
    elif patches := patches_of(source):
        if work is not None or keep_work or finish:
            raise UsageError(
                "--work, --keep-work and --finish are of one map.",
                remedy="Leave them out, or give one patch.",
            )
        done = _maps(patches, out, progress, written | parameters)
    else:
        kept = {"work": work, "keep_work": keep_work, "finish": finish}
        done = _map(source, out, progress, written | kept | parameters)
    if as_json:
        click.echo(json.dumps(done.report, indent=2, default=str))
    elif not quiet:
        click.echo(done.line)
    click.get_current_context().exit(PARTS_SKIPPED if done.is_partial else 0)


class _Done(NamedTuple):
    """What was made: its ``report`` for ``--json``, else ``line``; partial without blocks or dates that failed."""

    report: Any
    line: str
    is_partial: bool


def _tell_plan(
    source: Any,
    out: Path | None,
    progress: Progress,
    *,
    as_json: bool,
    outputs: dict[str, Any],
    parameters: dict[str, Any],
) -> None:
    from geopanoptic.pipeline.record import Record
    from geopanoptic.pipeline.run import plan, refuse

    planned = plan(source, **parameters)
    Record(progress).announce(planned)
    click.echo(json.dumps(planned.to_dict(), indent=2) if as_json else planned.describe())
    refuse(planned, out, **outputs, **parameters)


def _shard(source: Any, shard: str, work: Path, progress: Progress, parameters: dict[str, Any]) -> _Done:
    from geopanoptic.pipeline.sharding import run_shard

    with telling_how_to_continue():
        part = run_shard(source, shard, work, progress=progress, **parameters)
    line = (
        f"Shard {part.shard}: {part.blocks_computed} blocks computed, {part.blocks_found} were there. "
        f"When all shards are done: --finish --work {work} --out parcels.gpkg"
    )
    return _Done(dataclasses.asdict(part), line, bool(part.skipped))


def _maps(patches: Sequence[Path], out: Path, progress: Progress, options: dict[str, Any]) -> _Done:
    from geopanoptic.pipeline.batch import run_each

    with telling_how_to_continue("--resume", stands="the maps that were finished stay"):
        maps = run_each(patches, out, progress=progress, **options)
    parcels = sum(report["parcels"] for report in maps.reports)
    kept = f"; {maps.kept:,} were there" if maps.kept else ""
    line = f"{len(maps.reports):,} maps with {parcels:,} parcels in {out}{kept}"
    return _Done(maps.reports, line, any(map(_is_partial, maps.reports)))


def _map(source: Any, out: Path, progress: Progress, options: dict[str, Any]) -> _Done:
    from geopanoptic.pipeline.run import run as run_scene

    with telling_how_to_continue(*([] if options["finish"] else ["--resume"])):
        report = run_scene(source, out, progress=progress, **options).report
    line = (
        f"{counted(report['parcels'], 'parcel')} and "
        f"{counted(report['landcover_areas'], 'land-cover area')} in {out} ({report['seconds_total']:.0f} s)"
    )
    return _Done(report, line, _is_partial(report))


def _is_partial(report: dict[str, Any]) -> bool:
    """Whether a map lacks blocks or dates that failed."""
    damaged = any(lost["damaged"] for lost in report.get("dates_left_out", ()))
    return damaged or bool(report.get("skipped_blocks"))
