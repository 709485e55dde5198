"""The ``geopanoptic`` command: its group, and the one place where errors become exit codes."""

from __future__ import annotations

import difflib
import errno
import json
import os
import signal
import sys
import tempfile
import traceback
from importlib import import_module
from types import FrameType
from typing import NoReturn

import click

from geopanoptic import __version__
from geopanoptic.cli.sections import exit_code_lines
from geopanoptic.errors import (
    GeopanopticError,
    InterruptedRunError,
    OutputError,
    ResourceError,
    TerminatedRunError,
)

COMMANDS = {
    "run": "Map a scene: parcels and land cover as a GeoPackage.",
    "inspect": "Show what a scene is and whether the model can take it.",
    "demo": "Map a real Sentinel-2 scene that comes with the installation.",
    "models": "List and describe the models.",
    "doctor": "Check the installation and the machine.",
}


class _Group(click.Group):
    """Imports a command when it is used, so that help and completion are quick."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command = getattr(import_module(f"geopanoptic.cli.{name}"), name)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS:
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else f" There is {', '.join(COMMANDS)}."
            raise click.UsageError(f"No such command '{args[0]}'.{hint}", context)
        return super().resolve_command(context, args)


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=exit_code_lines(),
)
@click.version_option(__version__, prog_name="geopanoptic")
def cli() -> None:
    """Panoptic maps from satellite scenes.

    Agricultural parcels come out as georeferenced polygons without gaps, overlaps or seams, land cover as
    polygons and rasters beside them.

    \b
    Start with:
      geopanoptic run scene.tif --out parcels.gpkg
      geopanoptic inspect scene.tif
    """


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code; no traceback reaches a user."""
    arguments = sys.argv[1:] if args is None else args
    as_json = "--json" in arguments
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = cli.main(args=arguments, prog_name="geopanoptic", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as leave:
        sys.exit(leave.exit_code)
    except click.ClickException as mistake:
        if as_json:
            _fail(mistake.format_message(), "See --help.", mistake.exit_code, as_json=True)
        mistake.show()
        sys.exit(mistake.exit_code)
    except (KeyboardInterrupt, click.Abort):
        interrupted = InterruptedRunError("Interrupted; nothing was changed at the output.")
        _fail(interrupted.message, "", interrupted.exit_code, as_json=as_json)
    except GeopanopticError as refusal:
        _fail(refusal.message, refusal.remedy, refusal.exit_code, as_json=as_json)
    except Exception as failure:
        if os.environ.get("GEOPANOPTIC_DEBUG"):
            raise
        known = _as_refusal(failure)
        _fail(known.message, known.remedy, known.exit_code, as_json=as_json)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise TerminatedRunError("Terminated; nothing was changed at the output.")


def _fail(message: str, remedy: str, code: int, *, as_json: bool) -> NoReturn:
    if as_json:
        click.echo(json.dumps({"error": message, "remedy": remedy, "exit_code": code}), err=True)
    else:
        click.secho("error: ", fg="red", bold=True, nl=False, err=True)
        click.echo(message, err=True)
        if remedy:
            click.echo(f"  {remedy}", err=True)
    sys.exit(code)


def _as_refusal(failure: Exception) -> GeopanopticError:
    """What the machine ran out of, wherever that showed; everything else is a bug."""
    if isinstance(failure, MemoryError):
        return ResourceError("The memory did not suffice.", remedy="Give a smaller --memory or --tile.")
    if isinstance(failure, OSError) and failure.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(
            f"The disk is full ({failure.filename or failure.strerror}); an existing output is untouched.",
            remedy="Free some space, or put the intermediate data elsewhere with --work.",
        )
    return GeopanopticError(f"{type(failure).__name__}: {failure}", remedy=_report_bug())


def _report_bug() -> str:
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="geopanoptic-", suffix=".log", delete=False, encoding="utf-8"
        ) as file:
            file.write(traceback.format_exc())
        evidence = file.name
    except OSError:
        evidence = "what GEOPANOPTIC_DEBUG=1 prints"
    return f"This is a bug in geopanoptic; please report it with {evidence}. An existing output is untouched."
