"""Options that many commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

device_option = click.option(
    "--device", default="auto", show_default=True, metavar="NAME", help="auto, cpu, cuda, cuda:1 or mps."
)
"""For every command that maps a scene."""


def quiet_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that adds ``quiet`` to a command; ``text`` says what is printed all the same."""
    return click.option("--quiet", "-q", is_flag=True, help=text)
