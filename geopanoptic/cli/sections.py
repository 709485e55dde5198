"""A command whose help lists its options under headings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from geopanoptic.errors import DEFECTS, EXIT_CODES, PARTS_SKIPPED, LockedError, ModelError, SceneError

_OF_SOME = (SceneError.exit_code, ModelError.exit_code, PARTS_SKIPPED, DEFECTS, LockedError.exit_code)


class SectionedCommand(click.Command):
    """``sections`` maps a heading to parameter names; options it does not name come last."""

    def __init__(self, *args: Any, sections: Mapping[str, Sequence[str]], **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.sections = sections

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, records in self._sections(context):
            with formatter.section(heading):
                formatter.write_dl(records)

    def _sections(self, context: click.Context) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        records = {
            parameter.name: record
            for parameter in self.get_params(context)
            if isinstance(parameter, click.Option)
            and (record := parameter.get_help_record(context)) is not None
        }
        for heading, names in self.sections.items():
            yield heading, [records.pop(name) for name in names]
        yield "Other options", list(records.values())


def exit_code_lines(*own: int) -> str:
    """The exit codes of every command, and of ``_OF_SOME`` this one's ``own``, laid out for an epilog."""
    lines = (
        f"  {code:>3}  {meaning}"
        for code, meaning in EXIT_CODES.items()
        if code in own or code not in _OF_SOME
    )
    return "\b\nExit codes:\n" + "\n".join(lines)
