"""The options that say how a map is drawn and written, the same for every command that makes one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

FUSION_NAMES = ("deeplab", "panoptic-fpn", "upsnet", "efficientps", "lps")
"""The rules of ``panoptic.fusion.rules``, which takes a while to import."""

_OPTIONS = (
    click.option(
        "--min-area",
        "min_area_m2",
        type=float,
        metavar="M2",
        help="Smallest region in square metres. Smaller ones join a neighbour, so no holes appear; borders are "
        "straightened after that, which may take up to a quarter of a region.  [default: 10 pixels of the scene, as it "
        "is read]",
    ),
    click.option(
        "--simplify",
        "simplify_m",
        type=float,
        metavar="METRES",
        help="How far a border may move when it is straightened; shared borders move together. 0 keeps pixel "
        "edges.  [default: one output pixel]",
    ),
    click.option(
        "--rasters",
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="Also write class.tif, parcel_id.tif and confidence.tif, cloud-optimised.",
    ),
    click.option(
        "--parquet",
        is_flag=True,
        help="Also write the parcels as GeoParquet (fiboa) beside --out, as parcels.parquet.",
    ),
    click.option(
        "--overwrite", is_flag=True, help="Replace existing outputs, once the new ones are complete."
    ),
)

pixel_size_option = click.option(
    "--pixel-size",
    default="auto",
    show_default=True,
    metavar="METRES",
    help="Pixel that the network is shown, each the mean of whole ones of the scene: a size, of which the nearest "
    "possible is taken, native (the scene's), or auto, which brings scenes finer than a model likes to the size at "
    "which it draws best.",
)
"""For every command whose network is shown a scene."""


def map_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``min_area_m2``, ``simplify_m``, ``rasters``, ``parquet`` and ``overwrite`` to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
