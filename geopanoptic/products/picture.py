"""One PNG that shows a map at a glance: image, parcels over the image, and the whole map side by side.

Drawn in the image's own pixels, turned so that north is up wherever a flip can do it; the arrow shows the
true north of a rotated grid. Pixels are as tall on paper as on the ground, so a scene in degrees looks
right. Needs matplotlib, which is imported only here and only when something is drawn.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas
import numpy as np
import shapely
from numpy.typing import NDArray

from geopanoptic.grid import Grid
from geopanoptic.products.classes import MapClass, of_kind
from geopanoptic.products.page import (
    FOOT_IN,
    GAP_IN,
    INK,
    MARGIN_IN,
    Frame,
    draw_foot,
    draw_heading,
    draw_legend,
    draw_north_arrow,
    draw_scale_bar,
    lighter,
    shades,
)
from geopanoptic.products.writing import writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure

_NODATA = "#eceae4"
_DPI = 200


def draw_map(
    path: Path,
    image_rgb: NDArray[np.generic],
    parcels: geopandas.GeoDataFrame,
    landcover: geopandas.GeoDataFrame,
    classes: Sequence[MapClass],
    *,
    grid: Grid,
    title: str,
    attribution: str = "",
) -> None:
    """Writes the picture to ``path``.

    ``image_rgb`` is (rows, cols, 3), uint8, or float from 0 to 1 with NaN where there is no data; ``grid``
    is its grid, and may be coarser than the scene's or a part of it: layers, in the same CRS, are cut to
    it. Counts and the median are those of the polygons shown, areas and shares those of the ground shown.
    ``attribution`` stands small at the foot: whose data, which model, when. Raises OutputError where the
    file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    frame = Frame.of(grid)
    figure = Figure(figsize=frame.figure_in, dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    panels = [_panel(figure, frame, index) for index in range(3)]
    shown_parcels, shown_landcover = within(parcels, grid), within(landcover, grid)

    for panel in panels[:2]:
        panel.imshow(_rgba(image_rgb), extent=frame.extent, interpolation="none", zorder=0)
    _draw_outlines(panels[1], shown_parcels, classes, frame)
    _draw_cover(panels[2], shown_landcover, classes, frame)
    _draw_fields(panels[2], shown_parcels, classes, frame)
    for panel in panels:
        frame.fix(panel)
    for panel, heading in zip(panels, ("Image", "Parcels", "Map"), strict=True):
        panel.set_title(heading, loc="left", fontsize=10, color=INK, pad=5, parse_math=False)

    draw_scale_bar(panels[0], frame)
    draw_north_arrow(panels[2], grid, frame)
    draw_heading(figure, frame, title, shown_parcels)
    draw_legend(figure, frame, shown_parcels, shown_landcover, classes)
    draw_foot(figure, frame, attribution, grid)
    with writing(path), warnings.catch_warnings():
        # A title in a script that the built-in font lacks is drawn with boxes; that is no reason to fail.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(path, format="png", dpi=_DPI, metadata={"Software": None})


def _panel(figure: Figure, frame: Frame, index: int) -> Axes:
    page_width, page_height = frame.figure_in
    width, height = frame.panel_in
    left = MARGIN_IN + index * (width + GAP_IN)
    panel = figure.add_axes(
        (left / page_width, FOOT_IN / page_height, width / page_width, height / page_height)
    )
    panel.set_facecolor(_NODATA)
    panel.set_xticks([])
    panel.set_yticks([])
    for spine in panel.spines.values():
        spine.set_color(INK)
        spine.set_linewidth(0.6)
    return panel


def _rgba(image: NDArray[np.generic]) -> NDArray[np.generic]:
    if image.dtype == np.uint8:
        return image
    valid = np.isfinite(image).all(axis=2, keepdims=True)
    colours = np.clip(np.nan_to_num(image.astype(np.float32)), 0, 1)
    return np.concatenate([colours, valid.astype(np.float32)], axis=2)


def within(layer: geopandas.GeoDataFrame, grid: Grid) -> geopandas.GeoDataFrame:
    """The polygons that reach into a grid, whole, and ``shown_m2``: how much of each lies in it."""
    corners = [(0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height)]
    page = shapely.Polygon([grid.transform @ corner for corner in corners])
    shown = layer[shapely.intersects(layer.geometry.to_numpy(), page)]
    outlines = shown.geometry.to_numpy()
    share = shapely.area(shapely.intersection(outlines, page)) / shapely.area(outlines)
    return shown.assign(shown_m2=shown["area_m2"] * share)


def _paths(layer: geopandas.GeoDataFrame, frame: Frame, **style: Any) -> PathCollection:
    from matplotlib.collections import PathCollection
    from matplotlib.path import Path as Outline

    polygons = shapely.get_parts(layer.geometry.to_numpy())
    if not len(polygons):
        return PathCollection([])
    _, xy, (ring_start, polygon_start) = shapely.to_ragged_array(polygons)
    turn = frame.to_pixels
    colrow = xy @ np.array([[turn.a, turn.d], [turn.b, turn.e]]) + [turn.c, turn.f]
    codes = np.full(len(xy), Outline.LINETO, dtype=np.uint8)
    codes[ring_start[:-1]] = Outline.MOVETO
    codes[ring_start[1:] - 1] = Outline.CLOSEPOLY
    first = ring_start[polygon_start]
    outlines = [Outline(colrow[start:stop], codes[start:stop]) for start, stop in pairwise(first)]
    return PathCollection(outlines, **style)


def _line_width(layer: geopandas.GeoDataFrame, frame: Frame) -> float:
    """Thin enough that the lines of small parcels do not run together."""
    if layer.empty:
        return 0.5
    square_px = abs(frame.to_pixels.determinant)
    side_pt = math.sqrt(np.median(shapely.area(layer.geometry.to_numpy())) * square_px) * frame.points_per_px
    return float(np.clip(side_pt / 9, 0.3, 0.9))


def _draw_outlines(
    panel: Axes, parcels: geopandas.GeoDataFrame, classes: Sequence[MapClass], frame: Frame
) -> None:
    width = _line_width(parcels, frame)
    panel.add_collection(
        _paths(
            parcels,
            frame,
            facecolors="none",
            edgecolors=(0.08, 0.09, 0.1, 0.5),
            linewidths=1.8 * width,
            joinstyle="round",
        )
    )
    colour = {each.id: each.colour for each in of_kind(classes, "thing")}
    edges = [lighter(colour[each], 0.2) for each in parcels["class_id"]]
    panel.add_collection(
        _paths(parcels, frame, facecolors="none", edgecolors=edges, linewidths=width, joinstyle="round")
    )


def _draw_cover(
    panel: Axes, landcover: geopandas.GeoDataFrame, classes: Sequence[MapClass], frame: Frame
) -> None:
    for each in of_kind(classes, "stuff"):
        chosen = landcover[landcover["class_id"] == each.id]
        # The hairline in the fill's own colour closes the seams that antialiasing leaves.
        panel.add_collection(
            _paths(chosen, frame, facecolors=each.colour, edgecolors=each.colour, linewidths=0.25)
        )


def _draw_fields(
    panel: Axes, parcels: geopandas.GeoDataFrame, classes: Sequence[MapClass], frame: Frame
) -> None:
    """Parcels in shades of their class colour, so that neighbours tell apart."""
    colour = {each.id: each.colour for each in of_kind(classes, "thing")}
    share = parcels["parcel_id"].to_numpy() * 0.6180339887 % 1.0
    faces = [
        shades(colour[class_id], each)[0]
        for class_id, each in zip(parcels["class_id"], share[:, None], strict=True)
    ]
    panel.add_collection(
        _paths(
            parcels,
            frame,
            facecolors=faces,
            edgecolors="#5b4a12",
            linewidths=0.4 * _line_width(parcels, frame),
            joinstyle="round",
        )
    )
