"""The files of a report: JSON, a page, a layer; each whole or untouched."""

from __future__ import annotations

import json
from pathlib import Path

from geopanoptic.errors import OutputError, UsageError
from geopanoptic.labels.check.fix import Fixed
from geopanoptic.labels.check.layer import write_issues
from geopanoptic.labels.check.page import write_page
from geopanoptic.labels.check.report import Report
from geopanoptic.labels.output import staged_output


def refuse_reports(source: Path, *reports: Path | None, overwrite: bool) -> None:
    """Say at once what cannot be written, rather than after a check of minutes.

    Raises ``UsageError`` where a report would replace the labels ``source`` or another report, ``OutputError`` where
    something else is there and ``overwrite`` is not set.
    """
    taken = {source.resolve()}
    for path in reports:
        if path is None:
            continue
        if path.resolve() in taken:
            raise UsageError(
                f"{path} is the labels themselves or another report.",
                remedy="Name another file for the report.",
            )
        taken.add(path.resolve())
        if path.exists() and not overwrite:
            raise OutputError(
                f"{path} exists.", remedy="Name another output, or give --overwrite (overwrite=True)."
            )


def as_json(report: Report, fixed: Fixed | None = None) -> str:
    """The report, and what was repaired, as JSON text."""
    content = report.to_dict() | ({} if fixed is None else {"fixed": fixed.to_dict()})
    return json.dumps(content, indent=1, ensure_ascii=False)


def write_reports(
    report: Report,
    fixed: Fixed | None = None,
    *,
    json_file: Path | None = None,
    html_file: Path | None = None,
    issues_file: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Write the reports that are asked for; raises as :func:`refuse_reports`, and where the disk refuses."""
    refuse_reports(Path(report.source), json_file, html_file, issues_file, overwrite=overwrite)
    if json_file is not None:
        with staged_output(json_file, overwrite=overwrite) as staged:
            staged.write_text(as_json(report, fixed) + "\n", encoding="utf-8")
    if html_file is not None:
        with staged_output(html_file, overwrite=overwrite) as staged:
            write_page(report, staged, fixed)
    if issues_file is not None:
        with staged_output(issues_file, overwrite=overwrite) as staged:
            write_issues(report, staged)
