"""``geopanoptic labels diff``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from geopanoptic.cli.sections import exit_code_lines

_SHOWN = 40

EPILOG = f"""\b
Examples:
  geopanoptic labels diff yesterday.gpkg today.gpkg
  geopanoptic labels diff parcels.gpkg corrected.json --out changes.gpkg
  geopanoptic labels diff register_2020.shp register_2021.shp --class-column crop
  geopanoptic labels diff before/ after/ --json

Objects are the same where they share most of their ground (IoU above one half), or where their ids are the same and
they share any. The formats need not be.

{exit_code_lines(3)}
"""


@click.command(epilog=EPILOG)
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the changed objects as a layer of this GeoPackage.",
)
@click.option("--overwrite", is_flag=True, help="Replace the file of --out.")
@click.option(
    "--class-column",
    metavar="NAME",
    help="Column of the class in maps, or BEFORE,AFTER.  [default: class_name]",
)
@click.option("--json", "as_json", is_flag=True, help="Print all changes as JSON.")
def diff(
    before: Path, after: Path, out: Path | None, overwrite: bool, class_column: str | None, as_json: bool
) -> None:
    """Objects that were added, removed or changed from the labels BEFORE to the labels AFTER."""
    from geopanoptic.labels.provenance.difference import difference
    from geopanoptic.labels.provenance.layer import write_changes

    found = difference(before, after, class_column=class_column)
    if out is not None:
        write_changes(found, out, overwrite=overwrite)
    if as_json:
        click.echo(json.dumps(found.to_dict(), allow_nan=False))
        return
    for row in found.changes.head(_SHOWN).itertuples():
        colour = {"added": "green", "removed": "red", "changed": "yellow"}[row.change]
        click.secho(f"{row.change:8}", fg=colour, nl=False)
        ids = " -> ".join(str(each) for each in dict.fromkeys((row.before_id, row.after_id)) if each)
        classes = " -> ".join(each for each in dict.fromkeys((row.before_class, row.after_class)) if each)
        told = f"  IoU {row.iou:.3f}  {row.what}" if row.change == "changed" else ""
        click.echo(f" {row.image + ' ' if row.image else ''}{ids}  {classes}{told}")
    if len(found.changes) > _SHOWN:
        click.echo(f"... and {len(found.changes) - _SHOWN:,} more; --json and --out have all")
    click.echo(", ".join(f"{count:,} {kind}" for kind, count in found.counts().items()))
