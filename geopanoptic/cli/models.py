"""``geopanoptic models list|show``."""

from __future__ import annotations

import json

import click


@click.group()
def models() -> None:
    """List and describe the models."""


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_models(as_json: bool) -> None:
    """The models that come with the installation."""
    from geopanoptic.models.bundle import list_bundles, load_bundle

    bundles = [load_bundle(name) for name in list_bundles()]
    if as_json:
        click.echo(json.dumps([{"name": each.name, "bands": list(each.bands)} for each in bundles], indent=2))
        return
    for bundle in bundles:
        things = ", ".join(each.name for each in bundle.classes if each.kind == "thing")
        stuff = ", ".join(each.name for each in bundle.classes if each.kind == "stuff")
        click.echo(
            f"{bundle.name}\n  things: {things}\n  stuff:  {stuff}\n  bands:  {', '.join(bundle.bands)}"
        )


@models.command("show")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_model(name: str | None, as_json: bool) -> None:
    """The card of model NAME (a bundled name or a bundle folder): training data, accuracy, failures."""
    from geopanoptic.models.bundle import load_bundle

    bundle = load_bundle(name)
    if as_json:
        click.echo((bundle.path / "bundle.json").read_text(encoding="utf-8"))
    else:
        click.echo((bundle.path / "card.md").read_text(encoding="utf-8"))
