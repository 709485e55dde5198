"""``geopanoptic labels next``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from geopanoptic.cli.common_options import quiet_option
from geopanoptic.cli.label_options import Measure
from geopanoptic.cli.scene_options import SCENE_OPTIONS, scene_options
from geopanoptic.cli.sections import SectionedCommand, exit_code_lines

SECTIONS = {
    "Output": ("out", "count", "overwrite"),
    "Candidates": ("of", "tile_px", "labelled", "min_area_m2"),
    "Scene": SCENE_OPTIONS,
    "Messages": ("as_json", "quiet"),
}

EPILOG = f"""\b
Examples:
  geopanoptic labels next parcels.gpkg scene.tif --out next.gpkg
  geopanoptic labels next parcels.gpkg scene.tif --labelled mine.gpkg --count 20 --out next.gpkg
  geopanoptic labels next parcels.gpkg scene.tif --of tiles --tile 512 --out tiles.gpkg

\b
The list (layer `next`, rank 1 first) takes parcels that are likely wrong, by their score, or tiles with many such,
and of these what is unlike everything labelled or listed before, in size, shape and look (the expected number of
wrong parcels times the distance, a weighted core-set after Sener and Savarese 2018). `reason` says it in words.

{exit_code_lines(3)}
"""


@click.command("next", cls=SectionedCommand, sections=SECTIONS, epilog=EPILOG)
@click.argument("map_file", metavar="MAP", type=click.Path(path_type=Path))
@click.argument("scene", nargs=-1)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="GeoPackage to write: next.gpkg."
)
@click.option(
    "--count", default=50, show_default=True, type=click.IntRange(1), metavar="N", help="How many to list."
)
@click.option("--overwrite", is_flag=True, help="Replace FILE.")
@click.option(
    "--of",
    default="parcels",
    show_default=True,
    type=click.Choice(["parcels", "tiles"]),
    help="What to list; tiles need the scene.",
)
@click.option(
    "--tile",
    "tile_px",
    default=512,
    show_default=True,
    type=click.IntRange(16),
    metavar="PIXELS",
    help="Side of a tile; as for prelabel, to get the same tiles.",
)
@click.option(
    "--labelled",
    type=click.Path(path_type=Path, exists=True),
    metavar="FILE",
    help="Labels that exist, in any format: what they cover is left out.",
)
@click.option(
    "--min-area", "min_area_m2", default=0.0, type=Measure(0), metavar="M2", help="Leave smaller parcels out."
)
@scene_options
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
@quiet_option("Print errors only.")
def next(  # noqa: A001 - the command's name
    map_file: Path, scene: tuple[str, ...], as_json: bool, quiet: bool, **options: Any
) -> None:
    """List what to label next: the parcels or tiles of MAP that most need a person.

    SCENE is the scene that was mapped; without it parcels are told apart by size and shape only.
    """
    from geopanoptic.labels.choosing.choose import next_labels

    source: Any = (list(scene) if len(scene) > 1 else scene[0]) if scene else None
    found = next_labels(map_file, source, **options)
    if as_json:
        click.echo(json.dumps(found.to_dict()))
        return
    for row in () if quiet else found.listed.itertuples():
        what = row.tile if options["of"] == "tiles" else f"parcel {row.object_id}"
        click.echo(f"{row.rank:4d}  {what}: {row.reason}")
    if not quiet and not found.candidates and not found.labelled:
        large = " that large" if options["min_area_m2"] else ""
        click.echo(f"nothing to list: {map_file} holds no parcels{large}")
    elif not quiet:
        where = "" if found.out is None else f" in {found.out}"
        click.echo(
            f"{len(found.listed):,} of {found.candidates:,} listed{where}; {found.labelled:,} labelled already"
        )
