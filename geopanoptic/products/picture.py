"""One PNG that shows a map at a glance: image, parcels over the image, and the whole map side by side.

Drawn in the image's own pixels, turned so that north is up wherever a flip can do it; the arrow shows the
true north of a rotated grid. Pixels are as tall on paper as on the ground, so a scene in degrees looks
right. Needs matplotlib, which is imported only here and only when something is drawn.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas
import numpy as np
import pyproj
import shapely
from affine import Affine
from numpy.typing import NDArray

from geopanoptic.grid import Grid
from geopanoptic.products.classes import MapClass, of_kind, rgb
from geopanoptic.products.writing import writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure

_PANEL_IN = 4.7
_MARGIN_IN = 0.3
_GAP_IN = 0.18
_HEAD_IN = 0.95
_FOOT_IN = 0.92
_INK = "#22262b"
_MUTED = "#6b727b"
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
    it, and the counts and shares on the page are those of the polygons shown.
    ``attribution`` stands small at the foot: whose data, which model, when. Raises OutputError where the
    file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    frame = _Frame.of(grid)
    figure = Figure(figsize=frame.figure_in, dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    panels = [_panel(figure, frame, index) for index in range(3)]
    shown_parcels, shown_landcover = _within(parcels, grid), _within(landcover, grid)

    for panel in panels[:2]:
        panel.imshow(_rgba(image_rgb), extent=frame.extent, interpolation="none", zorder=0)
    _draw_outlines(panels[1], shown_parcels, classes, frame)
    _draw_cover(panels[2], shown_landcover, classes, frame)
    _draw_fields(panels[2], shown_parcels, classes, frame)
    for panel in panels:
        frame.fix(panel)
    for panel, heading in zip(panels, ("Image", "Parcels", "Map"), strict=True):
        panel.set_title(heading, loc="left", fontsize=10, color=_INK, pad=5)

    _scale_bar(panels[0], frame)
    _north_arrow(panels[2], grid, frame)
    _heading(figure, frame, title, shown_parcels)
    _legend(figure, frame, shown_parcels, shown_landcover, classes)
    _foot(figure, frame, attribution, grid)
    with writing(path), warnings.catch_warnings():
        # A title in a script that the built-in font lacks is drawn with boxes; that is no reason to fail.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(path, format="png", dpi=_DPI, metadata={"Software": None})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """Where the panels stand on the page, and how the image's pixels map into them."""

    width_px: int
    height_px: int
    pixel_width_m: float
    pixel_height_m: float
    flip_x: bool
    flip_y: bool
    to_pixels: Affine
    panel_in: tuple[float, float]

    @classmethod
    def of(cls, grid: Grid) -> _Frame:
        pixel_width_m, pixel_height_m = grid.pixel_size_m()
        aspect = (grid.height * pixel_height_m) / (grid.width * pixel_width_m)
        width = _PANEL_IN
        height = width * aspect
        if height > 8.0:
            width, height = max(8.0 / aspect, 2.2), 8.0
        turned = abs(grid.transform.b) > abs(grid.transform.a)
        return cls(
            width_px=grid.width,
            height_px=grid.height,
            pixel_width_m=pixel_width_m,
            pixel_height_m=pixel_height_m,
            flip_x=grid.transform.a < 0 and not turned,
            flip_y=grid.transform.e > 0 and not turned,
            to_pixels=~grid.transform,
            panel_in=(width, max(height, 1.6)),
        )

    @property
    def figure_in(self) -> tuple[float, float]:
        width, height = self.panel_in
        return 3 * width + 2 * _GAP_IN + 2 * _MARGIN_IN, height + _HEAD_IN + _FOOT_IN

    @property
    def extent(self) -> tuple[float, float, float, float]:
        return 0, self.width_px, self.height_px, 0

    @property
    def points_per_px(self) -> float:
        """Size on paper of one image pixel, in points."""
        width, height = self.panel_in
        across = width / (self.width_px * self.pixel_width_m)
        down = height / (self.height_px * self.pixel_height_m)
        return 72 * min(across, down) * self.pixel_width_m

    def fix(self, panel: Axes) -> None:
        panel.set_xlim(*((self.width_px, 0) if self.flip_x else (0, self.width_px)))
        panel.set_ylim(*((0, self.height_px) if self.flip_y else (self.height_px, 0)))
        panel.set_aspect(self.pixel_height_m / self.pixel_width_m)


def _panel(figure: Figure, frame: _Frame, index: int) -> Axes:
    page_width, page_height = frame.figure_in
    width, height = frame.panel_in
    left = _MARGIN_IN + index * (width + _GAP_IN)
    panel = figure.add_axes(
        (left / page_width, _FOOT_IN / page_height, width / page_width, height / page_height)
    )
    panel.set_facecolor(_NODATA)
    panel.set_xticks([])
    panel.set_yticks([])
    for spine in panel.spines.values():
        spine.set_color(_INK)
        spine.set_linewidth(0.6)
    return panel


