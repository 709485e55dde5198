"""Options that many commands have."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from geopanoptic.pipeline.progress import Progress

device_option = click.option(
    "--device", default="auto", show_default=True, metavar="NAME", help="auto, cpu, cuda, cuda:1 or mps."
)
"""For every command that maps a scene."""


def quiet_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that adds ``quiet`` to a command; ``text`` says what is printed all the same."""
    return click.option("--quiet", "-q", is_flag=True, help=text)


def progress_of_command(*, quiet: bool, as_json: bool) -> Progress:
    """Tells a command's progress on standard error; for ``--json`` its warnings are ``invoke``'s to tell."""
    from geopanoptic.pipeline.progress import Held, progress_for

    if as_json:
        return Held(click.get_current_context().obj)
    return progress_for(sys.stderr, quiet=quiet)
