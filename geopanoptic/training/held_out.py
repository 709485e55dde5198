"""How well a bundle maps the held-out fields of labelled scenes: the run that a user would make, scored.

The map is made by ``pipeline.run`` around the held-out fields only. Of sparse labels a parcel is known to be false
where most of it lies on drawn fields and it matches none of them: it cannot match one that nobody drew.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import geopandas
import numpy as np
import shapely
from numpy.typing import NDArray

from geopanoptic.evaluation.panoptic_quality import PanopticQuality, add_image
from geopanoptic.evaluation.sparse import SparseAgreement, compare
from geopanoptic.grid import Window
from geopanoptic.models.bundle import Bundle
from geopanoptic.pipeline.run import run
from geopanoptic.training.config import TrainingConfig
from geopanoptic.training.datasets.labelled_scene import LabelledScene
from geopanoptic.training.datasets.settings import VectorData
from geopanoptic.training.patch import OUTPUT_SCALE

_MARGIN_PX = 40  # scene pixels around a held-out field that are mapped with it
HOW_MAPPED = (
    f"mapped with {_MARGIN_PX} pixels of ground around each and with unsimplified borders, so that `geopanoptic "
    "evaluate --sparse` of a whole map gives slightly other figures"
)
"""What distinguishes these figures from those of a user's map, in words."""
_TILE_PX = 256
_PARCEL = 1
_MATCH_IOU = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutFigures:
    """``best_iou`` (n,) of every held-out field with its best parcel; counts of parcels on labelled ground."""

    best_iou: NDArray[np.float64]
    quality: PanopticQuality

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Of all parts together."""
        counts = ("true_positives", "false_positives", "false_negatives", "iou_sum")
        return cls(
            best_iou=np.concatenate([each.best_iou for each in parts]),
            quality=PanopticQuality(**{n: sum(getattr(e.quality, n) for e in parts) for n in counts}),
        )

    @property
    def pq(self) -> float:
        return self.quality.pq

    @property
    def fields(self) -> int:
        return len(self.best_iou)

    @property
    def mean_best_iou(self) -> float:
        return float(self.best_iou.mean())

    @property
    def recall(self) -> float:
        """Share of fields whose best IoU is above one half."""
        return float((self.best_iou > _MATCH_IOU).mean())

    def is_worse_than(self, other: HeldOutFigures) -> bool:
        """By panoptic quality; by the mean best IoU where that is equal."""
        return (self.pq, self.mean_best_iou) < (other.pq, other.mean_best_iou)

    def to_metrics(self) -> dict[str, float]:
        """By name, as in ``bundle.json``."""
        figures = {"PQ": self.pq, "mean best IoU": self.mean_best_iou, "recall at IoU 0.5": self.recall}
        return {name: round(value, 4) for name, value in figures.items()}

    def is_beaten_by(self, other: HeldOutFigures) -> bool:
        """Whether ``other`` is better on the same fields and their best IoU gains more, on average, than its standard
        error. Where nothing was learned that still happens in about one case of six, by chance."""
        gain, error = self._gain(other)
        return self.is_worse_than(other) and gain > error

    def gain(self, other: HeldOutFigures) -> str:
        """What ``other`` gains on the same fields, with the standard error, in words."""
        gain, error = self._gain(other)
        return (
            f"PQ {self.pq:.3f} -> {other.pq:.3f}, mean best IoU {self.mean_best_iou:.3f} -> "
            f"{other.mean_best_iou:.3f} (gain {gain:+.3f}, standard error {error:.3f})"
        )

    def _gain(self, other: HeldOutFigures) -> tuple[float, float]:
        gain = other.best_iou - self.best_iou
        error = float(gain.std(ddof=1)) / math.sqrt(len(gain)) if len(gain) > 1 else math.inf
        return float(gain.mean()), error


def held_out_scenes(config: TrainingConfig) -> list[LabelledScene]:
    """The labelled scenes among a configuration's validation data."""
    return [
        LabelledScene.open(each, bands=config.bands, classes=config.classes)
        for each in config.validation
        if isinstance(each, VectorData)
    ]


