"""``geopanoptic labels check``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from geopanoptic.cli.common_options import STANDARD_OUTPUT, json_option, quiet_option
from geopanoptic.cli.label_options import Measure, reading_options, tell_losses
from geopanoptic.cli.map_options import pixel_size_option
from geopanoptic.cli.sections import SectionedCommand, exit_code_lines

SECTIONS = {
    "What to compare with": ("image", "full", "taxonomy", "model", "bands", "pixel_size", "against"),
    "Reading": ("source_format", "layer", "class_column", "id_column"),
    "What counts": ("tolerance", "sliver_width", "gap_area", "agreement", "fail_on"),
    "Reports": ("json_path", "html_file", "issues_file", "overwrite", "quiet"),
    "Repair": ("fix", "out", "priority", "annotator"),
}

EPILOG = f"""\b
Examples:
  geopanoptic labels check parcels.gpkg --image scene.tif --html report.html --issues issues.gpkg
  geopanoptic labels check coco.json --taxonomy fields --fail-on warning
  geopanoptic labels check parcels.gpkg --image scene.tif --against predicted.gpkg
  geopanoptic labels check parcels.gpkg --fix --out fixed.gpkg --priority building,parcel

\b
Looks for:
  outlines     invalid, absent, slivers
  topology     overlaps, duplicates, small gaps between neighbours
  ids          repeated or missing, one object with two classes, land cover in pieces
  classes      missing, unknown to --taxonomy, thing or stuff contradicted, spelt in two ways
  image        labels outside or without data, unlabelled ground (--full), shifted labels
  model        objects and classes that a model or prediction does not agree with

The labels are checked as they are stored, before any repair. --fix writes a new file in the same format and lists
every change; ground that several objects claim goes to the class named first in --priority, else to the smaller.

{exit_code_lines(3, 4, 8)}
"""


@click.command(cls=SectionedCommand, sections=SECTIONS, epilog=EPILOG)
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--image",
    type=click.Path(path_type=Path),
    metavar="RASTER",
    help="The labelled image, or for labels of several images their folder.",
)
@click.option("--full", is_flag=True, help="The labels cover the image: unlabelled ground is an error.")
@click.option("--taxonomy", metavar="NAME|FILE", help="The classes that there may be.")
@click.option(
    "--model",
    metavar="MODEL",
    help="Run this model on the image and compare; of a scene of several files or dates, give its map by `run` to "
    "--against.",
)
@click.option("--bands", metavar="LIST", help="The image's bands, for --model.")
@pixel_size_option
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="PREDICTIONS",
    help="Compare with predictions in any label format.",
)
@reading_options
@click.option(
    "--tolerance",
    type=Measure(0),
    metavar="LENGTH",
    help="Closer lines are one, in the labels' own unit as all of these.  [default: a thousandth of the median object's size]",
)
@click.option(
    "--sliver-width",
    type=Measure(0),
    metavar="LENGTH",
    help="Narrower objects are slivers.  [default: a twentieth of the median width]",
)
@click.option(
    "--gap-area",
    type=Measure(0),
    metavar="AREA",
    help="Smaller holes are gaps.  [default: a twentieth of the median area]",
)
@click.option(
    "--agreement",
    type=Measure(0, 1),
    default=0.5,
    show_default=True,
    metavar="IOU",
    help="From here on an object and a prediction are the same.",
)
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "never"]),
    default="error",
    show_default=True,
    help="Leave with exit code 8 where such defects are found.",
)
@json_option("The report")
@click.option(
    "--html", "html_file", type=click.Path(path_type=Path), metavar="FILE", help="Report as one page."
)
@click.option(
    "--issues",
    "issues_file",
    type=click.Path(path_type=Path),
    metavar="FILE.gpkg",
    help="Layer of defects to open beside the labels.",
)
@click.option("--fix", is_flag=True, help="Repair what is safe into --out.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="The repaired labels.")
@click.option(
    "--priority", metavar="CLASS,CLASS", help="Who keeps ground that overlaps.  [default: the smaller]"
)
@click.option("--annotator", default="", metavar="NAME", help="Who answers for the repair, for the history.")
@click.option("--overwrite", is_flag=True, help="Replace what is at the outputs.")
@quiet_option("Print nothing but refusals.")
@click.pass_context
def check(
    context: click.Context,
    source: Path,
    image: Path | None,
    full: bool,
    taxonomy: str | None,
    model: str | None,
    bands: str | None,
    pixel_size: str,
    against: Path | None,
    tolerance: float | None,
    sliver_width: float | None,
    gap_area: float | None,
    agreement: float,
    fail_on: str,
    json_path: Path | None,
    html_file: Path | None,
    issues_file: Path | None,
    fix: bool,
    out: Path | None,
    priority: str | None,
    annotator: str,
    overwrite: bool,
    quiet: bool,
    **options: str | None,
) -> None:
    """Look for defects in the labels SOURCE."""
    from geopanoptic.errors import DEFECTS, UsageError
    from geopanoptic.labels.check.check import check as check_labels
    from geopanoptic.labels.check.fix import fix as fix_labels
    from geopanoptic.labels.check.repairing import RENUMBERED
    from geopanoptic.labels.check.report import lines
    from geopanoptic.labels.check.reporting import as_json, refuse_reports, write_reports
    from geopanoptic.labels.check.subject import Limits

    if fix != (out is not None):
        raise UsageError(
            "--fix and --out belong together.", remedy="Say where the repaired labels go: --fix --out."
        )
    if issues_file is not None and issues_file.suffix.lower() != ".gpkg":
        raise UsageError(f"{issues_file} is no name of a GeoPackage.", remedy="End it in .gpkg.")
    json_file = None if json_path == STANDARD_OUTPUT else json_path
    refuse_reports(source, json_file, html_file, issues_file, overwrite=overwrite)
    reading: dict[str, Any] = {
        **options,
        "image": image,
        "taxonomy": taxonomy,
        "limits": Limits(
            tolerance=tolerance, sliver_width=sliver_width, gap_area=gap_area, agreement=agreement
        ),
    }
    report = check_labels(
        source, model=model, bands=bands, pixel_size=pixel_size, against=against, full=full, **reading
    )
    fixed = None
    if out is not None:
        fixed = fix_labels(
            source,
            out,
            priority=priority.split(",") if priority else (),
            annotator=annotator,
            overwrite=overwrite,
            **reading,
        )
    write_reports(
        report, fixed, json_file=json_file, html_file=html_file, issues_file=issues_file, overwrite=overwrite
    )
    if json_path == STANDARD_OUTPUT:
        click.echo(as_json(report, fixed))
    elif not quiet:
        for line in lines(report):
            click.echo(line)
        if fixed is not None:
            kinds = fixed.by_kind()
            what = "Repaired" if set(kinds) - {RENUMBERED} else "Nothing to repair; written anew"
            click.echo(f"{what}, {fixed.objects:,} objects: {out}")
            for kind, count in kinds.items():
                click.echo(f"  {kind}: {count:,}")
            for message in [each.message for each in fixed.changes if each.kind == RENUMBERED][:3]:
                click.echo(f"  {message}")
            tell_losses(fixed.losses)
    if report.fails(fail_on):
        context.exit(DEFECTS)
