"""``geopanoptic inspect``."""

from __future__ import annotations

import json

import click

EPILOG = """\b
Examples:
  geopanoptic inspect scene.tif
  geopanoptic inspect S2_series/
  geopanoptic inspect planet.tif --bands blue,green,red,nir
  geopanoptic inspect scene.tif --json | jq .model.accepts_scene
"""


@click.command(epilog=EPILOG)
@click.argument("scene", nargs=-1, required=True)
@click.option(
    "--bands",
    metavar="LIST",
    help="The bands in the file's order, or one per file: red,green,blue,nir,-,- where '-' leaves a band out.",
)
@click.option("--dates", metavar="LIST", help="Dates to keep, such as 2021-06-15,2021-08-15.")
@click.option("--assume-crs", metavar="EPSG:N", help="CRS of a scene that states none.")
@click.option("--model", metavar="MODEL", help="The model to check against.  [default: the bundled one]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(
    scene: tuple[str, ...],
    bands: str | None,
    dates: str | None,
    assume_crs: str | None,
    model: str | None,
    as_json: bool,
) -> None:
    """Show what SCENE is and whether the model can take it.

    SCENE is one GeoTIFF, COG or JPEG 2000, several files, or a folder of them. Prints grid, bands, dates,
    nodata and share of valid pixels, what the model needs, and what a run would cost. Nothing is written.
    """
    from geopanoptic.pipeline.inspection import inspect_scene, table_of

    found = inspect_scene(scene, bands=bands, dates=dates, assume_crs=assume_crs, model=model)
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
