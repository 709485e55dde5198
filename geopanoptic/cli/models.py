"""``geopanoptic models list|show|export``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from geopanoptic.cli.groups import Group


@click.group(cls=Group)
def models() -> None:
    """List, describe and export the models."""


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_models(as_json: bool) -> None:
    """The models that come with the installation."""
    from geopanoptic.models.bundle import list_bundles, load_bundle
    from geopanoptic.pipeline.planning.suitability import DEFAULT_FOR

    bundles = [load_bundle(name) for name in list_bundles()]
    if as_json:
        click.echo(json.dumps([bundle.manifest.model_dump(mode="json") for bundle in bundles], indent=2))
        return
    for bundle in bundles:
        things = ", ".join(each.name for each in bundle.classes if each.kind == "thing")
        stuff = ", ".join(each.name for each in bundle.classes if each.kind == "stuff")
        low_m, high_m = bundle.pixel_size_m
        click.secho(bundle.name, bold=True, nl=False)
        click.echo(f" (default for {DEFAULT_FOR[bundle.name]})" if bundle.name in DEFAULT_FOR else "")
        click.echo(f"  things  {things}\n  stuff   {stuff}\n  bands   {', '.join(bundle.bands)}")
        click.echo(f"  pixels  {low_m:g} to {high_m:g} m, output {bundle.output_scale} times finer")
        if (temporal := bundle.manifest.network.temporal) is not None:
            click.echo(
                f"  dates   any number, weighed by {temporal.heads} heads; days as {temporal.harmonics} harmonics"
            )
        if bundle.views > 1:
            click.echo(f"  views   mean of {bundle.views}, mirrored or turned")
        if bundle.manifest.two_scales:
            click.echo("  looks   at every view twice, at two pixel sizes")
        times = bundle.views * (3 if bundle.manifest.two_scales else 1)
        if times > 1:
            click.echo(f"  time    about {times} times that of one look")


@models.command("show", short_help="The card of a model.")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_model(name: str | None, as_json: bool) -> None:
    """The card of model NAME (a bundled name or a bundle folder): training data, accuracy, failures."""
    from geopanoptic.models.bundle import load_bundle

    bundle = load_bundle(name)
    if as_json:
        click.echo(bundle.manifest.model_dump_json(indent=2))
    else:
        click.echo(bundle.card or f"{bundle.name} comes without a card.")


@models.command("export", short_help="Write the network of a model for other programs.")
@click.argument("name")
@click.option(
    "--to",
    "to",
    type=click.Choice(["onnx", "openvino", "torch-export"]),
    required=True,
    help="File format: .onnx, .xml with .bin, or .pt2.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="FILE", help="File to write.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
def export_model(name: str, to: str, out: Path, overwrite: bool) -> None:
    """Write the network of model NAME (a bundled name or a bundle folder) for other programs.

    Input: the model's bands as --json of "models show" lists them, zero where absent or invalid, then one
    availability flag per band. Output: probabilities of the classes, then centre, boundary and distance, the mean of
    all views of the model. Height and width: multiples of stride_px, for torch-export twice that at least.
    A network of series takes all dates of a place at once and their encoded days; the file's metadata say how.
    """
    from geopanoptic.models.bundle import load_bundle
    from geopanoptic.models.export import export_bundle

    for written in export_bundle(load_bundle(name), to, out, overwrite=overwrite):  # type: ignore[arg-type]
        click.echo(f"{written}  {written.stat().st_size / 2**20:.1f} MB")
