"""The options that say how a map is drawn and written, the same for every command that makes one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

_OPTIONS = (
    click.option(
        "--min-area",
        "min_area_m2",
        type=float,
        metavar="M2",
        help="Smallest region in square metres. Smaller ones join a neighbour, so no holes appear.  [default: 10 "
        "pixels as the network is shown them]",
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
        "--overwrite", is_flag=True, help="Replace existing outputs, once the new ones are complete."
    ),
)


def map_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``min_area_m2``, ``simplify_m``, ``rasters`` and ``overwrite`` to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