def _rgba(image: NDArray[np.generic]) -> NDArray[np.generic]:
    if image.dtype == np.uint8:
        return image
    valid = np.isfinite(image).all(axis=2, keepdims=True)
    colours = np.clip(np.nan_to_num(image.astype(np.float32)), 0, 1)
    return np.concatenate([colours, valid.astype(np.float32)], axis=2)


def _within(layer: geopandas.GeoDataFrame, grid: Grid) -> geopandas.GeoDataFrame:
    corners = [(0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height)]
    page = shapely.Polygon([grid.transform @ corner for corner in corners])
    return layer[shapely.intersects(layer.geometry.to_numpy(), page)]


def _paths(layer: geopandas.GeoDataFrame, frame: _Frame, **style: Any) -> PathCollection:
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


def _line_width(layer: geopandas.GeoDataFrame, frame: _Frame) -> float:
    """Thin enough that the lines of small parcels do not run together."""
    if layer.empty:
        return 0.5
    square_px = abs(frame.to_pixels.determinant)
    side_pt = math.sqrt(np.median(shapely.area(layer.geometry.to_numpy())) * square_px) * frame.points_per_px
    return float(np.clip(side_pt / 14, 0.12, 0.9))


def _draw_outlines(
    panel: Axes, parcels: geopandas.GeoDataFrame, classes: Sequence[MapClass], frame: _Frame
) -> None:
    width = _line_width(parcels, frame)
    panel.add_collection(
        _paths(
            parcels,
            frame,
            facecolors="none",
            edgecolors=(0.08, 0.09, 0.1, 0.55),
            linewidths=2.2 * width,
            joinstyle="round",
        )
    )
    colour = {each.id: each.colour for each in of_kind(classes, "thing")}
    edges = [_lighter(colour[each], 0.25) for each in parcels["class_id"]]
    panel.add_collection(
        _paths(parcels, frame, facecolors="none", edgecolors=edges, linewidths=width, joinstyle="round")
    )


def _draw_cover(
    panel: Axes, landcover: geopandas.GeoDataFrame, classes: Sequence[MapClass], frame: _Frame
) -> None:
    for each in of_kind(classes, "stuff"):
        chosen = landcover[landcover["class_id"] == each.id]
        # The hairline in the fill's own colour closes the seams that antialiasing leaves.
        panel.add_collection(
            _paths(chosen, frame, facecolors=each.colour, edgecolors=each.colour, linewidths=0.25)
        )


def _draw_fields(
    panel: Axes, parcels: geopandas.GeoDataFrame, classes: Sequence[MapClass], frame: _Frame
) -> None:
    """Parcels in shades of their class colour, so that neighbours tell apart."""
    colour = {each.id: each.colour for each in of_kind(classes, "thing")}
    shades = [
        _lighter(colour[class_id], 0.1 + 0.55 * (parcel_id * 0.6180339887 % 1.0))
        for class_id, parcel_id in zip(parcels["class_id"], parcels["parcel_id"], strict=True)
    ]
    panel.add_collection(
        _paths(
            parcels,
            frame,
            facecolors=shades,
            edgecolors="#5b4a12",
            linewidths=0.55 * _line_width(parcels, frame),
            joinstyle="round",
        )
    )


def _lighter(colour: str, share: float) -> tuple[float, float, float]:
    red, green, blue = (each / 255 + (1 - each / 255) * share for each in rgb(colour))
    return red, green, blue


def _scale_bar(panel: Axes, frame: _Frame) -> None:
    width_m = frame.width_px * frame.pixel_width_m
    length_m = _round_length(width_m * 0.28)
    label = f"{length_m / 1000:g} km" if length_m >= 1000 else f"{length_m:g} m"
    share = length_m / width_m
    box: dict[str, Any] = {"transform": panel.transAxes, "zorder": 10, "clip_on": False}
    height = frame.panel_in[1]
    x, y = 0.035, 0.16 / height
    for start, colour in ((0.0, "white"), (0.5, _INK)):
        panel.add_patch(
            _rectangle((x + start * share, y), share / 2, 0.055 / height, facecolor=colour, **box)
        )
    panel.add_patch(
        _rectangle((x, y), share, 0.055 / height, facecolor="none", edgecolor=_INK, linewidth=0.7, **box)
    )
    panel.text(
        x + share / 2,
        y + 0.09 / height,
        label,
        ha="center",
        va="bottom",
        fontsize=8,
        color=_INK,
        path_effects=_halo(),
        **box,
    )


def _round_length(metres: float) -> float:
    power = 10.0 ** math.floor(math.log10(metres))
    return max(step * power for step in (1, 2, 5) if step * power <= metres)


def _rectangle(corner: tuple[float, float], width: float, height: float, **style: Any) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(corner, width, height, **style)


def _halo() -> list[Any]:
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2.2, foreground=(1, 1, 1, 0.85))]


