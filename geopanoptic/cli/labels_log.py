"""``geopanoptic labels log``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from geopanoptic.cli.sections import exit_code_lines

EPILOG = f"""\b
Examples:
  geopanoptic labels log parcels.gpkg
  geopanoptic labels log work/things/export.json
  geopanoptic labels log coco/ --json

Every step stands under the one that came after it; `of` names the steps whose labels it was made of, where that is
not the line below. What another program did, such as an annotator's corrections, is a step without a time.

The history is kept in provenance.json in a folder of labels, or NAME.gpkg.provenance.json beside a file: keep it
together with the labels. In git it tells the history also of labels that only DVC has. Files that are not as they
were written are named.

{exit_code_lines()}
"""


@click.command(epilog=EPILOG)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the history as JSON.")
def log(path: Path, as_json: bool) -> None:
    """How the labels at PATH came to be, the latest step first."""
    from geopanoptic.labels.provenance.history import history, states

    steps = history(path)
    odd = {name: state for name, state in states(path).items() if state != "as written"}
    if as_json:
        click.echo(json.dumps({"steps": [each.to_dict() for each in steps], "files": odd}))
        return
    below = [*[each.id for each in steps[:-1]][::-1], ""]
    for step, next_id in zip(reversed(steps), below, strict=True):
        click.secho(step.id[:12], fg="yellow", nl=False)
        told = (
            step.time,
            step.action,
            f"({step.source})",
            step.annotator and f"by {step.annotator}",
            step.tool,
        )
        click.echo("  " + "  ".join(part for part in told if part), nl=False)
        others = step.parents if step.parents != (next_id,) else ()
        click.echo(f"  of {', '.join(parent[:12] for parent in others)}" if others else "")
    for name, state in odd.items():
        click.secho(f"{state}: ", fg="red", nl=False, err=True)
        click.echo(name, err=True)
