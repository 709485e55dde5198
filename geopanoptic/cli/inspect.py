"""``geopanoptic inspect``."""

from __future__ import annotations

import json
from typing import Any

import click

from geopanoptic.cli.scene_options import scene_options

EPILOG = """\b
Examples:
  geopanoptic inspect scene.tif
  geopanoptic inspect scenes/2021/ --max-cloud 60
  geopanoptic inspect planet.tif --bands blue,green,red,nir
  geopanoptic inspect scene.tif --json | jq .model.accepts_scene
"""


@click.command(epilog=EPILOG)
@click.argument("scene", nargs=-1, required=True)
@scene_options
@click.option(
    "--model", metavar="MODEL", help="The model to check against.  [default: the one that `run` takes]"
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(scene: tuple[str, ...], model: str | None, as_json: bool, **options: Any) -> None:
    """Show what SCENE is and whether the model can take it.

    SCENE is one GeoTIFF, COG or JPEG 2000, several files, or a folder of them, or of a folder per date. Prints
    grid, bands, nodata, a line per date with its shares of valid and of clouded pixels, what the model needs,
    and what a run would cost. Nothing is written.
    """
    from geopanoptic.pipeline.inspection import inspect_scene, table_of

    found = inspect_scene(scene, model=model, **options)
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2, allow_nan=False))
        return
    _print_table(table_of(found))


def _print_table(rows: list[tuple[str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        # One line per finding, so that grep and cut work on it.
        for subject, finding in rows:
            click.echo(f"{subject:<8} {finding}")
        return
    table = Table.grid(padding=(0, 2))
    styles = {"warning": "yellow", "run": "bold"}
    for subject, finding in rows:
        table.add_row(Text(subject, style="cyan"), Text(finding, style=styles.get(subject, "")))
    console.print(table)
