"""What a comparison found: figures by class, as a table, JSON, HTML and a picture."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from geopanoptic.evaluation.maps.segments import Category
from geopanoptic.evaluation.metrics.boundaries import BoundaryTally
from geopanoptic.evaluation.metrics.contingency import Contingency
from geopanoptic.evaluation.metrics.figures import Figures, MapPair
from geopanoptic.evaluation.metrics.matching import Outside
from geopanoptic.evaluation.metrics.panoptic_quality import PanopticQuality
from geopanoptic.products.writing import put_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AVERAGES = ("all", "things", "stuff")
OUTSIDE_IN_WORDS: dict[Outside, str] = {"count": "counted", "ignore": "ignored"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A map compared with the truth.

    ``figures`` by rule: ``count``, predictions on ground without a true segment are wrong, and ``ignore``, such
    ground is void. With ``sparse`` truth only ``figures["count"].objects`` means anything.
    """

    maps: MapPair
    table_of_overlaps: Contingency
    categories: tuple[Category, ...]
    protocol: str
    sparse: bool
    min_area_m2: float
    figures: Mapping[Outside, Figures]
    boundary: BoundaryTally | None
    seams_px: int | None
    notes: tuple[str, ...]

    @property
    def pq(self) -> float:
        """Mean panoptic quality of all classes, with the strictest rule that was asked for; NaN if sparse."""
        return math.nan if self.sparse else self._first.mean("all")["pq"]

    @property
    def recall(self) -> float:
        """Share of true objects whose best IoU is above one half."""
        return self._first.objects.recall

    @property
    def mean_best_iou(self) -> float:
        """Mean over the true objects of the IoU of their best parcel."""
        return self._first.objects.mean_best_iou

    @property
    def _first(self) -> Figures:
        return next(iter(self.figures.values()))

    @property
    def told_figures(self) -> Mapping[Outside, Figures]:
        """``figures`` for people: those of one rule where all ground has truth, for then both say the same."""
        if self.sparse:
            return self.figures
        table = self.table()
        said = [part.drop(columns="outside").reset_index(drop=True) for _, part in table.groupby("outside")]
        if len(said) > 1 and said[0].equals(said[1]):
            return dict(list(self.figures.items())[:1])
        return self.figures

    def table(self) -> pd.DataFrame:
        """One row per rule and class or mean: PQ, SQ, RQ, counts, covering, IoU, AP. Empty if sparse."""
        rows = []
        for rule, figures in {} if self.sparse else self.figures.items():
            kinds = {each.category.kind for each in figures.classes}
            means = [] if len(figures.classes) < 2 else list(AVERAGES if len(kinds) > 1 else AVERAGES[:1])
            for each in figures.classes:
                q = each.quality
                rows.append(
                    {
                        "outside": OUTSIDE_IN_WORDS[rule], "class": each.category.name,
                        "kind": each.category.kind, "pq": q.pq, "sq": q.sq, "rq": q.rq,
                        "tp": q.true_positives, "fp": q.false_positives, "fn": q.false_negatives,
                        "covering": each.covering, "iou": each.iou, "ap": each.ap, "ap50": each.ap50,
                        "ap75": each.ap75,
                    }
                )  # fmt: skip
            for which in means:
                name: dict[str, object] = {
                    "outside": OUTSIDE_IN_WORDS[rule],
                    "class": f"mean of {which}",
                    "kind": "mean",
                }
                rows.append(name | figures.mean(which))
        return pd.DataFrame(rows).astype({each: "Int64" for each in ("tp", "fp", "fn") if rows})

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON has it; NaN becomes None."""
        grid, pair = self.maps.ground.grid, self.maps
        width_m, height_m = grid.pixel_size_m()
        return _plain(
            {
                "prediction": pair.predicted_name,
                "truth": pair.true_name,
                "protocol": self.protocol,
                "method": "pixel grid",
                "grid": {
                    "crs": grid.crs.to_string(), "height": grid.height, "width": grid.width,
                    "pixel_m": [width_m, height_m], "transform": list(grid.transform)[:6],
                },
                "sparse": self.sparse,
                "min_area_m2": self.min_area_m2,
                "outside": {
                    OUTSIDE_IN_WORDS[rule]: self._figures_dict(each) for rule, each in self.figures.items()
                },
                "boundary": None if self.boundary is None else {
                    "f": self.boundary.f_score, "precision": self.boundary.precision,
                    "recall": self.boundary.recall, "tolerance_px": self.boundary.tolerance_px,
                    "tolerance_m": self.tolerance_m,
                },
                "notes": list(self.notes),
            }
        )  # fmt: skip

    @property
    def tolerance_m(self) -> float:
        """Of the boundary F-score, on the ground; NaN for sparse truth."""
        pixel_m = math.sqrt(self.maps.ground.pixel_m2)
        return self.boundary.tolerance_px * pixel_m if self.boundary is not None else math.nan

    def _figures_dict(self, figures: Figures) -> dict[str, Any]:
        objects, errors = figures.objects, figures.objects.errors
        found = {
            "objects": {
                "true": objects.true, "predicted": objects.predicted, "recall_at_0.5": objects.recall,
                "mean_best_iou": objects.mean_best_iou, "oversegmentation": errors.over,
                "undersegmentation": errors.under, "distance": errors.distance,
                "splits": len(errors.splits), "merges": len(errors.merges),
                "recall_by_size": [
                    {"size": each.name, "found": each.found, "objects": each.objects} for each in objects.by_size
                ],
            }
        }  # fmt: skip
        if self.sparse:
            return found
        found |= {
            "classes": {
                each.category.name: {"kind": each.category.kind}
                | _quality(each.quality)
                | {name: getattr(each, name) for name in ("covering", "iou", "ap", "ap50", "ap75")}
                for each in figures.classes
            },
            "means": {which: figures.mean(which) for which in AVERAGES},
        }
        if figures.seams is not None:
            found["seams"] = {
                "tile_px": self.seams_px,
                "touching": _quality(figures.seams.touching),
                "others": _quality(figures.seams.others),
            }
        return found

    def to_json(self, path: str | Path | None = None) -> str:
        """JSON text, also written to ``path`` where one is given; OutputError where that fails."""
        return json_text(self.to_dict(), path)

    def plot(self, path: str | Path | None = None, *, image: str | Path | None = None) -> Figure:
        """Hits, misses, false parcels, splits and merges, drawn over a scene where ``image`` names one."""
        from geopanoptic.evaluation.picture import draw_outcome

        return draw_outcome(self, path=path, image=image)

    def __str__(self) -> str:
        from geopanoptic.evaluation.wording import as_text

        return as_text(self)

    def __repr__(self) -> str:
        figure = f"recall {self.recall:.3f}" if self.sparse else f"PQ {self.pq:.3f}"
        return f"<Evaluation of {self.maps.predicted_name} against {self.maps.true_name}: {figure}>"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def json_text(told: Mapping[str, Any], path: str | Path | None) -> str:
    """``told`` as JSON, also written to ``path`` where one is given; OutputError where that fails."""
    text = json.dumps(told, indent=2, allow_nan=False)
    if path is not None:
        put_text(Path(path), text)
    return text


def _quality(quality: PanopticQuality) -> dict[str, float]:
    return {
        "pq": quality.pq,
        "sq": quality.sq,
        "rq": quality.rq,
        "tp": quality.true_positives,
        "fp": quality.false_positives,
        "fn": quality.false_negatives,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
