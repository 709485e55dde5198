"""An evaluation in words and columns, for a terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from geopanoptic.evaluation.evaluation import Evaluation

_OUTSIDE = {
    "count": "ground without a true segment counts against predictions",
    "ignore": "ground without a true segment is ignored",
}

_WHOLE = "ground without a true segment makes no difference here"


def as_text(evaluation: Evaluation) -> str:
    """All figures in at most 100 columns."""
    lines = [*_heading(evaluation)]
    if evaluation.sparse:
        lines += ["", "sparse truth: nothing is said about false parcels"]
    told = evaluation.told_figures
    for rule, figures in told.items():
        if not evaluation.sparse:
            heading = _OUTSIDE[rule] if len(told) == len(evaluation.figures) else _WHOLE
            lines += ["", heading, *_classes(evaluation, rule)]
            if figures.seams is not None:
                lines += [
                    f"  at borders of {evaluation.seams_px} px tiles  PQ {_of(figures.seams.touching.pq)}   "
                    f"elsewhere  PQ {_of(figures.seams.others.pq)}"
                ]
    lines += ["", *_objects(evaluation)]
    if evaluation.boundary is not None:
        b = evaluation.boundary
        lines.append(
            f"boundaries     F {_of(b.f_score)}  precision {_of(b.precision)}  recall {_of(b.recall)}  "
            f"within {b.tolerance_px} px ({evaluation.tolerance_m:.3g} m)"
        )
    lines += [f"note: {note}" for note in evaluation.notes]
    return "\n".join(lines)


def _heading(evaluation: Evaluation) -> list[str]:
    pair = evaluation.maps
    grid = pair.ground.grid
    width_m, height_m = grid.pixel_size_m()
    authority = grid.crs.to_authority()
    smallest = f", things from {evaluation.min_area_m2:g} m2" if evaluation.min_area_m2 else ""
    return [
        f"{pair.predicted_name} against {pair.true_name}",
        f"protocol {evaluation.protocol}; on a grid of {grid.height} x {grid.width} pixels of "
        f"{width_m:.3g} x {height_m:.3g} m, {':'.join(authority) if authority else grid.crs.name}{smallest}",
    ]


def _classes(evaluation: Evaluation, rule: str) -> list[str]:
    from geopanoptic.evaluation.evaluation import OUTSIDE_IN_WORDS

    table = evaluation.table()
    table = table[table["outside"] == OUTSIDE_IN_WORDS[rule]]  # type: ignore[index]
    width = max(12, *(len(name) for name in table["class"]))
    figures = ("pq", "sq", "rq", "covering", "iou", "ap", "ap50")
    head = "".join(f"{name:>7}" for name in ("PQ", "SQ", "RQ", "PC", "IoU", "AP", "AP50"))
    lines = [f"  {'class':<{width}}{head}{'TP':>9}{'FP':>8}{'FN':>8}"]
    for row in table.to_dict("records"):
        counts = "" if row["kind"] == "mean" else f"{row['tp']:>9}{row['fp']:>8}{row['fn']:>8}"
        lines.append(
            f"  {row['class']:<{width}}" + "".join(f"{_of(row[name]):>7}" for name in figures) + counts
        )
    return lines


def _objects(evaluation: Evaluation) -> list[str]:
    objects = next(iter(evaluation.figures.values())).objects
    errors = objects.errors
    sizes = ", ".join(
        f"{each.name}: {each.found / each.objects:.2f} of {each.objects}" for each in objects.by_size
    )
    return [
        f"things         {objects.true} true, {objects.predicted} predicted; recall {_of(objects.recall)} at IoU "
        f"0.5, mean best IoU {_of(objects.mean_best_iou)}",
        f"by true size   {sizes or 'no true thing'}",
        f"segmentation   over {_of(errors.over)}, under {_of(errors.under)} (Persello & Bruzzone 2010); "
        f"{len(errors.splits)} split, {len(errors.merges)} merges (Hoover et al. 1996)",
    ]


def _of(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
