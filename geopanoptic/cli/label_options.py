"""What commands that read labels of any format have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import isfinite
from typing import Any

import click


class Measure(click.FloatRange):
    """A number within a range; click's own takes "nan" for one, which lies in every range."""

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> float:
        number = float(super().convert(value, param, context))
        if not isfinite(number):
            self.fail(f"{value!r} is no finite number.", param, context)
        return number


_READING = (
    click.option(
        "--from", "source_format", metavar="FORMAT", help="Format of SOURCE.  [default: by its content]"
    ),
    click.option(
        "--layer", metavar="NAME", help="Layer of SOURCE.  [default: parcels and landcover, or the first]"
    ),
    click.option("--class-column", metavar="NAME", help="Column of the class.  [default: class_name]"),
    click.option(
        "--id-column", metavar="NAME", help="Column of the id.  [default: object_id, parcel_id, or by row]"
    ),
)


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds how SOURCE is read: ``source_format``, ``layer``, ``class_column`` and ``id_column``."""
    for option in reversed(_READING):
        command = option(command)
    return command


def tell_losses(losses: Iterable[str]) -> None:
    """Say what a format had no place for, on standard error."""
    for loss in losses:
        click.secho("lost: ", fg="yellow", nl=False, err=True)
        click.echo(loss, err=True)
