"""``geopanoptic evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from geopanoptic.cli.common_options import (
    STANDARD_OUTPUT,
    device_option,
    json_option,
    progress_of_command,
    put_json,
    quiet_option,
    require_writable,
)
from geopanoptic.cli.map_options import FUSION_NAMES, pixel_size_option
from geopanoptic.cli.scene_options import SCENE_OPTIONS, scene_options
from geopanoptic.cli.sections import SectionedCommand, exit_code_lines

if TYPE_CHECKING:
    from geopanoptic.evaluation.evaluation import Evaluation
    from geopanoptic.evaluation.fusion_table import FusionTable
    from geopanoptic.pipeline.progress import Progress

MAPPING = ("model", "device", "pixel_size", "maps", "overwrite")
"""Options of mapping a scene, beside those of the scene."""

SECTIONS = {
    "Truth": ("area", "outside", "sparse", "layer", "min_area_m2"),
    "Classes": ("class_column", "void_class", "protocol"),
    "Grid": ("resolution_m", "tolerance_m", "seams_px"),
    "Rules of fusion": ("fusion", *(each for each in MAPPING if each != "overwrite"), *SCENE_OPTIONS),
    "Output": ("json_path", "picture", "image", "overwrite", "quiet"),
}

EPILOG = f"""\b
Examples:
  geopanoptic evaluate parcels.gpkg official.gpkg
  geopanoptic evaluate parcels.gpkg official.gpkg --area mapped.geojson --picture outcome.png
  geopanoptic evaluate parcels.gpkg my_fields.zip --sparse
  geopanoptic evaluate rasters/ labels.tif --class-column class_name --json figures.json
  geopanoptic evaluate parcels.gpkg official.parquet --class-column class_name,crop
  geopanoptic evaluate scene.tif official.gpkg --fusion all
  geopanoptic evaluate scene.tif official.gpkg --fusion deeplab,panoptic-fpn --maps maps/ --json rules.json

\b
Figures:
  PQ, SQ, RQ     panoptic quality, mean IoU of the matches, their F1; a match has IoU > 0.5
  PC, IoU        Parsing Covering, IoU of the pixels
  AP, AP50       average precision over IoU 0.50:0.95, and at 0.50; needs scores
  TP, FP, FN     matches, false parcels, missed parcels

Both maps are compared on one pixel grid: a raster's own (of two, the finer one), or for two vector maps one
that gives the median true parcel at least 400 pixels. The output states it.

With --fusion, PRED is a scene: the network maps it once, every rule makes a map of that as `geopanoptic run
--fusion` would, and each is scored. Which rule is best was then chosen on this truth: confirm it on another.

