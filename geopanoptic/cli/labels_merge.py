"""``geopanoptic labels merge``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from geopanoptic.cli.common_options import quiet_option
from geopanoptic.cli.sections import SectionedCommand, exit_code_lines
from geopanoptic.errors import DEFECTS
from geopanoptic.wording import counted

SECTIONS = {
    "Output": ("out", "overwrite"),
    "Parts": ("base", "image", "annotators"),
    "Messages": ("as_json", "quiet"),
}

EPILOG = f"""\b
Examples:
  geopanoptic labels merge work/things/export.json work/stuff/export.json --out corrected.gpkg
  geopanoptic labels merge work/area-* --out corrected.gpkg
  geopanoptic labels merge ann.gpkg ben.gpkg --base sent.gpkg --out both.gpkg

\b
Rules:
  parts of different pictures    areas of one map: each counts within its own ground, which ends in the
                                 middle of what two pictures share; pieces of one object are joined
  parts of the same pictures     lie on top of each other: things over stuff, then the first named part
  one object in two parts        the part that changed or removed it counts; of two that changed it, the first
                                 named; maps' objects are the same where `labels diff` says so, whatever their ids
  new objects                    get ids above all that went out
  maps in several CRSs           are reprojected to that of the pictures, else of the first

\b
Conflicts (layer `conflicts` of FILE, listed, and exit code {DEFECTS}):
  missing   a part, or pictures of it, are not there
  class     one object has two classes
  changed   one object was changed by two annotators
  removed   one annotator removed an object that another changed, or kept beyond a border
  seam      two annotators drew the ground that both saw differently
  overlap   objects of two annotators lie on the same ground

{exit_code_lines(3, 8)}
"""


@click.command(cls=SectionedCommand, sections=SECTIONS, epilog=EPILOG)
@click.argument("parts", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PART...")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="FILE", help="GeoPackage to write."
)
@click.option("--overwrite", is_flag=True, help="Replace FILE once the new one is complete.")
@click.option(
    "--base",
    type=click.Path(path_type=Path, exists=True),
    metavar="FILE",
    help="The labels that were split: say who changed and removed what.  [default: as the parts' task.json says]",
)
@click.option(
    "--image",
    type=click.Path(path_type=Path, exists=True),
    metavar="FOLDER",
    help="The pictures, where no labels.json beside a part says where they lie.",
)
@click.option(
    "--annotator",
    "annotators",
    metavar="NAME,NAME",
    help="Who labelled the parts, in their order, for the history.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was done, and the conflicts, as JSON.")
@quiet_option("Print conflicts and errors only.")
def merge(
    parts: tuple[Path, ...],
    out: Path,
    overwrite: bool,
    base: Path | None,
    image: Path | None,
    annotators: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Put the labels of several annotators together, PARTs as they came back from the tools."""
    from geopanoptic.labels.tasks.merging import merge as merge_labels

    names = [name.strip() for name in annotators.split(",")] if annotators else []
    done = merge_labels(parts, out, base=base, image=image, annotators=names, overwrite=overwrite)
    if as_json:
        click.echo(json.dumps(done.to_dict()))
    else:
        for note in () if quiet else done.notes:
            click.echo(f"note: {note}", err=True)
        for conflict in done.conflicts:
            click.secho(f"{conflict.kind}: ", fg="yellow", nl=False, err=True)
            click.echo(conflict.message, err=True)
        if not quiet:
            where = "; see the layer `conflicts`" if done.conflicts else ""
            click.echo(
                f"{counted(len(done.labels.objects), 'object')} of {counted(len(done.parts), 'part')} in {out}, "
                f"{counted(len(done.conflicts), 'conflict')}{where}"
            )
    click.get_current_context().exit(DEFECTS if done.conflicts else 0)