def score_held_out(bundle: Bundle, parts: Sequence[LabelledScene], *, threads: int) -> HeldOutFigures:
    """Map the surroundings of all chosen fields of ``parts`` and compare."""
    best: list[NDArray[np.float64]] = []
    n_false = 0
    counts: dict[int, PanopticQuality] = {_PARCEL: PanopticQuality()}
    full = all(part.fields.known == "full" for part in parts)
    for part in parts:
        grid = part.scene.grid.scaled(OUTPUT_SCALE)
        outlines = part.fields.outlines[part.fields.chosen]
        drawn = geopandas.GeoDataFrame(geometry=_on_ground(outlines, part), crs=grid.crs)
        around = shapely.box(*_grown(shapely.bounds(outlines)).T)
        with tempfile.TemporaryDirectory(prefix="geopanoptic-") as scratch:
            area = Path(scratch) / "area.gpkg"
            geopandas.GeoDataFrame(geometry=_on_ground(around, part), crs=grid.crs).to_file(area)
            result = run(
                part.scene,
                Path(scratch) / "map.gpkg",
                model=bundle.path,
                aoi=area,
                simplify_m=0,
                tile_px=_TILE_PX,
                threads=threads,
            )
            parcels = result.parcels
        agreement = compare(parcels, drawn)
        best.append(agreement.best_iou)
        if full:
            _count(counts, parcels, part, around)
        else:
            n_false += false_parcels(parcels, drawn, agreement)
    best_iou = np.concatenate(best)
    if full:
        return HeldOutFigures(best_iou=best_iou, quality=counts[_PARCEL])
    met = best_iou[best_iou > _MATCH_IOU]
    quality = PanopticQuality(
        true_positives=len(met),
        false_positives=n_false,
        false_negatives=len(best_iou) - len(met),
        iou_sum=float(met.sum()),
    )
    return HeldOutFigures(best_iou=best_iou, quality=quality)


def false_parcels(
    parcels: geopandas.GeoDataFrame, drawn: geopandas.GeoDataFrame, agreement: SparseAgreement
) -> int:
    """How many parcels lie for the most part on drawn fields without matching one."""
    ground = shapely.union_all(drawn.to_crs(parcels.crs).geometry.to_numpy())
    shapes = parcels.geometry.to_numpy()
    false = shapely.area(shapely.intersection(shapes, ground)) > 0.5 * shapely.area(shapes)
    false[agreement.best_parcel[agreement.best_iou > _MATCH_IOU]] = False
    return int(false.sum())


def _count(
    counts: dict[int, PanopticQuality],
    parcels: geopandas.GeoDataFrame,
    part: LabelledScene,
    around: NDArray[np.object_],
) -> None:
    """Add true and predicted parcels within ``around`` (label pixels) to the counts of the COCO protocol."""
    from rasterio.features import rasterize

    grid = part.scene.grid.scaled(OUTPUT_SCALE)
    left, top, right, bottom = shapely.total_bounds(around)
    window = Window(int(top), int(left), int(bottom), int(right)).intersection(grid.window)
    if window is None:
        return
    truth = part.fields.rasterise(window)
    predicted = np.zeros(window.shape, np.int32)
    if len(parcels):
        shapes = zip(parcels.geometry, range(1, len(parcels) + 1), strict=True)
        rasterize(shapes, out=predicted, transform=grid.crop(window).transform)
    add_image(
        counts,
        predicted,
        dict.fromkeys(range(len(parcels) + 1), _PARCEL),
        np.maximum(truth, 0),
        dict.fromkeys(range(len(part.fields.outlines) + 1), _PARCEL),
        void=truth < 0,
    )


def _grown(bounds: NDArray[np.float64]) -> NDArray[np.float64]:
    margin = _MARGIN_PX * OUTPUT_SCALE
    return bounds + np.array([-margin, -margin, margin, margin])


def _on_ground(shapes_px: NDArray[np.object_], part: LabelledScene) -> NDArray[np.object_]:
    """Shapes in label pixels as shapes in the scene's CRS."""
    transform = part.scene.grid.scaled(OUTPUT_SCALE).transform
    ground: NDArray[np.object_] = shapely.transform(
        shapes_px, lambda xy: np.column_stack(transform @ (xy[:, 0], xy[:, 1]))
    )
    return ground
