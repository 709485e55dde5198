"""``geopanoptic labels log``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from geopanoptic.cli.sections import exit_code_lines

EPILOG = f"""\b
Examples:
  geopanoptic labels log parcels.gpkg
  geopanoptic labels log coco/ --json

The history is kept in provenance.json in a folder of labels, or NAME.provenance.json beside NAME.gpkg: keep it
together with the labels. Files that are not as they were written are named.

{exit_code_lines()}
"""


@click.command(epilog=EPILOG)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the history as JSON.")
def log(path: Path, as_json: bool) -> None:
    """How the labels at PATH came to be, the latest step first."""
    from geopanoptic.labels.provenance.manifest import history, read_provenance, states

    steps = history(path)
    known = read_provenance(path)
    odd = {} if known is None else {n: s for n, s in states(path, known).items() if s != "as written"}
    if as_json:
        click.echo(json.dumps({"steps": [asdict(each) for each in steps], "files": odd}))
        return
    for step in reversed(steps):
        click.secho(step.content[:12], fg="yellow", nl=False)
        parts = (step.time, step.tool, step.annotator and f"by {step.annotator}", step.action)
        click.echo("  " + "  ".join(part for part in parts if part), nl=False)
        click.echo(f"  from {step.source}" if step.parents else f"  {step.source}")
        for parent in step.parents:
            click.echo(f"{'':14}of {parent[:12]}")
    for name, state in odd.items():
        click.secho(f"{state}: ", fg="red", nl=False, err=True)
        click.echo(name, err=True)
