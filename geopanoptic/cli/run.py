"""``geopanoptic run``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

EPILOG = """\b
Examples:
  geopanoptic run scene.tif --out parcels.gpkg
  geopanoptic run s2_*_20210615_*.tif --out june.gpkg --rasters june/
  geopanoptic run planet.tif --bands blue,green,red,nir --out parcels.gpkg
  geopanoptic run two_dates.tif --bands red,green,blue,nir,-,-,-,- --out a.gpkg
  geopanoptic run scene.tif --out parcels.gpkg --dry-run

\b
Output:
  parcels.gpkg      layers `parcels` (one polygon each: class, score, area_m2, perimeter_m, centre)
                    and `landcover`; opens coloured in QGIS
  parcels.run.json  what ran: versions, parameters, seconds per stage, rates, warnings

The map does not depend on --tile, --block, --batch and --memory: they only trade memory for speed. An
existing output stays as it is until the new one is complete. `geopanoptic --help` lists the exit codes.
"""


@click.command(epilog=EPILOG)
@click.argument("scene", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), help="GeoPackage to write, for example parcels.gpkg.")
@click.option(
    "--model", metavar="NAME|FOLDER", help="Model bundle.  [default: the bundled one; see `models list`]"
)
@click.option(
    "--bands",
    metavar="LIST",
    help="Names of the file's bands in their order, comma-separated, '-' for one to ignore: "
    "red,green,blue,nir,-. Needed only where the file does not name them.",
)
@click.option("--dates", metavar="DATE", help="Date to map (2021-06-15) where the scene has several.")
@click.option("--assume-crs", metavar="EPSG:N", help="CRS of a scene that states none.")
@click.option(
    "--aoi",
    type=click.Path(path_type=Path),
    help="Polygons (any vector file); only pixels inside are mapped.",
)
@click.option(
    "--min-area",
    "min_area_m2",
    type=float,
    metavar="M2",
    help="Smallest region. Smaller ones join the neighbour with the longest common border, so no holes "
    "appear.  [default: the area of 10 scene pixels]",
)
@click.option(
    "--simplify",
    "simplify_m",
    type=float,
    metavar="M",
    help="How far a border may move when it is straightened; shared borders move together. 0 keeps pixel "
    "edges.  [default: one output pixel]",
)
@click.option(
    "--rasters",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Also write class.tif, parcel_id.tif and confidence.tif (COG) into DIR.",
)
@click.option(
    "--tile", "tile_px", type=int, metavar="PX", help="Tile core in scene pixels.  [default: by memory]"
)
@click.option(
    "--block", "block_px", type=int, metavar="PX", help="Block in scene pixels.  [default: one tile]"
)
@click.option("--batch", type=int, metavar="N", help="Tiles per network call.  [default: 1]")
@click.option("--memory", metavar="SIZE", help="Budget such as 4GB.  [default: half of what is free]")
@click.option("--threads", type=int, metavar="N", help="Processor threads.  [default: all]")
@click.option(
    "--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:1 or mps.", show_default=True
)
@click.option(
    "--work", type=click.Path(path_type=Path), help="Folder for intermediate data.  [default: beside --out]"
)
@click.option("--overwrite", is_flag=True, help="Replace existing outputs, once the new ones are complete.")
@click.option("--dry-run", is_flag=True, help="Print the plan (layout, memory, disk) and stop.")
@click.option("--json", "as_json", is_flag=True, help="Print the report, or the plan, as JSON on stdout.")
@click.option("--quiet", is_flag=True, help="Print warnings and errors only.")
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
    The default model takes red, green and blue, and uses near infrared, red edge and short-wave infrared
    where the scene has them.
    """
    from geopanoptic.errors import UsageError
    from geopanoptic.pipeline.progress import progress_for
    from geopanoptic.pipeline.run import plan
    from geopanoptic.pipeline.run import run as run_scene

    source: Any = list(scene) if len(scene) > 1 else scene[0]
    if dry_run:
        planned = plan(source, **parameters)
        click.echo(json.dumps(planned.to_dict(), indent=2) if as_json else planned.describe())
        return
    if out is None:
        raise UsageError(
            "--out is missing.", remedy="Name the GeoPackage to write, for example --out parcels.gpkg."
        )
    result = run_scene(
        source,
        out,
        rasters=rasters,
        work=work,
        overwrite=overwrite,
        progress=progress_for(sys.stderr, quiet=quiet or as_json),
        **parameters,
    )
    if as_json:
        click.echo(json.dumps(result.report, indent=2, default=str))
    elif not quiet:
        seconds = result.report["seconds_total"]
        click.echo(
            f"{len(result.parcels):,} parcels and {len(result.landcover):,} land-cover areas in {out} "
            f"({seconds:.0f} s)"
        )
