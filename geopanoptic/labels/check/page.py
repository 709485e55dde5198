"""The report as one HTML page: no scripts, nothing fetched, every text from the labels escaped."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

import numpy as np
import shapely

from geopanoptic.labels.check.fix import Fixed
from geopanoptic.labels.check.issue import KINDS, Issue
from geopanoptic.labels.check.pictures import close_up, overview
from geopanoptic.labels.check.report import Report, figure_lines, verdict

_ROWS = 100
"""Issues of a kind that the page lists; all are in the JSON report and the GeoPackage."""
_CLOSE_UPS = 5
_IMAGES = 12

_STYLE = """
:root { --ink: #22262b; --muted: #6b727b; --line: #e4e1d8; --paper: #fffefb; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 66rem; padding: 2.5rem 1.5rem 4rem; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .2rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2.6rem 0 .3rem; display: flex; gap: .6rem; align-items: center; }
p { margin: .2rem 0 .8rem; } .muted { color: var(--muted); }
.verdict { display: inline-block; border-radius: 1rem; padding: .15rem .8rem; color: white; font-weight: 600; }
.clean { background: #2f7d4f; } .warning { background: #b8860b; } .error { background: #b3261e; }
.top { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1.1fr); gap: 2rem; margin-top: 1.4rem; }
.top table { margin-bottom: 1rem; }
.top img { width: 100%; border-radius: 6px; }
@media (max-width: 50rem) { .top { grid-template-columns: 1fr; } }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--muted); font-size: .8rem; }
td, th { padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td { overflow-wrap: anywhere; } .n { text-align: right; white-space: nowrap; }
.dot { flex: none; display: inline-block; width: .75rem; height: .75rem; border-radius: 50%; margin-right: .5rem; }
.close { display: flex; flex-wrap: wrap; gap: .6rem; margin: .5rem 0; } .close img { width: 11.5rem; border-radius: 4px; }
a { color: inherit; }
"""


def write_page(report: Report, path: Path, fixed: Fixed | None = None) -> None:
    """Write the page, with what was repaired where something was."""
    path.write_text(page(report, fixed), encoding="utf-8")


def page(report: Report, fixed: Fixed | None = None) -> str:
    """The page as text."""
    return "\n".join(_parts(report, fixed)) + "\n"


def _parts(report: Report, fixed: Fixed | None) -> Iterator[str]:
    pixels = report.crs_wkt is None
    grounds = _grounds(report)
    title = f"Labels checked: {Path(report.source).name}"
    yield (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
    )
    yield f"<h1>{escape(title)}</h1>"
    yield f'<p class="muted">{report.objects:,} objects, format {escape(report.format)}</p>'
    yield _verdict(report)
    yield '<div class="top"><div>'
    yield _summary(report)
    if len(report.images) == 1:
        yield from (f"<p>{escape(line)}</p>" for line in figure_lines(report.images[0]))
    yield from (f'<p class="muted">{escape(note)}</p>' for note in report.notes)
    yield "</div><div>"
    if len(grounds) == 1:
        (ground,) = grounds.values()
        if len(ground):
            yield _image(overview(ground.geometries, report.issues, pixels=pixels), "Map of all defects")
    if len(report.images) > 1:
        yield _images(report)
    yield "</div></div>"
    for kind in report.by_kind():
        of_kind = [each for each in report.issues if each.kind == kind]
        yield from _section(kind, of_kind)
        shown = [each for each in of_kind if each.geometry is not None][:_CLOSE_UPS]
        around = (grounds[each.image if len(grounds) > 1 else ""] for each in shown)
        pictures = (
            _image(close_up(each, ground, pixels=pixels), each.message)
            for each, ground in zip(shown, around, strict=True)
        )
        yield f'<div class="close">{"".join(pictures)}</div>'
        yield _table(of_kind)
    if fixed is not None:
        yield from _repairs(fixed)
    yield "</body></html>"


def _grounds(report: Report) -> dict[str, shapely.STRtree]:
    """The outlines of one map under no name, or of every image in pixels under its own."""
    whole = np.array(report.outlines, dtype=object)
    if report.crs_wkt is not None or len(report.images) < 2:
        return {"": shapely.STRtree(whole)}
    ends = np.cumsum([each.objects for each in report.images])[:-1]
    parts = zip(report.images, np.split(whole, ends), strict=True)
    return {each.name: shapely.STRtree(part) for each, part in parts}


def _images(report: Report) -> str:
    """What was found on every image, the worst first."""
    found = Counter((each.image, each.severity) for each in report.issues)
    counts = [(each, found[each.name, "error"], found[each.name, "warning"]) for each in report.images]
    rows = [
        f'<tr><td>{escape(each.name)}</td><td class="n">{each.objects:,}</td><td class="n">{errors:,}</td>'
        f'<td class="n">{warnings:,}</td><td class="n">'
        f"{'' if each.unlabelled is None else f'{each.unlabelled:.0%}'}</td></tr>"
        for each, errors, warnings in sorted(counts, key=lambda row: (-row[1], -row[2]))[:_IMAGES]
    ]
    heads = "".join(f'<th class="n">{name}</th>' for name in ("objects", "errors", "warnings", "unlabelled"))
    more = len(report.images) - len(rows)
    told = f'<p class="muted">{more:,} more are in the JSON report.</p>' if more else ""
    return f"<table><tr><th>Image</th>{heads}</tr>{''.join(rows)}</table>{told}"


def _verdict(report: Report) -> str:
    errors, warnings = report.count("error"), report.count("warning")
    state = "error" if errors else "warning" if warnings else "clean"
    told = verdict(report) if report.issues else "no defects found"
    return f'<span class="verdict {state}">{told}</span>'


def _summary(report: Report) -> str:
    rows = [
        f'<tr><td>{_dot(kind)}<a href="#{kind}">{escape(KINDS[kind].title)}</a></td>'
        f'<td class="n">{count["error"]:,}</td><td class="n">{count["warning"]:,}</td></tr>'
        for kind, count in report.by_kind().items()
    ]
    head = '<tr><th>Defect</th><th class="n">errors</th><th class="n">warnings</th></tr>'
    return f"<table>{head}{''.join(rows)}</table>" if rows else ""


def _section(kind: str, issues: Sequence[Issue]) -> Iterator[str]:
    looks = KINDS[kind]
    yield f'<h2 id="{kind}">{_dot(kind)}{escape(looks.title)} <span class="muted">{len(issues):,}</span></h2>'
    yield f'<p class="muted">{escape(looks.remedy)}</p>'


def _table(issues: Sequence[Issue]) -> str:
    rows = [
        f"<tr><td>{escape(each.message)}</td><td>{each.severity}</td><td>{escape(each.image)}</td>"
        f"<td>{_place(each)}</td></tr>"
        for each in issues[:_ROWS]
    ]
    more = (
        f'<p class="muted">{len(issues) - _ROWS:,} more are in the JSON report and the GeoPackage.</p>'
        if len(issues) > _ROWS
        else ""
    )
    head = "<tr><th>What</th><th>Severity</th><th>Image</th><th>Where (x, y)</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>{more}"


def _repairs(fixed: Fixed) -> Iterator[str]:
    yield f'<h2>Repaired <span class="muted">{len(fixed.changes):,} changes</span></h2>'
    yield f'<p class="muted">In {escape(", ".join(str(each) for each in fixed.files))}</p>'
    counts = "".join(
        f'<tr><td>{escape(kind)}</td><td class="n">{count:,}</td></tr>'
        for kind, count in fixed.by_kind().items()
    )
    changes = "".join(
        f"<tr><td>{escape(each.message)}</td><td>{escape(each.image)}</td></tr>"
        for each in fixed.changes[:_ROWS]
    )
    yield f'<table>{counts}</table><table style="margin-top:1rem">{changes}</table>'


def _place(issue: Issue) -> str:
    if issue.geometry is None or issue.geometry.is_empty:
        return ""
    x, y = shapely.get_coordinates(shapely.point_on_surface(issue.geometry))[0]
    return f"{x:.6g}, {y:.7g}"


def _dot(kind: str) -> str:
    return f'<span class="dot" style="background:{KINDS[kind].colour}"></span>'


def _image(png: bytes, what: str) -> str:
    return f'<img alt="{escape(what)}" src="data:image/png;base64,{base64.b64encode(png).decode("ascii")}">'
