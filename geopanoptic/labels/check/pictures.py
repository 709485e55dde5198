"""Pictures of a report: a map of all defects, and a close-up of one. PNG, drawn with matplotlib, no window."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray

from geopanoptic.labels.check.issue import KINDS, Issue
from geopanoptic.products.page import MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GROUND = "#f7f6f2"
_MOST_OUTLINES = 20_000
"""More outlines than that are no lines on a page but a grey."""


def overview(
    outlines: NDArray[np.object_], issues: Sequence[Issue], *, pixels: bool, side_in: float = 7.5
) -> bytes:
    """All outlines in grey and a dot in its kind's colour for every issue that has a place."""
    figure, panel = _panel(side_in)
    shown = outlines[shapely.area(outlines) > 0]
    shown = shown[:: max(1, -(-len(shown) // _MOST_OUTLINES))]
    _draw_lines(panel, shown, colour="#b9b6ab", width=0.3)
    for kind, looks in KINDS.items():
        places = [each.geometry for each in issues if each.kind == kind and each.geometry is not None]
        if places:
            xy = shapely.get_coordinates(shapely.point_on_surface(np.array(places, dtype=object)))
            panel.scatter(
                xy[:, 0], xy[:, 1], s=14, color=looks.colour, edgecolors="white", linewidths=0.4, zorder=3
            )
    _fit(panel, _bounds([*shown[:1], *shown] if len(shown) else [each.geometry for each in issues]), pixels)
    return _png(figure)


def close_up(issue: Issue, ground: shapely.STRtree, *, pixels: bool, side_in: float = 1.9) -> bytes:
    """One issue in its kind's colour among the outlines of ``ground`` around it."""
    figure, panel = _panel(side_in)
    left, low, right, high = issue.geometry.bounds if issue.geometry is not None else (0, 0, 1, 1)
    outlines = ground.geometries
    some = outlines[:: max(1, len(outlines) // _MOST_OUTLINES)]
    typical = float(np.sqrt(np.median(shapely.area(some)))) if len(some) else 1.0
    half = max(right - left, high - low, 0.5 * typical)
    x, y = (left + right) / 2, (low + high) / 2
    window = (x - half, y - half, x + half, y + half)
    near = outlines[np.sort(ground.query(shapely.box(*window)))]
    _draw_lines(panel, near, colour=MUTED, width=0.8)
    _draw_area(panel, issue.geometry, KINDS[issue.kind].colour)
    _fit(panel, window, pixels)
    return _png(figure)


def _panel(side_in: float) -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(side_in, side_in), dpi=110)
    FigureCanvasAgg(figure)
    panel = figure.add_axes((0.01, 0.01, 0.98, 0.98))
    panel.set_facecolor(_GROUND)
    panel.set_xticks([])
    panel.set_yticks([])
    for side in panel.spines.values():
        side.set(color="#d5d2c8", linewidth=0.6)
    return figure, panel


def _draw_lines(panel: Axes, shapes: NDArray[np.object_], *, colour: str, width: float) -> None:
    from matplotlib.collections import LineCollection

    xy, of_ring = shapely.get_coordinates(shapely.get_rings(shapely.get_parts(shapes)), return_index=True)
    rings = np.split(xy, np.flatnonzero(np.diff(of_ring)) + 1)
    panel.add_collection(LineCollection(rings, colors=colour, linewidths=width), autolim=False)


def _draw_area(panel: Axes, shape: shapely.Geometry | None, colour: str) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    for part in shapely.get_parts(shapely.get_parts(shape)):
        if part.geom_type == "Polygon" and not part.is_empty:
            rings = [shapely.get_coordinates(ring) for ring in shapely.get_rings(part)]
            path = Path.make_compound_path(*(Path(ring, closed=True) for ring in rings))
            panel.add_patch(
                PathPatch(path, facecolor=colour, alpha=0.45, edgecolor=colour, linewidth=1.4, zorder=3)
            )
        else:
            panel.plot(*shapely.get_coordinates(part).T, "o-", color=colour, markersize=6, linewidth=1.5)


def _bounds(shapes: Sequence[shapely.Geometry | None]) -> tuple[float, float, float, float]:
    found = shapely.total_bounds(np.array(shapes, dtype=object))
    return tuple(found.tolist()) if np.isfinite(found).all() else (0.0, 0.0, 1.0, 1.0)  # type: ignore[return-value]


def _fit(panel: Axes, window: tuple[float, float, float, float], pixels: bool) -> None:
    left, low, right, high = window
    margin = 0.01 * max(right - left, high - low, 1e-9)
    panel.set_xlim(left - margin, right + margin)
    # Rows of an image count downwards.
    panel.set_ylim(*((high + margin, low - margin) if pixels else (low - margin, high + margin)))
    panel.set_aspect("equal", adjustable="box")


def _png(figure: Figure) -> bytes:
    written = io.BytesIO()
    # Without the version and time that matplotlib would note, the same report is the same page.
    figure.savefig(written, format="png", facecolor="white", metadata={"Software": None})
    return written.getvalue()
