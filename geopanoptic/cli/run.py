"""``geopanoptic run``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from geopanoptic.cli.sections import SectionedCommand, exit_code_lines

SECTIONS = {
    "Output": ("out", "rasters", "overwrite"),
    "Scene": ("bands", "dates", "assume_crs", "aoi"),
    "Map": ("model", "min_area_m2", "simplify_m"),
    "Work": ("device", "memory", "tile_px", "block_px", "batch", "threads", "work"),
    "Messages": ("dry_run", "as_json", "quiet"),
}

EPILOG = f"""\b
Examples:
  geopanoptic run scene.tif --out parcels.gpkg
  geopanoptic run s2_*_20210615_*.tif --out june.gpkg --rasters june/
  geopanoptic run S2_series/ --dates 2021-06-15 --out june.gpkg
  geopanoptic run planet.tif --bands blue,green,red,nir --out parcels.gpkg
  geopanoptic run two_dates.tif --bands red,green,blue,nir,-,-,-,- --out a.gpkg
  geopanoptic run scene.tif --dry-run

\b
Output:
  parcels.gpkg      layers `parcels` (one polygon each: class_name, score 0..1, area_m2,
                    perimeter_m, a point inside) and `landcover`; opens coloured in QGIS
  parcels.run.json  what ran: versions, parameters, seconds per stage, rates, warnings

The map does not depend on --memory, --tile, --block, --batch and --threads. An existing output stays as it
is until the new one is complete and verified, whatever ends the run.

{exit_code_lines()}
"""


@click.command(cls=SectionedCommand, sections=SECTIONS, epilog=EPILOG)
@click.argument("scene", nargs=-1, required=True)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="GeoPackage to write: parcels.gpkg."
)
@click.option(
    "--model",
    metavar="MODEL",
    help="Name of a bundled model, or the folder of another.  [default: see `geopanoptic models list`]",
)
@click.option(
    "--bands",
    metavar="LIST",
    help="The bands in the file's order, or one per file: red,green,blue,nir,-,- where '-' leaves a band "
    "out. Needed only where the files do not name them.",
)
@click.option("--dates", metavar="DATE", help="Date to map, such as 2021-06-15, where the scene has several.")
@click.option("--assume-crs", metavar="EPSG:N", help="CRS of a scene that states none.")
@click.option(
    "--aoi",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Map only pixels inside these polygons (any vector format; reprojected).",
)
@click.option(
    "--min-area",
    "min_area_m2",
    type=float,
    metavar="M2",
    help="Smallest region in square metres. Smaller ones join a neighbour, so no holes appear.  [default: 10 "
    "scene pixels]",
)
@click.option(
    "--simplify",
    "simplify_m",
    type=float,
    metavar="METRES",
    help="How far a border may move when it is straightened; shared borders move together. 0 keeps pixel "
    "edges.  [default: one output pixel]",
)
@click.option(
    "--rasters",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Also write class.tif, parcel_id.tif and confidence.tif, cloud-optimised.",
)
@click.option("--overwrite", is_flag=True, help="Replace existing outputs, once the new ones are complete.")
@click.option(
    "--device", default="auto", show_default=True, metavar="NAME", help="auto, cpu, cuda, cuda:1 or mps."
)
@click.option(
    "--memory",
    metavar="SIZE",
    help="Budget such as 4GB.  [default: 6GB, or half of what is free if that is less]",
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
@click.option("--threads", type=int, metavar="N", help="Processor threads.  [default: all]")
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where intermediate data lies while running.  [default: beside --out]",
)
@click.option(
    "--dry-run", is_flag=True, help="Check the scene, print the plan (tiles, memory, disk), and stop."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report, the plan or the error as JSON.")
@click.option("--quiet", is_flag=True, help="Print only warnings and errors.")
def run(
    scene: tuple[str, ...],
    out: Path | None,
    rasters: Path | None,
    work: Path | None,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    **parameters: Any,
) -> None:
    """Map SCENE: agricultural parcels and land cover.

    SCENE is one GeoTIFF, COG or JPEG 2000, several files (one per band), or a folder of them. Band names and
    dates are read from descriptions, tags and file names; `geopanoptic inspect SCENE` shows what was found.

    The default model needs red, green and blue, and uses near infrared, red edge and short-wave infrared
    where the scene has them.
    """
    from geopanoptic.errors import UsageError
    from geopanoptic.pipeline.progress import progress_for
    from geopanoptic.pipeline.run import plan
    from geopanoptic.pipeline.run import run as run_scene

    source: Any = list(scene) if len(scene) > 1 else scene[0]
    progress = progress_for(sys.stderr, quiet=quiet or as_json)
    if dry_run:
        planned = plan(source, **parameters)
        for warning in (*planned.scene.warnings, *planned.warnings):
            progress.warn(warning)
        click.echo(json.dumps(planned.to_dict(), indent=2) if as_json else planned.describe())
        return
    if out is None:
        raise UsageError(
            "--out is missing.", remedy="Name the GeoPackage to write, as in --out parcels.gpkg."
        )
    result = run_scene(
        source,
        out,
        rasters=rasters,
        work=work,
        overwrite=overwrite,
        progress=progress,
        **parameters,
    )
    if as_json:
        click.echo(json.dumps(result.report, indent=2, default=str))
    elif not quiet:
        click.echo(
            f"{len(result.parcels):,} parcels and {len(result.landcover):,} land-cover areas in {out} "
            f"({result.report['seconds_total']:.0f} s)"
        )
