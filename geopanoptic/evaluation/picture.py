"""A picture of what was found: every true parcel in the colour of its outcome, false parcels, both outlines.

Drawn in pixels of the common grid, thinned where it is large. Needs matplotlib, imported only here.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio.warp
from affine import Affine
from numpy.typing import NDArray

from geopanoptic.evaluation.evaluation import OUTSIDE_IN_WORDS, Evaluation
from geopanoptic.evaluation.outcome import Outcome, Outcomes, outcomes
from geopanoptic.grid import Grid, Window
from geopanoptic.products.page import INK, MUTED, Frame, draw_north_arrow, draw_scale_bar
from geopanoptic.products.suffixes import require_png
from geopanoptic.products.writing import writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LONGEST_PX = 2400
_MARGIN = 0.04
_MOST_LINES = 0.25
_DPI = 200
_PANEL_IN = 7.0
_MARGIN_IN, _GAP_IN, _HEAD_IN, _FOOT_IN = 0.3, 0.2, 0.85, 0.7

PALE = 225
PAPER = (244, 243, 239)
TRUE_LINE, TRUE_LINE_ON_IMAGE, TRUE_LINE_ON_PAPER = (255, 255, 255), (255, 222, 60), (176, 138, 74)
PREDICTED_LINE = (20, 22, 26)

COLOURS: dict[Outcome, tuple[int, int, int]] = {
    Outcome.FOUND: (46, 160, 90),
    Outcome.SPLIT: (38, 132, 222),
    Outcome.MERGED: (148, 84, 200),
    Outcome.MISSED: (214, 48, 49),
    Outcome.FALSE: (245, 158, 11),
}
WORDS = {
    Outcome.FOUND: "found",
    Outcome.SPLIT: "split",
    Outcome.MERGED: "merged",
    Outcome.MISSED: "missed",
    Outcome.FALSE: "false parcel",
}


def draw_outcome(
    evaluation: Evaluation, *, path: str | Path | None = None, image: str | Path | None = None
) -> Figure:
    """Draws the outcome, with ``image`` beside the same ground as it is, and writes it where ``path`` says.

    ``image`` is a scene as :func:`geopanoptic.open_scene` takes it; several files are joined by commas.
    Raises SceneError where it cannot be read, UsageError where ``path`` does not end in .png, OutputError where the
    picture cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if path is not None:
        require_png(Path(path))
    grid, predicted, true, known = _thinned(evaluation)
    # Lines are drawn as pixels, so a small map is enlarged to keep them thin.
    enlarged = max(1, LONGEST_PX // max(grid.shape))
    ground, day = (None, None) if image is None else _photograph(image, grid.scaled(enlarged))
    predicted, true = (each.repeat(enlarged, 0).repeat(enlarged, 1) for each in (predicted, true))
    known = known.repeat(enlarged, 0).repeat(enlarged, 1)
    frame = Frame.of(grid)
    height_in = _PANEL_IN * frame.panel_in[1] / frame.panel_in[0]
    frame = replace(frame, panel_in=(_PANEL_IN, height_in))
    n_panels = 1 if ground is None else 2
    size_in = (
        2 * _MARGIN_IN + n_panels * _PANEL_IN + (n_panels - 1) * _GAP_IN,
        height_in + _HEAD_IN + _FOOT_IN,
    )
    figure = Figure(figsize=size_in, dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    panels = [_panel(figure, size_in, number, height_in) for number in range(n_panels)]
    if ground is not None:
        fields = np.where(true <= evaluation.maps.true.n_things, true, 0)
        drawn = outlined(ground, fields, TRUE_LINE_ON_IMAGE)
        panels[0].imshow(drawn, extent=frame.extent, interpolation="none")
    became = _became(evaluation)
    shown = _coloured(evaluation, became, predicted, true, known, ground)
    panels[-1].imshow(shown, extent=frame.extent, interpolation="none")
    for panel in panels:
        frame.fix(panel)
    draw_scale_bar(panels[0], frame)
    draw_north_arrow(panels[-1], grid, frame)
    _heading(figure, size_in, evaluation)
    texts = {each: f"{WORDS[each]}  {count:,}" for each, count in became.counts.items()}
    if evaluation.sparse:
        del texts[Outcome.FALSE]
    draw_legend(figure, size_in, _MARGIN_IN, texts, _what_is_what(evaluation, ground is not None, day))
    if path is not None:
        with writing(Path(path)):
            figure.savefig(path, format="png", dpi=_DPI, metadata={"Software": None})
    return figure


def _thinned(
    evaluation: Evaluation,
) -> tuple[Grid, NDArray[np.int32], NDArray[np.int32], NDArray[np.bool_]]:
    """Labels of every ``step``-th pixel, and their grid."""
    pair, whole = evaluation.maps, evaluation.maps.ground.grid
    step = math.ceil(max(whole.shape) / LONGEST_PX)
    rows: list[tuple[Any, Any, Any]] = []
    height = 512 * step
    for row in range(0, whole.height, height):
        window = Window(row, 0, min(row + height, whole.height), whole.width)
        rows.append(
            tuple(  # type: ignore[arg-type]
                each[::step, ::step]
                for each in (
                    pair.predicted.read(window),
                    pair.true.read(window),
                    pair.ground.known(window),
                )
            )
        )
    predicted, true, known = (np.concatenate(each) for each in zip(*rows, strict=True))
    shown = _around(known)
    inner = shown.slices()
    grid = Grid(
        crs_wkt=whole.crs_wkt,
        transform=whole.transform @ Affine.scale(step),
        height=predicted.shape[0],
        width=predicted.shape[1],
    ).crop(shown)
    known &= true >= 0
    return grid, np.maximum(predicted, 0)[inner], true[inner], known[inner]


def _around(known: NDArray[np.bool_]) -> Window:
    """The known ground with a little around it."""
    rows, cols = np.flatnonzero(known.any(1)), np.flatnonzero(known.any(0))
    whole = Window(0, 0, *known.shape)
    if not len(rows):
        return whole
    bounds = Window(int(rows[0]), int(cols[0]), int(rows[-1]) + 1, int(cols[-1]) + 1)
    return bounds.grown(int(_MARGIN * max(bounds.shape))).intersection(whole) or whole


def _what_is_what(evaluation: Evaluation, on_image: bool, day: date | None) -> str:
    """What the lines of the picture are, and what its numbers count."""
    lines = [
        f"{'yellow and white' if on_image else 'brown'}: true outlines",
        "black: mapped outlines",
        "" if evaluation.sparse else "pale: unknown, or outside the compared area",
        f"image of {day}" if day else "",
        "each true parcel counts once" + ("" if evaluation.sparse else ", false ones are mapped parcels"),
    ]
    return "   ".join(each for each in lines if each)


def _photograph(image: str | Path, grid: Grid) -> tuple[NDArray[np.uint8], date | None]:
    """The scene in natural colours on ``grid``, (h, w, 3), paper where it has no data; and its date, if one is stated."""
    from geopanoptic.scene import open_scene
    from geopanoptic.scene.display import clearest, picture_bands, quicklook
    from geopanoptic.scene.files.sources import named_sources

    scene = open_scene(named_sources(str(image)))
    picture = quicklook(scene, longest_px=2 * LONGEST_PX)
    step = max(1.0, max(scene.grid.shape) / (2 * LONGEST_PX))
    result = np.empty((3, *grid.shape), np.uint8)
    for channel in range(3):
        rasterio.warp.reproject(
            np.ascontiguousarray(picture[..., channel]),
            result[channel],
            src_transform=scene.grid.transform @ Affine.scale(step),
            src_crs=scene.grid.crs_wkt,
            dst_transform=grid.transform,
            dst_crs=grid.crs_wkt,
            resampling=rasterio.warp.Resampling.nearest,
            init_dest_nodata=False,
        )
    return result.transpose(1, 2, 0), clearest(scene, picture_bands(scene, None)).dates[0]


def _coloured(
    evaluation: Evaluation,
    became: Outcomes,
    predicted: NDArray[np.int32],
    true: NDArray[np.int32],
    known: NDArray[np.bool_],
    ground: NDArray[np.uint8] | None,
) -> NDArray[np.uint8]:
    base = (
        np.full((*true.shape, 3), PAPER, np.float32)
        if ground is None
        else 0.45 * ground.mean(axis=2, keepdims=True).repeat(3, 2) + 110
    )
    painted = paint(base, became.of_pixels(predicted, true), known | evaluation.sparse)
    pair = evaluation.maps
    things = np.where(true <= pair.true.n_things, true, 0)
    fields = np.where(predicted <= pair.predicted.n_things, predicted, 0)
    line = TRUE_LINE if ground is not None else TRUE_LINE_ON_PAPER
    return outlined(outlined(painted, things, line), fields, PREDICTED_LINE)


def paint(
    base: NDArray[np.floating], outcome: NDArray[np.uint8], known: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """``base`` (h, w, 3), 0 to 255, in the colours of ``outcome`` (h, w); ground that is not ``known`` is pale."""
    colour = np.zeros((len(Outcome), 3), np.float32)
    share = np.zeros(len(Outcome), np.float32)
    for each, rgb in COLOURS.items():
        colour[each], share[each] = rgb, 0.62
    weight = share[outcome][..., None]
    mixed = base * (1 - weight) + colour[outcome] * weight
    mixed[~known] = 0.35 * mixed[~known] + 0.65 * PALE
    return np.rint(mixed).astype(np.uint8)


def outlined(
    picture: NDArray[np.uint8], labels: NDArray[np.int32], colour: tuple[int, int, int]
) -> NDArray[np.uint8]:
    """With lines of two pixels between labels, unless they would hide what lies between them."""
    edges = _edges(labels)
    if edges.mean() > _MOST_LINES:
        return picture
    result = picture.copy()
    result[edges] = colour
    return result


def _edges(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Both sides of every border: lines of two pixels."""
    edges = np.zeros(labels.shape, bool)
    across, down = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    edges[:, 1:] |= across
    edges[:, :-1] |= across
    edges[1:] |= down
    edges[:-1] |= down
    return edges


def _panel(figure: Figure, size_in: tuple[float, float], number: int, height_in: float) -> Axes:
    width, height = size_in
    left = _MARGIN_IN + number * (_PANEL_IN + _GAP_IN)
    panel = figure.add_axes((left / width, _FOOT_IN / height, _PANEL_IN / width, height_in / height))
    panel.set_xticks([])
    panel.set_yticks([])
    return panel


def _heading(figure: Figure, size_in: tuple[float, float], evaluation: Evaluation) -> None:
    width, height = size_in
    pair = evaluation.maps
    title = f"{pair.predicted_name} against {pair.true_name}"
    if evaluation.sparse:
        facts = f"recall {evaluation.recall:.2f} at IoU 0.5, mean best IoU {evaluation.mean_best_iou:.2f}"
    else:
        told = evaluation.told_figures
        facts = "   ".join(
            f"PQ {figures.mean('things')['pq']:.3f}"
            + (
                f" (ground without truth {OUTSIDE_IN_WORDS[rule]})"
                if len(told) == len(evaluation.figures)
                else ""
            )
            for rule, figures in told.items()
        )
    left = _MARGIN_IN / width
    style: dict[str, Any] = {"ha": "left", "va": "top", "parse_math": False}
    figure.text(left, 1 - 0.16 / height, title, fontsize=14, fontweight="bold", color=INK, **style)
    figure.text(left, 1 - 0.48 / height, facts, fontsize=10, color=MUTED, **style)


def draw_legend(
    figure: Figure, size_in: tuple[float, float], left_in: float, texts: Mapping[Outcome, str], lines: str
) -> None:
    """One swatch for every outcome with a text along the foot of a page, and below what the ``lines`` are."""
    from matplotlib.patches import Rectangle

    width, height = size_in
    x = left_in
    for outcome, text in texts.items():
        figure.add_artist(
            Rectangle(
                (x / width, 0.37 / height), 0.22 / width, 0.16 / height,
                facecolor=[each / 255 for each in COLOURS[outcome]], edgecolor=INK, linewidth=0.5,
                transform=figure.transFigure,
            )
        )  # fmt: skip
        figure.text((x + 0.29) / width, 0.45 / height, text, va="center", fontsize=9, color=INK)
        x += 0.55 + 0.075 * len(text)
    # Letters of 8 points are about .062 inches wide.
    for number, line in enumerate(reversed(textwrap.wrap(lines, int((width - 2 * left_in) / 0.062)))):
        y = (0.1 + 0.14 * number) / height
        figure.text(1 - left_in / width, y, line, ha="right", va="center", fontsize=8, color=MUTED)


def _became(evaluation: Evaluation) -> Outcomes:
    """Of sparse truth no parcel is known to be false."""
    figures, pair = next(iter(evaluation.figures.values())), evaluation.maps
    became = outcomes(
        evaluation.table_of_overlaps,
        figures.matches,
        figures.objects.errors,
        n_true_things=pair.true.n_things,
        n_predicted_things=pair.predicted.n_things,
    )
    if not evaluation.sparse:
        return became
    is_false = became.predicted == Outcome.FALSE
    return replace(became, predicted=np.where(is_false, np.uint8(Outcome.NONE), became.predicted))