{exit_code_lines(3, 4, 75)}
"""


@click.command(cls=SectionedCommand, sections=SECTIONS, epilog=EPILOG)
@click.argument("pred")
@click.argument("truth", type=click.Path(path_type=Path))
@click.option(
    "--area",
    "--aoi",
    "area",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Polygons within which the truth is complete; nothing counts outside, also not of parcels that reach over "
    "the rim.  [default: the bounding box common to both maps]",
)
@click.option(
    "--outside",
    default="both",
    show_default=True,
    type=click.Choice(["count", "ignore", "both"]),
    help="Predictions on ground without a true segment: count them against the map, or ignore them.",
)
@click.option("--sparse", is_flag=True, help="Only some fields are drawn: recall and best IoU, no PQ.")
@click.option(
    "--layer",
    metavar="NAME",
    help="Layer of TRUTH, or PRED_LAYER,TRUTH_LAYER.  [default: parcels and landcover, or the first of polygons]",
)
@click.option(
    "--min-area",
    "min_area_m2",
    default=0.0,
    type=float,
    metavar="M2",
    help="Leave out true parcels below this size, found or not, and false ones as small.",
)
@click.option(
    "--class-column",
    metavar="NAME",
    help="Column of the class, in both maps, or PRED_COLUMN,TRUTH_COLUMN.  [default: class_name where both "
    "have it, else all parcels are one class]",
)
@click.option(
    "--void-class",
    metavar="NAME",
    help="Class of true parcels whose class is unknown, as it is of those without one.",
)
@click.option(
    "--protocol",
    default="coco",
    show_default=True,
    type=click.Choice(["coco", "pastis"]),
    help="How unmatched predictions on void are treated.",
)
@click.option("--resolution", "resolution_m", type=float, metavar="METRES", help="Pixel of the grid.")
@click.option(
    "--tolerance",
    "tolerance_m",
    type=float,
    metavar="METRES",
    help="How far boundaries may lie apart for the boundary F-score.  [default: 2 pixels]",
)
@click.option(
    "--seams",
    "seams_px",
    type=int,
    metavar="PIXELS",
    help="Also compare parcels at the borders of tiles of this side, in pixels of the grid, with the others.",
)
@json_option("The figures")
@click.option(
    "--picture",
    type=click.Path(path_type=Path),
    metavar="FILE.png",
    help="Draw hits, misses, false parcels, splits and merges.",
)
@click.option(
    "--image",
    metavar="SCENE",
    help="Scene to draw the picture over: a file, a folder, or files joined by commas.",
)
@click.option(
    "--fusion",
    metavar="RULES",
    help=f"Map the scene PRED by these rules and score each: all, or some of {', '.join(FUSION_NAMES)}, by commas.",
)
@click.option("--model", metavar="MODEL", help="Name or folder of the model, with --fusion.")
@device_option
@pixel_size_option
@click.option(
    "--maps",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Keep the maps there, as deeplab.gpkg and so on, and work there.  [default: keep none]",
)
@click.option("--overwrite", is_flag=True, help="Replace the maps in --maps.")
@scene_options
@quiet_option("Print only errors.")
@click.pass_context
def evaluate(
    context: click.Context,
    pred: str,
    truth: Path,
    json_path: Path | None,
    picture: Path | None,
    image: str | None,
    fusion: str | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Score the map PRED against TRUTH.

    Each is a vector file, a label GeoTIFF (0 no parcel, negative unknown), or a folder that `geopanoptic run
    --rasters` wrote, in any CRS. Of a GeoPackage of `geopanoptic run` both layers are used; land cover is
    scored where the truth has it.
    """
    from geopanoptic.errors import OutputError, UsageError
    from geopanoptic.evaluation.evaluate import evaluate as compare
    from geopanoptic.products.suffixes import require_png

    if image is not None and picture is None:
        raise UsageError("--image is given without --picture.", remedy="Name the picture: --picture out.png.")
    if picture is not None:
        require_png(picture)
        if picture.exists() and not options["overwrite"]:
            raise OutputError(f"{picture} exists.", remedy="Name another picture, or give --overwrite.")
    for out in (json_path, picture):
        if out is not None:
            require_writable(out)
    mapping = {name: options.pop(name) for name in (*MAPPING, *SCENE_OPTIONS)}
    if fusion is not None:
        if picture is not None:
            raise UsageError(
                "--picture shows one map, and --fusion makes several.",
                remedy="Keep them with --maps, and give the one to draw as PRED.",
            )
        progress = progress_of_command(quiet=quiet, as_json=json_path == STANDARD_OUTPUT)
        table = _by_rules(pred, truth, fusion, mapping, options, progress)
        _tell(table, json_path, quiet=quiet)
        return
    for name in mapping:
        if name == "overwrite" and picture is not None:
            continue
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            option = next(each.opts[0] for each in context.command.params if each.name == name)
            raise UsageError(
                f"{option} is about mapping a scene, and PRED is a map.",
                remedy="Leave it out, or give a scene and --fusion.",
            )
    evaluation = compare(Path(pred), truth, **options)
    if picture is not None:
        evaluation.plot(picture, image=image)
    _tell(evaluation, json_path, quiet=quiet)


def _tell(found: Evaluation | FusionTable, json_path: Path | None, *, quiet: bool) -> None:
    if json_path is not None:
        put_json(found.to_json(), json_path)
    if not quiet and json_path != STANDARD_OUTPUT:
        click.echo(str(found))


def _by_rules(
    scene: str,
    truth: Path,
    fusion: str,
    mapping: dict[str, Any],
    options: dict[str, Any],
    progress: Progress,
) -> FusionTable:
    from geopanoptic.evaluation.fusion_table import evaluate_fusions
    from geopanoptic.scene.files.sources import named_sources

    return evaluate_fusions(
        named_sources(scene),
        truth,
        fusion,
        scene_options={name: mapping[name] for name in SCENE_OPTIONS},
        progress=progress,
        **{name: mapping[name] for name in MAPPING},
        **options,
    )
