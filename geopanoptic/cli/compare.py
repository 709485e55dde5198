"""``geopanoptic compare``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geopanoptic.cli.common_options import quiet_option
from geopanoptic.cli.sections import SectionedCommand, exit_code_lines

if TYPE_CHECKING:
    from geopanoptic.change.compare import Comparison

SECTIONS = {
    "Output": ("out", "overwrite"),
    "Rules": ("tolerance_m",),
    "Maps": ("id_column", "class_column", "layer"),
    "Messages": ("as_json", "quiet"),
}

EPILOG = f"""\b
Examples:
  geopanoptic compare parcels_2020.gpkg parcels_2021.gpkg --out changes_2021.gpkg
  geopanoptic compare changes_2021.gpkg parcels_2022.gpkg --out changes_2022.gpkg
  geopanoptic compare official.parquet mine.gpkg --id-column field_id,parcel_id --tolerance 3

\b
Kinds:
  same        one to one; no ground changed but slivers narrower than --tolerance
  moved       one to one, a boundary moved
  split       one parcel became several        merged  several became one
  rearranged  several became several others
  new, gone   at most half of it lies in any parcel of the other map, nor half of one in it
  outside     where the other map shows neither parcels nor land cover (clouds, beyond its area of
              interest); without land cover, beyond its bounding box

\b
Output:
  changes.gpkg      layers `parcels` (the later map, with stable ids and kinds) and `changes` (ground
                    gained, lost or transferred), coloured in QGIS, and a table `links`; for the next
                    year also `landcover` (the later map's) and `unseen` (parcels it could not show)
  changes.run.json  counts and areas, rules, notes

An id goes on along the one-to-one pairing with the largest sum of IoU, to the only successor or to one whose
IoU is at least 0.5. Give the output as the next year's EARLIER: ids then stay the same over all years, also of
parcels that clouds hid in one.

{exit_code_lines(75)}
"""


@click.command(cls=SectionedCommand, sections=SECTIONS, epilog=EPILOG)
@click.argument("earlier", type=click.Path(path_type=Path))
@click.argument("later", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="GeoPackage to write: changes.gpkg.  [default: only print what was found]",
)
@click.option("--overwrite", is_flag=True, help="Replace existing outputs, once the new ones are complete.")
@click.option(
    "--tolerance",
    "tolerance_m",
    type=float,
    default=20.0,
    show_default=True,
    metavar="METRES",
    help="Ground nowhere wider than this has not changed: images are shifted, and boundaries drawn anew. Two "
    "pixels suit maps of images; 1 to 3 m suit official parcels.",
)
@click.option(
    "--id-column",
    metavar="NAME",
    help="Column of the ids, or EARLIER,LATER.  [default: parcel_id, else the rows are numbered]",
)
@click.option(
    "--class-column", metavar="NAME", help="Column of the classes, or EARLIER,LATER.  [default: class_name]"
)
@click.option(
    "--layer",
    metavar="NAME",
    help="Layer of the files, or EARLIER,LATER.  [default: parcels, or the first of polygons]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report or the error as JSON.")
@quiet_option("Print only errors.")
def compare(earlier: Path, later: Path, out: Path | None, as_json: bool, quiet: bool, **options: Any) -> None:
    """Trace the parcels of the map EARLIER into the map LATER.

    Each is a vector file in any CRS. Ids of the earlier map go on where a parcel does.
    """
    from geopanoptic.change.compare import compare as compare_maps

    found = compare_maps(earlier, later, out, **options)
    if as_json:
        click.echo(json.dumps(found.report, indent=2, allow_nan=False))
    elif not quiet:
        _tell(found)


def _tell(found: Comparison) -> None:
    report = found.report
    for note in report["notes"]:
        click.echo(note, err=True)
    click.echo(f"{'':<12}{'earlier':>10}{'later':>10}")
    for kind, before in report["earlier"].items():
        if before or report["later"][kind]:
            counts = [f"{count:,}" if count else "" for count in (before, report["later"][kind])]
            click.echo(f"{kind:<12}{counts[0]:>10}{counts[1]:>10}".rstrip())
    changed = ", ".join(f"{area_m2 / 1e4:,.1f} ha {kind}" for kind, area_m2 in report["changed_m2"].items())
    where = f"; written to {found.out}" if found.out else ""
    click.echo(f"{report['ids_carried']:,} ids go on; {changed}{where}")
