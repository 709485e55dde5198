"""Where a bundle fails: of every validation folder the images on which it does worst, and what became of them.

Worst is the least panoptic quality of parcels on known ground, image by image; images that hardly show parcels
come last, as the few at the shore of a lake say little. Panels are drawn at twice their size and averaged, which
gives lines one pixel wide. The sheet has a palette, so that it is small enough to lie in the bundle's folder.
Needs matplotlib, imported only when drawing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geopanoptic.evaluation.maps.segments import Segments
from geopanoptic.evaluation.metrics.contingency import UNKNOWN, contingency
from geopanoptic.evaluation.metrics.covering import segmentation_errors
from geopanoptic.evaluation.metrics.matching import Protocol, match, overlap_of
from geopanoptic.evaluation.metrics.panoptic_quality import PanopticQuality, quality_by_category
from geopanoptic.evaluation.outcome import Outcome, Outcomes, outcomes
from geopanoptic.evaluation.picture import (
    COLOURS,
    PALE,
    PAPER,
    PREDICTED_LINE,
    TRUE_LINE,
    TRUE_LINE_ON_IMAGE,
    WORDS,
    draw_legend,
    outlined,
    paint,
)
from geopanoptic.evaluation.pools.samples import LabelledImage, Prediction
from geopanoptic.products.page import INK, MUTED
from geopanoptic.products.writing import writing

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

PER_FOLDER = 2
_PARCEL = 1
_DPI = 200
_PANEL_PX = 384
_PHOTOGRAPH_PX = 192
"""Longest side of a photograph before it is enlarged to a panel: the noise of finer ones fills the file."""
_MARGIN_PX, _GAP_PX, _PAIR_GAP_PX = 30, 32, 8
_HEAD_PX, _CAPTION_PX, _FOOT_PX = 110, 90, 130
_PAIR_PX = 2 * _PANEL_PX + _PAIR_GAP_PX
_ROW_PX = _CAPTION_PX + _PANEL_PX
_LONGEST_NAME = 40
_LEAST_SHARE = 0.25
_DRAWING_COLOURS, _PHOTOGRAPH_COLOURS = 128, 80
_GAMMA = 0.75
_EXPLANATION = "Images of least panoptic quality (PQ). Left: true outlines. Right: what became of them; unknown ground is pale."


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """An image and its map: ``parcels`` and ``true`` (h, w) labels, true ``UNKNOWN`` where it is not known."""

    image: LabelledImage
    parcels: NDArray[np.int32]
    true: NDArray[np.int32]
    became: Outcomes
    quality: PanopticQuality

    @property
    def rank(self) -> tuple[bool, float]:
        """What images are sorted by: whether they hardly show parcels, PQ."""
        n_known_px, n_parcel_px = np.count_nonzero(self.true != UNKNOWN), np.count_nonzero(self.true > 0)
        return bool(n_parcel_px < _LEAST_SHARE * n_known_px), self.quality.pq


def judge(image: LabelledImage, prediction: Prediction, *, protocol: Protocol = "coco") -> Judged:
    """Match the parcels of an image on known ground, where those on ground without a parcel are wrong."""
    parcels = np.where(prediction.labels <= prediction.n_things, prediction.labels, 0)
    true = np.where(image.void, UNKNOWN, image.instances)
    n, m = int(parcels.max(initial=0)), int(true.max(initial=0))
    table = contingency(parcels, true, n_predicted=n, n_true=m)
    ours, theirs = (Segments.of(np.full(each, _PARCEL)) for each in (n, m))
    matches = match(table, ours, theirs, protocol=protocol)
    overlap = overlap_of(table, ours, theirs, outside="count")
    errors = segmentation_errors(overlap, np.ones(m + 1, np.bool_))
    return Judged(
        image=image,
        parcels=parcels,
        true=true,
        became=outcomes(table, matches, errors, n_true_things=m, n_predicted_things=n),
        quality=quality_by_category(matches, ours, theirs).get(_PARCEL, PanopticQuality()),
    )


def worst(
    images: Sequence[LabelledImage],
    mapper: Callable[[LabelledImage], Prediction],
    *,
    protocol: Protocol = "coco",
    count: int = PER_FOLDER,
) -> list[Judged]:
    """The ``count`` images of least ``rank``, without those that have no parcel in truth and map."""
    least: list[Judged] = []
    for image in images:
        judged = judge(image, mapper(image), protocol=protocol)
        if not math.isnan(judged.quality.pq):
            least = sorted([*least, judged], key=lambda each: each.rank)[:count]
    return least


def draw_failures(folders: Mapping[str, Sequence[Judged]], *, bundle: str, path: str | Path) -> None:
    """Draw a row for every folder with up to ``PER_FOLDER`` images, and write it to ``path`` as PNG.

    Raises OutputError where that cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = {name: judged for name, judged in folders.items() if judged}
    width_px = 2 * _MARGIN_PX + PER_FOLDER * (_PAIR_PX + _GAP_PX) - _GAP_PX
    size_in = width_px / _DPI, (_HEAD_PX + len(rows) * _ROW_PX + _FOOT_PX) / _DPI
    figure = Figure(figsize=size_in, dpi=_DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    _write(figure, (24, _MARGIN_PX), f"Where {bundle} fails", fontsize=12, fontweight="bold")
    _write(figure, (76, _MARGIN_PX), _EXPLANATION, fontsize=7.5, color=MUTED)
    draw_legend(
        figure,
        size_in,
        _MARGIN_PX / _DPI,
        {each: WORDS[each] for each in COLOURS},
        "white or yellow: true outlines   black: mapped outlines   pale: unknown",
    )
    corners = {
        (_HEAD_PX + row * _ROW_PX, _MARGIN_PX + column * (_PAIR_PX + _GAP_PX)): judged
        for row, of_folder in enumerate(rows.values())
        for column, judged in enumerate(of_folder)
    }
    for corner_px, judged in corners.items():
        _describe(figure, corner_px, judged)
    canvas.draw()
    sheet = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    is_photograph = np.zeros(sheet.shape[:2], np.bool_)
    for (top, left), judged in corners.items():
        photograph, outcome = _panels(judged)
        height, width = outcome.shape[:2]
        rows_px = slice(top + _CAPTION_PX, top + _CAPTION_PX + height)
        beside = left + _PANEL_PX + _PAIR_GAP_PX
        sheet[rows_px, left : left + width] = photograph
        sheet[rows_px, beside : beside + width] = outcome
        is_photograph[rows_px, left : left + width] = True
    with writing(Path(path)):
        _with_palette(sheet, is_photograph).save(path, format="PNG", optimize=True)


def _write(figure: Figure, corner_px: tuple[float, float], text: str, **style: Any) -> None:
    """``corner_px``: row and column of the upper left corner, of the upper right one where ``ha`` says so."""
    width, height = figure.get_size_inches() * _DPI
    row, column = corner_px
    told: dict[str, Any] = {"va": "top", "color": INK, "parse_math": False, **style}
    figure.text(column / width, 1 - row / height, text, **told)


def _describe(figure: Figure, corner_px: tuple[int, int], judged: Judged) -> None:
    top, left = corner_px
    folder, _, name = judged.image.name.partition("/")
    name = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
    counts = judged.became.counts
    told = [f"{count} {WORDS[each]}" for each, count in counts.items() if count]
    if counts[Outcome.FALSE] > 1:
        told[-1] += "s"
    _write(figure, (top + 22, left), f"{folder}   PQ {judged.quality.pq:.2f}", fontsize=8, fontweight="bold")
    _write(figure, (top + 24, left + _PAIR_PX), name, fontsize=6.5, color=MUTED, ha="right")
    _write(figure, (top + 54, left), ", ".join(told), fontsize=7)


def _with_palette(sheet: NDArray[np.uint8], is_photograph: NDArray[np.bool_]) -> Image.Image:
    """Photographs would take all colours from lines and letters, so each have their own part of the palette."""
    from PIL import Image

    drawing = np.where(is_photograph[..., None], np.uint8(255), sheet)
    lines = Image.fromarray(drawing).quantize(_DRAWING_COLOURS, dither=Image.Dither.NONE)
    index = np.array(lines)
    palette = (lines.getpalette() or [])[: 3 * _DRAWING_COLOURS]
    if is_photograph.any():
        pixels = Image.fromarray(sheet[is_photograph][None])
        photographs = pixels.quantize(_PHOTOGRAPH_COLOURS, dither=Image.Dither.NONE)
        index[is_photograph] = np.asarray(photographs)[0] + len(palette) // 3
        palette += (photographs.getpalette() or [])[: 3 * _PHOTOGRAPH_COLOURS]
    result = Image.fromarray(index)
    result.putpalette(palette)
    return result


def _panels(judged: Judged) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The image with true outlines, and the outcome; uint8 (rows, cols, 3)."""
    factor = math.ceil(max(judged.image.valid.shape) / _PHOTOGRAPH_PX)
    photograph = _enlarged(_natural(judged.image.reduced(factor)))
    true, parcels = _enlarged(judged.true), _enlarged(judged.parcels)
    fields = np.maximum(true, 0)
    paper = np.full((*true.shape, 3), PAPER, np.float32)
    painted = paint(paper, judged.became.of_pixels(parcels, true), true != UNKNOWN)
    drawn = outlined(outlined(painted, fields, TRUE_LINE), parcels, PREDICTED_LINE)
    return _halved(outlined(photograph, fields, TRUE_LINE_ON_IMAGE)), _halved(drawn)


def _natural(image: LabelledImage) -> NDArray[np.uint8]:
    """Red, green and blue (h, w, 3), or the first band as grey, stretched together; no data is pale."""
    bands = [2, 1, 0] if image.available[:3].sum() == 3 else [int(image.available.argmax())] * 3
    values = image.image[bands].transpose(1, 2, 0)
    seen = values[image.valid]
    low, high = np.percentile(seen, (2, 98)) if len(seen) else (0.0, 1.0)
    shares = np.clip((values - low) / max(high - low, 1e-6), 0, 1)
    picture = np.rint(255 * shares**_GAMMA).astype(np.uint8)
    picture[~image.valid] = PALE
    return picture


def _enlarged(values: NDArray[Any]) -> NDArray[Any]:
    """Nearest pixels of ``values`` (h, w, ...), twice as many a side as the panel has."""
    longest = max(values.shape[:2])
    sides = [2 * max(1, round(size * _PANEL_PX / longest)) for size in values.shape[:2]]
    rows, cols = (np.arange(side) * size // side for side, size in zip(sides, values.shape[:2], strict=True))
    return values[np.ix_(rows, cols)]


def _halved(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    return np.rint(picture.reshape(height // 2, 2, width // 2, 2, 3).mean(axis=(1, 3))).astype(np.uint8)
