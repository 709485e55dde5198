"""``geopanoptic pastis``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from geopanoptic.cli.common_options import quiet_option
from geopanoptic.cli.sections import SectionedCommand, exit_code_lines

SECTIONS = {
    "Experiments": ("data", "out", "score_only"),
    "Run": ("minutes", "device", "changes"),
    "Messages": ("quiet",),
}

EPILOG = f"""\b
Examples:
  geopanoptic pastis configs/pastis-fold*.yaml --data PASTIS --out pastis
  geopanoptic pastis configs/pastis-fold1.yaml --data PASTIS --out pastis --set batch=8
  geopanoptic pastis configs/pastis-fold*.yaml --data PASTIS --out paps --set network.outputs=paps
  geopanoptic pastis configs/pastis-fold*.yaml --data PASTIS --out pastis --score-only

\b
Output:
  table.md       SQ, RQ, PQ by fold and protocol, and their means, beside the published figures
  scores.json    the same with the counts of every class
  fold1/ ...     the run of each experiment, with its model in fold1/bundle and its score in fold1/score.json

Folds can be run one by one, or side by side, into one --out: the table is of all whose scores are there.

{exit_code_lines(3, 4, 75)}
"""


@click.command(cls=SectionedCommand, sections=SECTIONS, epilog=EPILOG)
@click.argument("configs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The PASTIS folder, with metadata.geojson.  [default: as the CONFIGS say]",
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="FOLDER", help="Where everything goes."
)
@click.option("--score-only", is_flag=True, help="Train nothing; score the models in --out.")
@click.option("--minutes", type=float, help="Time to train each fold.  [default: the CONFIG's]")
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where to compute.  [default: auto]"
)
@click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change one setting of all CONFIGS."
)
@quiet_option("Print only warnings, errors and the table.")
def pastis(
    configs: tuple[Path, ...],
    data: Path | None,
    out: Path,
    score_only: bool,
    minutes: float | None,
    device: str | None,
    changes: tuple[str, ...],
    quiet: bool,
) -> None:
    """Train and score by the official folds of PASTIS, one CONFIG per fold.

    Every experiment trains on three folds, chooses its weights by the fourth and is scored on the fifth, all
    patches of it, by the protocols pastis and coco. What was interrupted goes on where it was.
    """
    from geopanoptic.pipeline.progress import progress_for
    from geopanoptic.training.config import read_config
    from geopanoptic.training.pastis.experiments import on_folder, run_experiments

    read = [read_config(path, changes, minutes=minutes, device=device) for path in configs]
    if data is not None:
        read = [on_folder(config, data) for config in read]
    progress = progress_for(sys.stderr, quiet=quiet)
    table = run_experiments(read, out, train=not score_only, progress=progress)
    if table.folds:  # none in one of several processes that is not the first
        click.echo(str(table))
