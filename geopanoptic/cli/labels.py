"""``geopanoptic labels``: a group of commands, one module each."""

from __future__ import annotations

from importlib import import_module

import click

from geopanoptic.cli.sections import exit_code_lines

COMMANDS = {
    "convert": "From any label format to any other.",
}


class _Labels(click.Group):
    """Imports a command when it is used."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command = getattr(import_module(f"geopanoptic.cli.labels_{name}"), name)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Labels, epilog=exit_code_lines())
def labels() -> None:
    """Labels in, labels out, labels checked."""
