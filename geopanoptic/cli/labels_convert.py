"""``geopanoptic labels convert``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from geopanoptic.cli.common_options import quiet_option
from geopanoptic.cli.label_options import reading_options, tell_losses
from geopanoptic.cli.sections import SectionedCommand, exit_code_lines
from geopanoptic.wording import counted

SECTIONS = {
    "Formats": ("to", "source_format", "taxonomy", "label_divisor", "rle"),
    "Images": ("image", "tile_px", "overlap_px", "pictures"),
    "Columns": ("layer", "class_column", "id_column"),
    "History": ("base", "annotator"),
    "Output": ("overwrite", "as_json", "quiet"),
}

EPILOG = f"""\b
Examples:
  geopanoptic labels convert parcels.gpkg coco/ --to coco-panoptic --image scene.tif --tile 512
  geopanoptic labels convert coco/ parcels.gpkg
  geopanoptic labels convert parcels.gpkg parcels.parquet
  geopanoptic labels convert export.json labels.tif --image scene.tif
  geopanoptic labels convert register.gpkg labels/ --to cityscapes --image scene.tif --class-column crop

\b
Formats:
  gpkg, geojson, geoparquet (fiboa), raster
  coco-panoptic, coco-instances, cityscapes, deeplab, panoptic-fpn, mapillary, pastis
  cvat, label-studio, labelme, labelimg, via

What a format has no place for is told. Where images lie on the map is kept in labels.json beside labels in
pixels, so that they find back.

{exit_code_lines(3)}
"""


@click.command(cls=SectionedCommand, sections=SECTIONS, epilog=EPILOG)
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--to",
    metavar="FORMAT",
    help="Format to write.  [default: that of TARGET's suffix: .gpkg, .geojson, .parquet, .tif]",
)
@reading_options
@click.option("--taxonomy", metavar="NAME|FILE", help="Convert the classes to these.")
@click.option(
    "--label-divisor",
    default=1000,
    show_default=True,
    type=click.IntRange(1),
    metavar="N",
    help="For deeplab, whose values are class * N + object.",
)
@click.option(
    "--rle",
    is_flag=True,
    help="For coco-instances: objects as run lengths of their pixels, holes included, instead of polygons.",
)
@click.option(
    "--image",
    type=click.Path(path_type=Path),
    metavar="RASTER",
    help="The labelled image, or the folder of images: where pixels lie, which pixels a map is drawn on.",
)
@click.option(
    "--tile",
    "tile_px",
    type=click.IntRange(16),
    metavar="PIXELS",
    help="Cut a scene into images of this size.  [default: 1024 for scenes above 4096]",
)
@click.option(
    "--overlap",
    "overlap_px",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    metavar="PIXELS",
    help="What neighbouring images share.",
)
@click.option(
    "--pictures",
    is_flag=True,
    help="Also write these images as 8-bit PNG, made of the scene with one stretch: images/ in TARGET, or beside it.",
)
@click.option(
    "--base",
    type=click.Path(path_type=Path, exists=True),
    metavar="LABELS",
    help="The labels that SOURCE was made of, such as the folder of prelabel.  [default: as recorded beside it]",
)
@click.option("--annotator", default="", metavar="NAME", help="Who answers for the labels.")
@click.option("--overwrite", is_flag=True, help="Replace TARGET once the new one is complete.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
@quiet_option("Print losses and errors only.")
def convert(
    source: Path,
    target: Path,
    to: str | None,
    taxonomy: str | None,
    label_divisor: int,
    rle: bool,
    image: Path | None,
    tile_px: int | None,
    overlap_px: int,
    pictures: bool,
    base: Path | None,
    annotator: str,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    **reading: str | None,
) -> None:
    """Write the labels SOURCE in another format to TARGET."""
    from geopanoptic.labels.convert import convert as convert_labels

    done = convert_labels(
        source,
        target,
        to=to,
        image=image,
        taxonomy=taxonomy,
        tile_px=tile_px,
        overlap_px=overlap_px,
        pictures=pictures,
        label_divisor=label_divisor,
        rle=rle,
        base=base,
        annotator=annotator,
        overwrite=overwrite,
        **reading,
    )
    if as_json:
        click.echo(json.dumps(done.to_dict()))
        return
    for note in () if quiet else done.notes:
        click.echo(f"note: {note}", err=True)
    tell_losses(done.losses)
    if not quiet:
        images = f" on {done.images:,} images (counted on each)" if done.images > 1 else ""
        click.echo(
            f"{counted(done.objects, 'object')}{images}: {done.source_format} to {done.target_format}, {target}"
        )
