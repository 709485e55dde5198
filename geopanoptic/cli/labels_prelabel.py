"""``geopanoptic labels prelabel``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from geopanoptic.cli.common_options import device_option, progress_of_command, quiet_option
from geopanoptic.cli.label_options import tell_losses
from geopanoptic.cli.map_options import pixel_size_option
from geopanoptic.cli.scene_options import SCENE_OPTIONS, scene_options_except
from geopanoptic.cli.sections import SectionedCommand, exit_code_lines
from geopanoptic.wording import counted

PERIOD = ("start", "end")
"""Options of a scene that have other names here: this command's ``--to`` is a format."""

SECTIONS = {
    "Output": ("out", "to", "stuff", "split", "image_root", "overwrite"),
    "Pictures": ("tile_px", "overlap_px", "picture_bands", "jpeg"),
    "Map": ("map_file", "model", "device", "pixel_size"),
    "Scene": SCENE_OPTIONS,
    "Messages": ("as_json", "quiet"),
}

EPILOG = f"""\b
Examples:
  geopanoptic labels prelabel scene.tif --out work/ --to label-studio
  geopanoptic labels prelabel scene.tif --map parcels.gpkg --out work/ --to cvat --tile 512 --overlap 64
  geopanoptic labels prelabel scene.tif --out work/ --to labelme --picture-bands nir,red,green
  geopanoptic labels prelabel scene.tif --out work/ --to label-studio --split things,stuff
  geopanoptic labels prelabel scene.tif --out work/ --to cvat --split 4        four annotators, an area each

\b
Output:
  work/images/           pictures of the tiles, one stretch for the whole scene
  work/label-studio.json, cvat.xml, labelme/, ...   the labels, uncertain ones first
  work/label-studio.xml, cvat-labels.json           the classes, for the tool's project
  work/labels.json       where pictures lie; keep it, or a copy, beside what the tool exports
  work/prelabels.gpkg    the same objects on the map, with score and uncertainty
  work/things/, work/area-1/, ...                   with --split: one annotator's part each

\b
Back from the tool:
  geopanoptic labels convert work/export.json corrected.gpkg --to gpkg
  geopanoptic labels merge work/things/export.json work/stuff/export.json --out corrected.gpkg

{exit_code_lines(3, 4)}
"""


@click.command(cls=SectionedCommand, sections=SECTIONS, epilog=EPILOG)
@click.argument("scene", nargs=-1, required=True)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="FOLDER", help="Folder to write."
)
@click.option("--to", required=True, metavar="FORMAT", help="Format of the tool: label-studio, cvat, ...")
@click.option(
    "--stuff",
    is_flag=True,
    help="Land cover too, in formats of outlines. Formats of rasters have it anyway.",
)
@click.option(
    "--split",
    metavar="RULE",
    help="A part for each annotator: 'things,stuff', 'class', or the number of equal areas.",
)
@click.option(
    "--image-root",
    metavar="TEXT",
    help="What goes before the pictures' names, such as '/data/local-files/?d=work/images/' for Label Studio.  "
    "[default: the way to images/]",
)
@click.option("--overwrite", is_flag=True, help="Replace FOLDER once the new one is complete.")
@click.option(
    "--tile",
    "tile_px",
    default=1024,
    show_default=True,
    type=click.IntRange(16),
    metavar="PIXELS",
    help="Side of a picture.",
)
@click.option(
    "--overlap",
    "overlap_px",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    metavar="PIXELS",
    help="What neighbouring pictures share.",
)
@click.option(
    "--picture-bands",
    metavar="LIST",
    help="Three bands to show as red, green and blue, or one.  [default: true colour]",
)
@click.option("--jpeg", is_flag=True, help="Pictures as JPEG, smaller and not exact.  [default: PNG]")
@click.option(
    "--map",
    "map_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Map of an earlier run of this scene.  [default: map it now]",
)
@click.option("--model", metavar="MODEL", help="Name or folder of the model that maps it now.")
@device_option
@pixel_size_option
@scene_options_except(*PERIOD)
@click.option("--from-date", "start", metavar="DATE", help="Leave out what was taken before this date.")
@click.option("--to-date", "end", metavar="DATE", help="Leave out what was taken after this date.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
@quiet_option("Print warnings and errors only.")
def prelabel(
    scene: tuple[str, ...],
    picture_bands: str | None,
    jpeg: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Map SCENE and write the map as pre-annotations, with pictures, for an annotation tool."""
    from geopanoptic.labels.prelabel import prelabel as write_prelabels

    done = write_prelabels(
        list(scene) if len(scene) > 1 else scene[0],
        picture_bands=picture_bands.replace(" ", "").split(",") if picture_bands else None,
        picture_suffix=".jpg" if jpeg else ".png",
        progress=progress_of_command(quiet=quiet, as_json=as_json),
        **options,
    )
    if as_json:
        click.echo(json.dumps(done.to_dict()))
        return
    tell_losses(done.losses)
    if not quiet:
        parts = f" in {len(done.parts)} parts" if done.parts else ""
        click.echo(
            f"{counted(done.objects, 'object')} on {counted(done.images, 'picture')}{parts} in {done.out} "
            f"({done.target_format})"
        )
