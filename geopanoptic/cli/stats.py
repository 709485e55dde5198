"""``geopanoptic stats``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from geopanoptic.cli.common_options import progress_of_command, quiet_option
from geopanoptic.cli.scene_options import SCENE_OPTIONS, scene_options
from geopanoptic.cli.sections import SectionedCommand, exit_code_lines
from geopanoptic.errors import PARTS_SKIPPED
from geopanoptic.wording import counted

SECTIONS = {
    "Output": ("out", "wide", "overwrite"),
    "Figures": ("indices", "only_indices", "extremes"),
    "Parcels": ("id_column", "layer"),
    "Scene": (*SCENE_OPTIONS, "on_error"),
    "Messages": ("as_json", "quiet"),
}

EPILOG = f"""\b
Examples:
  geopanoptic stats parcels.gpkg scenes/2021/ --out stats.parquet --index ndvi,ndwi
  geopanoptic stats parcels.gpkg scenes/2021/ --out ndvi.csv --index ndvi --only-indices --wide
  geopanoptic stats official.zip scene.tif --id-column field_id --out stats.parquet --extremes

\b
Indices, taken pixel by pixel:
  ndvi   (nir - red) / (nir + red)              ndre   (nir - rededge1) / (nir + rededge1)
  gndvi  (nir - green) / (nir + green)          ndmi   (nir - swir16) / (nir + swir16)
  ndwi   (green - nir) / (green + nir)          nbr    (nir - swir22) / (nir + swir22)
  mndwi  (green - swir16) / (green + swir16)    bsi    (swir16 + red - nir - blue) / (their sum)
  evi    2.5 (nir - red) / (nir + 6 red - 7.5 blue + 1)
  evi2   2.5 (nir - red) / (nir + 2.4 red + 1)
  savi   1.5 (nir - red) / (nir + red + 0.5)

\b
Columns:
  parcel_id, date, band          one row per parcel, date and band or index
  mean, median, std              each pixel weighs with the share of it that the parcel covers
  valid_share                    share of the parcel's area that is neither clouded nor without data

{exit_code_lines(3, 6, 75)}
"""


@click.command(cls=SectionedCommand, sections=SECTIONS, epilog=EPILOG)
@click.argument("parcels", type=click.Path(path_type=Path))
@click.argument("scene", nargs=-1, required=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Table to write: stats.parquet or stats.csv.",
)
@click.option("--wide", is_flag=True, help="One row per parcel, with columns like ndvi_mean_20210615.")
@click.option("--overwrite", is_flag=True, help="Replace an existing table, once the new one is complete.")
@click.option(
    "--index",
    "indices",
    default="",
    metavar="LIST",
    help="Indices to add: ndvi,evi, or all that the bands permit.",
)
@click.option("--only-indices", is_flag=True, help="Leave out the bands themselves.")
@click.option("--extremes", is_flag=True, help="Also least and greatest value of each parcel.")
@click.option(
    "--id-column",
    metavar="NAME",
    help="Column of the parcels' ids.  [default: parcel_id, else the rows are numbered]",
)
@click.option(
    "--layer", metavar="NAME", help="Layer of PARCELS.  [default: parcels, or the first of polygons]"
)
@scene_options
@click.option(
    "--on-error",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="skip takes what cannot be read as pixels without data, says so and exits with 6.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report or the error as JSON.")
@quiet_option("Print only warnings and errors.")
def stats(
    parcels: Path, scene: tuple[str, ...], out: Path, as_json: bool, quiet: bool, **options: Any
) -> None:
    """Tabulate what PARCELS show in SCENE: per date, band and index.

    PARCELS is a vector file in any CRS. SCENE is one image, several, or a folder of them, of one
    date or many; `geopanoptic inspect SCENE` shows what was found.
    """
    from geopanoptic.statistics.stats import stats as tabulate

    # What is not asked for is left to open_scene.
    asked = {name: value for name, value in options.items() if value not in (None, False)}
    source: Any = list(scene) if len(scene) > 1 else scene[0]
    progress = progress_of_command(quiet=quiet, as_json=as_json)
    found = tabulate(parcels, source, out, progress=progress, **asked)
    if as_json:
        click.echo(json.dumps(found.report, indent=2, allow_nan=False))
    elif not quiet:
        report = found.report
        click.echo(
            f"{counted(report['rows'], 'row')}: {counted(report['parcels'], 'parcel')}, "
            f"{counted(len(report['dates']), 'date')}, "
            f"{', '.join(report['bands'])} in {out}"
        )
    damaged = any(each["damaged"] for each in found.report["left_out_dates"])
    click.get_current_context().exit(PARTS_SKIPPED if damaged or found.report["skipped_blocks"] else 0)
