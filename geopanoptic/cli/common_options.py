"""Options that many commands have."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
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


@dataclass(slots=True)
class Telling:
    """How a failure will be told, the object of every command's context: as JSON with the ``warnings`` before it, which wait
    for it, or in words."""

    as_json: bool = False
    warnings: list[str] = field(default_factory=list)


_FIGURES = re.compile(rb'\{\s*"(prediction|scene|heading|source)"')
"""How what ``--json`` writes begins."""

STANDARD_OUTPUT = Path("-")
"""What ``--json`` without a file stands for in the commands that may also write one."""


def json_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that adds ``json_path`` to a command that prints a table: ``--json`` prints JSON in its place,
    ``--json FILE`` writes it beside the table; ``text`` says what it holds."""
    return click.option(
        "--json",
        "json_path",
        is_flag=False,
        flag_value=str(STANDARD_OUTPUT),
        type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
        metavar="[FILE]",
        callback=_no_other_file,
        help=f"{text} as JSON: printed in place of the table, or written to FILE.",
    )


def _no_other_file(_context: click.Context, _option: click.Parameter, path: Path | None) -> Path | None:
    """An argument right after ``--json`` is its FILE: a scene, map or item that stands there must not be written over."""
    if path is not None and path.is_file() and not _holds_figures(path):
        raise click.UsageError(
            f"--json would replace {path}, which holds no figures of an earlier --json. Put --json last, or name another."
        )
    return path


def _holds_figures(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError:
        return True  # nothing is lost by trying to write there
    return not start or _FIGURES.match(start) is not None


def tells_json(command: click.Command, arguments: list[str]) -> bool:
    """Whether failures of ``command`` are told as JSON: with ``--json`` unless it names a FILE, for then a person reads the
    rest."""
    if "--json" not in arguments:
        return False
    context, rest = click.Context(command, resilient_parsing=True), arguments
    while isinstance(command, click.Group) and rest and (found := command.get_command(context, rest[0])):
        command, rest = found, rest[1:]
    following = rest[rest.index("--json") + 1 :][:1]
    takes_file = any("--json" in each.opts and not getattr(each, "is_flag", True) for each in command.params)
    return not (takes_file and following and not following[0].startswith("-"))


def put_json(text: str, path: Path) -> None:
    """Print or write what ``json_option`` asks for. Raises OutputError where it cannot be written."""
    from geopanoptic.products.writing import put_text

    if path == STANDARD_OUTPUT:
        click.echo(text)
    else:
        put_text(path, text)


def require_writable(out: Path) -> None:
    """Raise OutputError where a file cannot be written, before hours are spent on what is to be in it."""
    from geopanoptic.products.writing import writing

    if out == STANDARD_OUTPUT:
        return
    with writing(out):
        if not out.exists():
            tempfile.TemporaryFile(dir=out.parent).close()
        elif not out.is_fifo():  # whose reader would take the closing for the end
            out.open("ab").close()


def progress_of_command(*, quiet: bool, as_json: bool) -> Progress:
    """Tells a command's progress on standard error; for ``--json`` its warnings are ``invoke``'s to tell."""
    from geopanoptic.pipeline.progress import Held, progress_for

    if as_json:
        return Held(click.get_current_context().ensure_object(Telling).warnings)
    return progress_for(sys.stderr, quiet=quiet)
