"""The ``geopanoptic`` command: its group, and the one place where errors become exit codes."""

from __future__ import annotations

import errno
import json
import os
import sys
import tempfile
import traceback
from contextlib import suppress
from typing import NoReturn

import click

from geopanoptic import __version__
from geopanoptic.cli.common_options import Telling, tells_json
from geopanoptic.cli.groups import LazyGroup
from geopanoptic.cli.sections import exit_code_lines
from geopanoptic.cli.stopping import answering_signals, ended_by_signals
from geopanoptic.errors import (
    DISK_FULL,
    EXIT_CODES,
    GeopanopticError,
    HungUpRunError,
    InterruptedRunError,
    OutputError,
    ResourceError,
    TerminatedRunError,
    UsageError,
)

COMMANDS = {
    "run": "Map a scene: parcels and land cover as a GeoPackage.",
    "inspect": "Show what a scene is and whether the model can take it.",
    "demo": "Map a real Sentinel-2 scene that comes with the installation.",
    "compare": "Trace parcels from one map to a later one: same, moved, split, merged, new, gone.",
    "stats": "Values of every parcel per date, band and index, as a table.",
    "fuse": "Make one map of any instance model's detections, tile by tile.",
    "evaluate": "Score a map against the truth: panoptic quality and what went wrong.",
    "train": "Train a model, or teach an existing one your own fields.",
    "pastis": "Train and score by the official five folds of PASTIS.",
    "labels": "Convert labels between formats and annotation tools.",
    "models": "List, describe and export the models.",
    "bench": "Measure this machine: rates by stage, memory, share of the bare network.",
    "doctor": "Check the installation and the machine.",
}


VARIABLES = ("GEOPANOPTIC_DEBUG", "GEOPANOPTIC_DATA", "GEOPANOPTIC_NOTEBOOK_MINUTES")
"""What is read from the environment: the first here, the others by tests and notebooks."""


@click.group(
    cls=LazyGroup,
    texts=COMMANDS,
    home="geopanoptic.cli.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=exit_code_lines(*EXIT_CODES),
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


def main() -> NoReturn:
    """The console script: run the command line and leave with its exit code."""
    with ended_by_signals():
        code = invoke(sys.argv[1:])
    if code in (HungUpRunError.exit_code, InterruptedRunError.exit_code, TerminatedRunError.exit_code):
        # Everything is cleaned up by now. Worker threads may be deep in a tile, and a regular exit would wait
        # for them.
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def invoke(arguments: list[str]) -> int:
    """Run one command and return its exit code; failures are told on stderr, without a traceback.

    With ``GEOPANOPTIC_DEBUG`` set, a bug raises instead. With ``--json`` warnings wait until the end: those before a
    failure are part of its object.
    """
    unread = [
        f"{name} is set, which nothing reads; there is {VARIABLES[0]}."
        for name in os.environ
        if name.startswith("GEOPANOPTIC_") and name not in VARIABLES
    ]
    telling = Telling(as_json=tells_json(cli, arguments), warnings=unread)
    if not telling.as_json:
        _warn(unread)
    try:
        with answering_signals():
            code = cli.main(args=arguments, prog_name="geopanoptic", standalone_mode=False, obj=telling)
    except click.exceptions.Exit as leave:
        code = leave.exit_code
    except click.ClickException as mistake:
        if telling.as_json:
            return _tell(UsageError(mistake.format_message(), remedy="See --help."), telling)
        mistake.show()
        return mistake.exit_code
    except GeopanopticError as refusal:
        return _tell(refusal, telling)
    except Exception as failure:
        if os.environ.get(VARIABLES[0]):
            _warn(telling.warnings)
            raise
        return _tell(_as_refusal(failure), telling)
    _warn(telling.warnings)
    return code if isinstance(code, int) else 0


def _warn(warnings: list[str]) -> None:
    while warnings:
        click.echo(f"warning: {warnings.pop(0)}", err=True)


def _tell(refusal: GeopanopticError, telling: Telling) -> int:
    code = refusal.exit_code
    with suppress(OSError):  # of a terminal that was closed
        if telling.as_json:
            error = {
                "error": refusal.message,
                "remedy": refusal.remedy,
                "exit_code": code,
                "warnings": telling.warnings,
            }
            click.echo(json.dumps(error), err=True)
        else:
            _warn(telling.warnings)
            click.secho("error: ", fg="red", bold=True, nl=False, err=True)
            click.echo(refusal.message, err=True)
            if refusal.remedy:
                click.echo(f"  {refusal.remedy}", err=True)
    return code


def _as_refusal(failure: Exception) -> GeopanopticError:
    """What the machine ran out of or is set up wrongly with, wherever that showed; everything else is a bug."""
    if isinstance(failure, MemoryError):
        return ResourceError("The memory did not suffice.", remedy="Give a smaller --memory or --tile.")
    if isinstance(failure, OSError) and failure.errno in DISK_FULL:
        return OutputError(
            f"The disk is full ({failure.filename or failure.strerror}); an existing output is untouched.",
            remedy="Free some space, or put the intermediate data elsewhere with --work.",
        )
    if isinstance(failure, OSError) and failure.errno == errno.EIO and _terminal_is_gone():
        return HungUpRunError("The terminal was closed before all was said; what was finished stands.")
    if isinstance(failure, ValueError) and str(failure).startswith("A dask config file at"):
        # dask reads its settings where it is imported, whoever does that.
        return UsageError(
            " ".join(str(failure).split()),
            remedy="Correct or remove that file; the variable DASK_CONFIG or ~/.config/dask leads to it.",
        )
    return GeopanopticError(f"{type(failure).__name__}: {failure}", remedy=_report_bug())


def _terminal_is_gone() -> bool:
    try:
        import termios
    except ImportError:  # Windows
        return False
    for stream in (sys.stdout, sys.stderr):
        try:
            termios.tcgetattr(stream.fileno())
        except (OSError, ValueError):  # no file
            continue
        except termios.error as failure:
            if failure.args[0] == errno.EIO:
                return True
    return False


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