def _north_arrow(panel: Axes, grid: Grid, frame: _Frame) -> None:
    east, north = _north_on_page(grid, frame)
    width, height = frame.panel_in
    x, y, length = width - 0.28, height - 0.3, 0.17
    tip = ((x + east * length) / width, (y + north * length) / height)
    tail = ((x - east * length) / width, (y - north * length) / height)
    panel.annotate(
        "",
        xy=tip,
        xytext=tail,
        xycoords="axes fraction",
        arrowprops={
            "arrowstyle": "-|>,head_width=0.28,head_length=0.5",
            "color": _INK,
            "linewidth": 1.3,
            "path_effects": _halo(),
        },
        zorder=10,
    )
    panel.text(
        *((x - east * 0.27) / width, (y - north * 0.27) / height),
        "N",
        transform=panel.transAxes,
        ha="center",
        va="center",
        fontsize=8.5,
        fontweight="bold",
        color=_INK,
        path_effects=_halo(),
        zorder=10,
    )


def _north_on_page(grid: Grid, frame: _Frame) -> tuple[float, float]:
    """Unit vector of true north in the middle of the grid, on paper (right, up)."""
    crs = grid.crs
    if crs.geodetic_crs is None:
        return 0.0, 1.0
    middle = grid.transform @ (grid.width / 2, grid.height / 2)
    to_ground = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    lon, lat = to_ground.transform(*middle)
    step = 1e-3 if lat < 89 else -1e-3
    x, y = to_ground.transform(lon, lat + step, direction="INVERSE")
    turn = frame.to_pixels
    col, row = np.array(turn @ (x, y)) - np.array(turn @ middle)
    right = col * frame.pixel_width_m * (-1 if frame.flip_x else 1)
    up = -row * frame.pixel_height_m * (-1 if frame.flip_y else 1)
    length = math.copysign(math.hypot(right, up) or 1.0, step)
    return right / length, up / length


def _heading(figure: Figure, frame: _Frame, title: str, parcels: geopandas.GeoDataFrame) -> None:
    page_width, page_height = frame.figure_in
    left = _MARGIN_IN / page_width
    hectares = float(parcels["area_m2"].sum()) / 1e4
    median = float(parcels["area_m2"].median()) / 1e4 if len(parcels) else 0.0
    facts = f"{len(parcels):,} parcels on {hectares:,.0f} ha, median {median:.2f} ha"
    figure.text(
        left,
        1 - 0.2 / page_height,
        " ".join(title.split()),
        ha="left",
        va="top",
        fontsize=15,
        fontweight="bold",
        color=_INK,
        parse_math=False,
    )
    figure.text(left, 1 - 0.49 / page_height, facts, ha="left", va="top", fontsize=9.5, color=_MUTED)


def _legend(
    figure: Figure,
    frame: _Frame,
    parcels: geopandas.GeoDataFrame,
    landcover: geopandas.GeoDataFrame,
    classes: Sequence[MapClass],
) -> None:
    page_width, page_height = frame.figure_in
    area = _areas(parcels, classes) | _areas(landcover, classes)
    total = sum(area.values()) or 1.0
    labels = [f"{each.name}  {100 * area.get(each.id, 0.0) / total:.0f} %" for each in classes]
    widths_in = [0.8 + 0.085 * len(label) for label in labels]
    shrink = min(1.0, (page_width - 2 * _MARGIN_IN) / sum(widths_in))
    x, y = _MARGIN_IN, _FOOT_IN - 0.36
    for each, label, width_in in zip(classes, labels, widths_in, strict=True):
        figure.add_artist(
            _rectangle(
                (x / page_width, y / page_height),
                0.26 * shrink / page_width,
                0.16 / page_height,
                facecolor=each.colour,
                edgecolor=_INK,
                linewidth=0.5,
                transform=figure.transFigure,
            )
        )
        figure.text(
            (x + 0.34 * shrink) / page_width,
            (y + 0.08) / page_height,
            label,
            va="center",
            fontsize=9 * shrink,
            color=_INK,
            parse_math=False,
        )
        x += width_in * shrink


def _areas(layer: geopandas.GeoDataFrame, classes: Sequence[MapClass]) -> dict[int, float]:
    sums = layer.groupby("class_id")["area_m2"].sum()
    return {each.id: float(sums[each.id]) for each in classes if each.id in sums.index}


def _foot(figure: Figure, frame: _Frame, attribution: str, grid: Grid) -> None:
    page_width, page_height = frame.figure_in
    projection = f"{grid.crs.name}, image pixel {frame.pixel_width_m:.3g} x {frame.pixel_height_m:.3g} m"
    figure.text(
        _MARGIN_IN / page_width,
        0.2 / page_height,
        " · ".join(part for part in (" ".join(attribution.split()), projection) if part),
        ha="left",
        va="center",
        fontsize=7.5,
        color=_MUTED,
        parse_math=False,
    )
