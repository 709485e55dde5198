"""``geopanoptic doctor``."""

from __future__ import annotations

import json

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Check the installation and the machine; leaves with 7 where something is wrong."""
    from geopanoptic.pipeline.diagnosis import diagnose

    findings = diagnose()
    if as_json:
        report = {
            "good": all(finding.good for finding in findings),
            "findings": [f.to_dict() for f in findings],
        }
        click.echo(json.dumps(report, indent=2))
    else:
        width = max(len(finding.subject) for finding in findings)
        for finding in findings:
            mark = click.style("ok  ", fg="green") if finding.good else click.style("bad ", fg="red")
            click.echo(f"{mark} {finding.subject:<{width}}  {finding.text}")
    if not all(finding.good for finding in findings):
        context.exit(7)
