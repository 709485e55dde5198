"""``geopanoptic fuse``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from geopanoptic.cli.common_options import progress_of_command, quiet_option
from geopanoptic.cli.continuing import telling_how_to_continue
from geopanoptic.cli.map_options import FUSION_NAMES, map_options
from geopanoptic.cli.sections import SectionedCommand, exit_code_lines
from geopanoptic.wording import counted

SECTIONS = {
    "Output": ("out", "rasters", "parquet", "overwrite"),
    "Map": ("scene", "fusion", "min_score", "min_area_m2", "simplify_m"),
    "Work": ("block_px", "threads", "resume"),
    "Messages": ("as_json", "quiet"),
}

EPILOG = f"""\b
Examples:
  geopanoptic fuse detections/ --scene scene.tif --out parcels.gpkg
  geopanoptic fuse detections/ --scene scene.tif --out parcels.gpkg --fusion upsnet --rasters maps/

\b
Detections:
  One .npz or .json file per tile, with arrays named as torchvision and Detectron2 name them:
  boxes (n, 4) x0 y0 x1 y1, scores (n,) from 0 to 1, labels (n,), masks (n, H, W) as bool or probabilities, or cropped
  to their boxes such as (n, 28, 28), square and smaller than the tile; mask_logits in their place; semantic (C, H, W)
  logits if there are any.
  JSON may hold COCO results (bbox, category_id, score, segmentation as run lengths).
  Tiles should overlap by more than the model's uncertain rim; larger parcels than the overlap stay whole.
  Every file is read once, mask by mask. What counts of it is kept beside FILE while this works: 2 bytes for a pixel
  of each mask's extent, and for a pixel of each channel of semantic.

\b
tiles.json beside them says where tiles lie, unless each has its GeoTIFF beside it, and what classes are:
  {{"tiles": {{"tile_0": {{"row0": 0, "col0": 0, "height": 256, "width": 256}}}},
   "classes": [{{"name": "parcel", "kind": "thing", "label": 1, "channel": 0}},
               {{"name": "water", "kind": "stuff", "channel": 1, "colour": "#0064c8"}}]}}
  height and width are those that the detector saw: what a padded tile says of ground beyond the scene does not count.

\b
Rules (--fusion):
  deeplab       the surer mask has a pixel, stuff fills the rest
  panoptic-fpn  the instance of higher score has it
  upsnet        instance logits against stuff and an unknown channel; unknown ground stays empty
  efficientps   adaptive fusion of mask and semantic logits against stuff
  lps           semantics say what is a thing, masks which one

{exit_code_lines(3, 75)}
"""


@click.command(cls=SectionedCommand, sections=SECTIONS, epilog=EPILOG)
@click.argument("detections", type=click.Path(path_type=Path))
@click.option(
    "--scene",
    type=click.Path(path_type=Path),
    metavar="FILE",
    required=True,
    help="Scene that the tiles were cut from; its grid is the map's.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    required=True,
    help="GeoPackage to write: parcels.gpkg.",
)
@click.option(
    "--fusion",
    type=click.Choice(FUSION_NAMES),
    default="deeplab",
    show_default=True,
    help="How instances and stuff become one map, see below.",
)
@click.option(
    "--min-score",
    type=float,
    default=0.5,
    show_default=True,
    metavar="SCORE",
    help="Leave out detections below it, from 0 to 1.",
)
@map_options
@click.option(
    "--block",
    "block_px",
    type=int,
    default=512,
    show_default=True,
    metavar="PIXELS",
    help="Side of a block.",
)
@click.option("--threads", type=int, metavar="N", help="Threads.  [default: all cores]")
@click.option(
    "--resume",
    is_flag=True,
    help="Continue after a fuse that was stopped: files that it has read are not read again.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report or the error as JSON.")
@quiet_option("Print only warnings and errors.")
def fuse(detections: Path, scene: Path, out: Path, as_json: bool, quiet: bool, **options: Any) -> None:
    """Make one map without seams of the DETECTIONS of an instance model, tile by tile.

    Any Mask R-CNN style model will do. An object that several tiles show is found once, whole.
    """
    from geopanoptic.pipeline.detections.fuse import fuse as fuse_detections

    progress = progress_of_command(quiet=quiet, as_json=as_json)
    with telling_how_to_continue("--resume"):
        fused = fuse_detections(detections, scene, out, progress=progress, **options)
    if as_json:
        click.echo(json.dumps(fused.report, indent=2, default=str))
    elif not quiet:
        report = fused.report
        click.echo(
            f"{counted(report['parcels'], 'parcel')} of {counted(report['detections'], 'detection')} in "
            f"{counted(report['tiles'], 'tile')}, and {counted(report['landcover_areas'], 'land-cover area')} in {out}"
        )
