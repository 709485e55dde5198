"""The options that say how a scene is opened, the same for every command that opens one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

SCENE_OPTIONS = (
    *("bands", "dates", "start", "end", "max_cloud", "cloud_mask", "align"),
    *("assume_crs", "allow_remote"),
)
"""Their parameters' names, in the order of the help."""

_OPTIONS = (
    click.option(
        "--bands",
        metavar="LIST",
        help="The bands in the file's order, or one per file: red,green,blue,nir,-,- where '-' leaves a band "
        "out. Needed only where the files do not name them.",
    ),
    click.option(
        "--dates",
        metavar="LIST",
        help="Dates to use, such as 2021-06-15,2021-08-15. Where nothing in the files states a date: the dates "
        "they have, in the order of the files (in a folder by name) and of the bands in them.",
    ),
    click.option("--from", "start", metavar="DATE", help="Leave out what was taken before this date."),
    click.option("--to", "end", metavar="DATE", help="Leave out what was taken after this date."),
    click.option(
        "--max-cloud",
        type=float,
        metavar="PERCENT",
        help="Leave out dates with more cloud, as their files state it (for the whole product), else as a sample of "
        "their masks shows.",
    ),
    click.option(
        "--cloud-mask",
        type=click.Choice(["auto", "scl", "band", "ukis", "none"]),
        default="auto",
        show_default=True,
        help="What hides clouds and their shadows: the masks beside the images (auto); of these only a "
        "Sentinel-2 scene classification (scl) or only another cloud band (band); the package ukis-csmask; or none.",
    ),
    click.option(
        "--align",
        is_flag=True,
        help="Resample dates that lie on other grids onto one: that of the finest pixels, of several such the "
        "one that most dates have.",
    ),
    click.option("--assume-crs", metavar="EPSG:N", help="CRS of a scene that states none."),
    click.option(
        "--allow-remote",
        is_flag=True,
        help="Read scenes at http, https and s3 addresses too, not only files.",
    ),
)


def scene_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds them to a command, which gets them as keywords."""
    return scene_options_except()(command)


def scene_options_except(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that adds those with other names, for commands whose own ``--from`` and ``--to`` are formats."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for name, option in reversed(list(zip(SCENE_OPTIONS, _OPTIONS, strict=True))):
            command = command if name in names else option(command)
        return command

    return add
