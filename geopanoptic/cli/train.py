"""``geopanoptic train``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from geopanoptic.cli.common_options import progress_of_command, quiet_option
from geopanoptic.cli.sections import SectionedCommand, exit_code_lines

SECTIONS = {
    "Your own labels": ("base", "data", "layer", "scene", "labels", "bands", "dates", "assume_crs"),
    "Run": ("out", "minutes", "name", "seed", "device", "changes", "overwrite"),
    "Messages": ("as_json", "quiet"),
}

_NOT_WITH_CONFIG = {
    name: f"--{name.replace('_', '-')}"
    for name in ("data", "scene", "layer", "labels", "bands", "dates", "assume_crs", "overwrite")
}

EPILOG = f"""\b
Examples:
  geopanoptic train --from default --data my_fields.gpkg --scene my_scene.tif --out my-bundle
  geopanoptic train --data a.gpkg --scene a.tif --data b.gpkg --scene b/ --labels full --out my-bundle
  geopanoptic run my_scene.tif --model my-bundle --out parcels.gpkg
  geopanoptic train configs/quick.yaml --out quick
  geopanoptic train configs/quick.yaml --set losses.centre=3 --set data.0.share=0.5 --out other
  torchrun --nproc-per-node 4 -m geopanoptic train configs/quick.yaml --out quick

\b
Your own labels:
  Any vector file of polygons, one per field, in any CRS; at least 10 fields, better 50. Three trainings, each
  without the fields in a third of the ground, show what new ground gains. Where they gain by more than
  twice the gain's standard error (by chance alone: in about one case of forty) a fourth learns all of them, else
  the old weights stay. The last lines say which, and why. Nothing else needs to be drawn: on unlabelled ground
  the old model's outputs are kept.

A run from a CONFIG that was interrupted goes on with the same command.

{exit_code_lines(3, 4, 75)}
"""


@click.command(cls=SectionedCommand, sections=SECTIONS, epilog=EPILOG)
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option(
    "--from",
    "base",
    metavar="MODEL",
    help="Start from this model: default (with --data, the one that maps such a scene by default), a bundled one's name, "
    "a bundle's folder, or a checkpoint (with CONFIG).",
)
@click.option(
    "--data",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Vector file of your fields. Repeat it, with its --scene, for several scenes.",
)
@click.option(
    "--layer",
    metavar="NAME",
    help="Layer of each --data with several.  [default: parcels, or the first of polygons]",
)
@click.option(
    "--scene",
    multiple=True,
    metavar="SCENE",
    help="The scene they were drawn on: a file, a folder, or files joined by commas.",
)
@click.option(
    "--labels",
    default="sparse",
    show_default=True,
    type=click.Choice(["sparse", "full"]),
    help="sparse: only some fields are drawn. full: all fields within the labels' bounding box are.",
)
@click.option("--bands", metavar="LIST", help="The bands in the files' order, as for `run`.")
@click.option(
    "--dates",
    metavar="LIST",
    help="The dates to learn from, where the scene has several; a model of single images needs one.",
)
@click.option("--assume-crs", metavar="EPSG:N", help="CRS of a scene that states none.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where the bundle goes; with CONFIG, the folder of the run, which holds the bundle.",
)
@click.option(
    "--minutes",
    type=float,
    help="Time to train.  [default: 80 steps each, some minutes, with your own labels, else the CONFIG's]",
)
@click.option("--name", metavar="NAME", help="Name of the new model.  [default: that of --out]")
@click.option(
    "--seed", type=int, metavar="N", help="Same seed and steps, same run.  [default: 0, or the CONFIG's]"
)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where to compute.  [default: auto]"
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one setting: --set batch=4 --set losses.centre=3. Repeat as needed.",
)
@click.option(
    "--overwrite",
    is_flag=True,
    help="Replace an existing bundle, once the new one is complete. Without CONFIG.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures or the error as JSON.")
@quiet_option("Print only warnings, errors and the result.")
def train(
    config: Path | None,
    out: Path | None,
    data: tuple[Path, ...],
    scene: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Train a model from CONFIG, or improve an existing one with your own labelled fields.

    With --data and --scene the model of --from learns your fields in minutes and becomes a new bundle, which
    `geopanoptic run --model` takes. With CONFIG (YAML, see configs/) a network is trained on the data sets that
    it names.
    """
    from geopanoptic.errors import UsageError

    if out is None:
        raise UsageError("--out is missing.", remedy="Name the folder for the result: --out my-bundle.")
    progress = progress_of_command(quiet=quiet, as_json=as_json)
    if config is not None:
        given = [name for name in _NOT_WITH_CONFIG if _is_given(name)]
        if given:
            raise UsageError(
                f"Both a CONFIG and {', '.join(_NOT_WITH_CONFIG[name] for name in given)} are given.",
                remedy="Leave one out; in a CONFIG, own labels are data of kind vectors, with keys of their own for these, "
                "and a run goes on in its --out.",
            )
        report = _from_config(config, out, progress, options)
    else:
        report = _from_labels(data, scene, out, progress, options)
    if not report:  # one of several processes, not the first
        return
    if as_json:
        click.echo(json.dumps(report, indent=2))
        return
    kept = report.get("kept_weights")
    for name, figure in report.get("after", {}).items():
        click.echo(f"{name:<20}{report['before'][name]:.3f}" + ("" if kept else f" -> {figure:.3f}"))
    if "held_out_fields" in report:
        click.echo(
            f"on {report['held_out_fields']} fields, none of them shown to the weights that mapped it,"
        )
        click.echo(report["mapping"])
    if "decision" in report:
        click.echo(report["decision"])
    if kept:
        click.echo(f"Model {report['name']} in {report['bundle']} maps as before.")
        return
    click.echo(f"Model {report['name']} is in {report['bundle']}. Next:")
    click.echo(f"  geopanoptic run SCENE --model {report['bundle']} --out parcels.gpkg")


