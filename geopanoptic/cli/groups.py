"""Groups of commands."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from geopanoptic.wording import did_you_mean


class Group(click.Group):
    """Says which command a misspelt one stands for."""

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        names = self.list_commands(context)
        if args[0] not in names and not context.resilient_parsing:  # as when a shell completes what follows
            hint = did_you_mean(args[0], names, f"There is {', '.join(names)}.")
            raise click.UsageError(f"No such command '{args[0]}'. {hint}", context)
        return super().resolve_command(context, args)


class LazyGroup(Group):
    """Imports a command when it is used, so that help and completion are quick.

    ``texts`` maps the commands to what the help says of them; the command ``name`` lies in the module ``home + name``.
    """

    def __init__(self, *args: Any, texts: Mapping[str, str], home: str, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.texts = texts
        self.home = home

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.texts)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in self.texts:
            return None
        command = getattr(import_module(self.home + name), name)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self.texts.items()))
