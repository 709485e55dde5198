"""The page of a map picture: where its panels stand, and all on it that is neither image nor polygon.

Scale bar, north arrow, heading, legend and foot. Lengths named ``_in`` are inches on paper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import geopandas
import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray

from geopanoptic.grid import Grid
from geopanoptic.products.classes import MapClass, rgb

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_IN = 4.7
TALLEST_PANEL_IN = 8.0
MARGIN_IN = 0.3
GAP_IN = 0.18
HEAD_IN = 0.95
FOOT_IN = 0.92
INK = "#22262b"
MUTED = "#6b727b"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
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
    def of(cls, grid: Grid) -> Frame:
        pixel_width_m, pixel_height_m = grid.pixel_size_m()
        aspect = (grid.height * pixel_height_m) / (grid.width * pixel_width_m)
        width = PANEL_IN
        height = width * aspect
        if height > TALLEST_PANEL_IN:
            width, height = max(TALLEST_PANEL_IN / aspect, 2.2), TALLEST_PANEL_IN
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
        return 3 * width + 2 * GAP_IN + 2 * MARGIN_IN, height + HEAD_IN + FOOT_IN

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


def draw_scale_bar(panel: Axes, frame: Frame) -> None:
    width_m = frame.width_px * frame.pixel_width_m
    length_m = _round_length(width_m * 0.28)
    label = f"{length_m / 1000:g} km" if length_m >= 1000 else f"{length_m:g} m"
    share = length_m / width_m
    box: dict[str, Any] = {"transform": panel.transAxes, "zorder": 10, "clip_on": False}
    height = frame.panel_in[1]
    x, y = 0.035, 0.16 / height
    # A rim of white: on dark ground the dark half would look like the end.
    panel.add_patch(
        _rectangle((x, y), share, 0.055 / height, facecolor="none", edgecolor="white", linewidth=2.4, **box)
    )
    for start, colour in ((0.0, "white"), (0.5, INK)):
        panel.add_patch(
            _rectangle((x + start * share, y), share / 2, 0.055 / height, facecolor=colour, **box)
        )
    panel.add_patch(
        _rectangle((x, y), share, 0.055 / height, facecolor="none", edgecolor=INK, linewidth=0.7, **box)
    )
    panel.text(
        x + share / 2,
        y + 0.09 / height,
        label,
        ha="center",
        va="bottom",
        fontsize=8,
        color=INK,
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


def draw_north_arrow(panel: Axes, grid: Grid, frame: Frame) -> None:
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
            "color": INK,
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
        color=INK,
        path_effects=_halo(),
        zorder=10,
    )


def _north_on_page(grid: Grid, frame: Frame) -> tuple[float, float]:
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


def draw_heading(figure: Figure, frame: Frame, title: str, parcels: geopandas.GeoDataFrame) -> None:
    page_width, page_height = frame.figure_in
    left = MARGIN_IN / page_width
    hectares = float(parcels["shown_m2"].sum()) / 1e4
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
        color=INK,
        parse_math=False,
    )
    figure.text(left, 1 - 0.49 / page_height, facts, ha="left", va="top", fontsize=9.5, color=MUTED)


def draw_legend(
    figure: Figure,
    frame: Frame,
    parcels: geopandas.GeoDataFrame,
    landcover: geopandas.GeoDataFrame,
    classes: Sequence[MapClass],
) -> None:
    page_width, page_height = frame.figure_in
    area = _areas(parcels, classes) | _areas(landcover, classes)
    total = sum(area.values()) or 1.0
    labels = [f"{each.name}  {100 * area.get(each.id, 0.0) / total:.0f} %" for each in classes]
    widths_in = [0.64 + _text_width_in(label, points=9) for label in labels]
    shrink = min(1.0, (page_width - 2 * MARGIN_IN) / sum(widths_in))
    x, y = MARGIN_IN, FOOT_IN - 0.36
    for each, label, width_in in zip(classes, labels, widths_in, strict=True):
        style: dict[str, Any] = {"transform": figure.transFigure}
        corner, width, height = (
            (x / page_width, y / page_height),
            0.26 * shrink / page_width,
            0.16 / page_height,
        )
        colours = shades(each.colour, np.linspace(0, 1, 4)) if each.kind == "thing" else [each.colour]
        for number, colour in enumerate(colours):
            place = corner[0] + width * number / len(colours), corner[1]
            figure.add_artist(_rectangle(place, width / len(colours), height, facecolor=colour, **style))
        figure.add_artist(
            _rectangle(corner, width, height, facecolor="none", edgecolor=INK, linewidth=0.5, **style)
        )
        figure.text(
            (x + 0.34 * shrink) / page_width,
            (y + 0.08) / page_height,
            label,
            va="center",
            fontsize=9 * shrink,
            color=INK,
            parse_math=False,
        )
        x += width_in * shrink


def _text_width_in(text: str, *, points: float) -> float:
    from matplotlib.textpath import TextPath

    return (
        float(TextPath((0, 0), text.replace("$", r"\$"), size=points, usetex=False).get_extents().width) / 72
        if text.strip()
        else 0.0
    )


def shades(colour: str, share: NDArray[np.floating]) -> list[tuple[float, float, float]]:
    """Shades of a class's colour in which its objects are drawn, so that neighbours tell apart; ``share`` (n,), 0 to 1."""
    return [lighter(colour, 0.1 + 0.55 * each) for each in share.tolist()]


def lighter(colour: str, share: float) -> tuple[float, float, float]:
    red, green, blue = (each / 255 + (1 - each / 255) * share for each in rgb(colour))
    return red, green, blue


def _areas(layer: geopandas.GeoDataFrame, classes: Sequence[MapClass]) -> dict[int, float]:
    sums = layer.groupby("class_id")["shown_m2"].sum()
    return {each.id: float(sums[each.id]) for each in classes if each.id in sums.index}


def draw_foot(figure: Figure, frame: Frame, attribution: str, grid: Grid) -> None:
    page_width, page_height = frame.figure_in
    projection = f"{grid.crs.name}, image pixel {frame.pixel_width_m:.3g} x {frame.pixel_height_m:.3g} m"
    figure.text(
        MARGIN_IN / page_width,
        0.2 / page_height,
        " · ".join(part for part in (" ".join(attribution.split()), projection) if part),
        ha="left",
        va="center",
        fontsize=7.5,
        color=MUTED,
        parse_math=False,
    )
