"""``geopanoptic bench``."""

from __future__ import annotations

import json
import shlex
import tempfile
from pathlib import Path

import click
from click.core import ParameterSource

from geopanoptic.cli.common_options import (
    STANDARD_OUTPUT,
    json_option,
    progress_of_command,
    put_json,
    quiet_option,
    require_writable,
)
from geopanoptic.cli.sections import SectionedCommand, exit_code_lines

SECTIONS = {
    "Scenes": ("size_px", "areas"),
    "Runs": ("repeats", "model", "run_options", "work"),
    "Output": ("json_path", "quiet"),
}

EPILOG = f"""\b
Examples:
  geopanoptic bench
  geopanoptic bench --size 4096 --areas 1 --repeats 3
  geopanoptic bench scene.tif --run-options "--memory 4GB --threads 2" --json figures.json

\b
Figures:
  share of it         rate of the run over that of the network alone on the same tiles, as many side by
                      side; below it, the same with only the scene's pixels counted for the run, and
                      in processor time, which other work on the machine hardly changes
  after the network   share of the time for grouping, tracing and writing
  peak memory         of the run and all its child processes, largest of the runs

{exit_code_lines(3, 4, 75)}
"""


@click.command(cls=SectionedCommand, sections=SECTIONS, epilog=EPILOG)
@click.argument("scene", nargs=-1)
@click.option(
    "--size",
    "size_px",
    type=click.IntRange(64, 100_000),
    metavar="PIXELS",
    help="Side of the smallest generated scene (four bands of 10 m).  [default: 2048]",
)
@click.option(
    "--areas", metavar="LIST", help="Areas of the generated scenes over the smallest.  [default: 1,4,16]"
)
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True, help="Runs of each scene.")
@click.option("--model", metavar="MODEL", help="Name of a bundled model, or the folder of another.")
@click.option(
    "--run-options",
    default="",
    metavar="TEXT",
    help="Options of `geopanoptic run` for every run, in quotes; not those of outputs, resuming and sharing.",
)
@click.option(
    "--work",
    type=click.Path(path_type=Path, file_okay=False, writable=True),
    metavar="FOLDER",
    help="Where scenes and outputs lie meanwhile.  [default: the folder for temporary files]",
)
@json_option("All figures")
@quiet_option("Print only the table.")
def bench(
    scene: tuple[str, ...],
    size_px: int | None,
    areas: str | None,
    repeats: int,
    model: str | None,
    run_options: str,
    work: Path | None,
    json_path: Path | None,
    quiet: bool,
) -> None:
    """Measure runs: seconds by stage, rates, memory, and the bare network beside them.

    Without SCENE, generated scenes of growing area are mapped. Every run is a process of its own; scenes take
    turns, and after each run the network alone is given the same tiles.
    """
    from rich.console import Console

    from geopanoptic.benchmark.benchmark import measure
    from geopanoptic.benchmark.subjects import generated_subjects, real_subject
    from geopanoptic.benchmark.tables import heading, table_of
    from geopanoptic.errors import UsageError
    from geopanoptic.products.writing import writing

    options = _options_of_runs(run_options)
    if scene and (size_px is not None or areas is not None):
        raise UsageError(
            "--size and --areas are about generated scenes, and a scene is given.", remedy="Leave them out."
        )
    if json_path is not None:
        require_writable(json_path)
    if work is not None:
        with writing(work):
            work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="geopanoptic-bench-", dir=work) as name:
        folder = Path(name)
        measured = measure(
            [real_subject(scene)]
            if scene
            else generated_subjects(folder, size_px or 2048, areas or "1,4,16"),
            folder=folder,
            repeats=repeats,
            model=model,
            options=options,
            progress=progress_of_command(quiet=quiet, as_json=json_path == STANDARD_OUTPUT),
        )
    figures = {"heading": heading(measured), "scenes": [each.to_dict() for each in measured]}
    if json_path is not None:
        put_json(json.dumps(figures, indent=2), json_path)
        if json_path == STANDARD_OUTPUT:
            return
    console = Console(highlight=False)
    console.print(heading(measured), style="cyan", soft_wrap=True)
    console.print(table_of(measured))


def _options_of_runs(text: str) -> list[str]:
    """``--run-options`` as words. Raises UsageError for those that no measured run may have."""
    from geopanoptic.benchmark.benchmark import WHOLE_RUNS_ONLY
    from geopanoptic.cli.run import run
    from geopanoptic.errors import UsageError

    try:
        words = shlex.split(text)
    except ValueError as failure:
        raise UsageError(
            f"--run-options is {text!r}: {failure}.", remedy="Close every quotation, or leave its marks out."
        ) from None
    context = run.make_context("run", ["SCENE", *words])
    refused = [
        parameter.opts[0]
        for parameter in run.params
        if parameter.name in WHOLE_RUNS_ONLY
        and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    ]
    refused += context.params["scene"][1:]
    if refused:
        raise UsageError(
            f"--run-options has {' and '.join(refused)}: every run is a whole one, of the scene and model that bench is "
            "given, into a folder of its own.",
            remedy="Leave it out, or give SCENE and --model to bench itself.",
        )
    return words