def _is_given(name: str) -> bool:
    return click.get_current_context().get_parameter_source(name) is not ParameterSource.DEFAULT


def _from_labels(
    data: tuple[Path, ...], scene: tuple[str, ...], out: Path, progress: Any, options: dict[str, Any]
) -> dict[str, Any]:
    from geopanoptic.errors import UsageError
    from geopanoptic.scene.files.sources import named_sources
    from geopanoptic.training.finetuning import LabelledPair, fine_tune
    from geopanoptic.training.held_out import HOW_MAPPED

    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise UsageError(
            "Own labels are learned in one process, not under torchrun.",
            remedy="Run geopanoptic train itself; it takes minutes.",
        )
    if not data or len(data) != len(scene):
        raise UsageError(
            f"{len(data)} --data and {len(scene)} --scene are given, and no CONFIG.",
            remedy="Give a vector file and its scene: --data my_fields.gpkg --scene my_scene.tif.",
        )
    given = {
        key: options[key]
        for key in ("minutes", "name", "seed", "bands", "dates", "assume_crs", "layer", "device")
        if options[key] is not None
    }
    base = options["base"]
    tuned = fine_tune(
        [LabelledPair(scene=named_sources(s), labels=d) for s, d in zip(scene, data, strict=True)],
        out,
        base=None if base == "default" else base,
        known=options["labels"],
        changes=options["changes"],
        overwrite=options["overwrite"],
        progress=progress,
        **given,
    )
    report: dict[str, Any] = {
        "name": tuned.bundle.name,
        "bundle": str(out),
        "decision": tuned.decision,
        "kept_weights": tuned.after is not None and tuned.after is tuned.before,
    }
    if tuned.before is not None and tuned.after is not None:
        report |= {"before": tuned.before.to_metrics(), "after": tuned.after.to_metrics()}
        report |= {"held_out_fields": tuned.after.fields, "mapping": HOW_MAPPED}
    return report


def _from_config(config: Path, out: Path, progress: Any, options: dict[str, Any]) -> dict[str, Any]:
    from geopanoptic.training.config import read_config
    from geopanoptic.training.recipe import train_bundle

    given = {key: options[key] for key in ("minutes", "name", "seed", "device")}
    read = read_config(config, options["changes"], **given, **{"from": options["base"]})
    bundle = train_bundle(read, out, progress=progress)
    return {"name": bundle.name, "bundle": str(out / "bundle")} if bundle is not None else {}
