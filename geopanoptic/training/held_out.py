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

from geopanoptic.errors import SceneError, UsageError
from geopanoptic.evaluation.metrics.panoptic_quality import PanopticQuality, add_image
from geopanoptic.evaluation.sparse import SparseAgreement, compare
from geopanoptic.grid import Window
from geopanoptic.models.bundle import Bundle
from geopanoptic.pipeline.planning.suitability import check_one_date, matching_bands
from geopanoptic.pipeline.run import run
from geopanoptic.reprojection import reprojected
from geopanoptic.scene import Scene
from geopanoptic.training.config import TrainingConfig
from geopanoptic.training.datasets.labelled_scene import LabelledScene, chosen_fields, scene_of
from geopanoptic.training.datasets.settings import GeneratedData, VectorData
from geopanoptic.training.datasets.vectors import lying_on
from geopanoptic.training.patches.patch import OUTPUT_SCALE

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
        """Whether ``other`` is better on the same fields and their best IoU gains more, on average, than twice its
        standard error. Where nothing was learned that still happens in about one case of forty, by chance.

        Once the standard error let weights through that drew ground without labels worse: where a model knows such
        country already there is next to nothing to gain, and where it does not, the gain is many times that.
        """
        gain, error = self._gain(other)
        return self.is_worse_than(other) and gain > 2 * error

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


def check_validation(config: TrainingConfig) -> None:
    """Whether validation is of ground and fields that training does not see, and can be mapped after it.

    Raises ``UsageError`` for fields or generated scenes that are learned as well, ``SceneError`` for scenes that the network
    does not take. Only headers and the ground of labels are read.
    """
    seeds = {each.seed for each in config.data if isinstance(each, GeneratedData)}
    learned: dict[int, geopandas.GeoDataFrame] = {}
    for number, each in enumerate(config.validation):
        if isinstance(each, GeneratedData) and each.seed in seeds:
            raise UsageError(
                f"validation.{number} shows the generated scenes of seed {each.seed}, which training sees.",
                remedy=f"Give it another seed, such as seed: {max(seeds) + 1}.",
            )
        if not isinstance(each, VectorData):
            continue
        scene = scene_of(each)
        _check_taken(scene, config, f"validation.{number}")
        drawn = _chosen(each, scene, config.bands)
        for other, data in enumerate(config.data):
            if not isinstance(data, VectorData):
                continue
            if other not in learned:
                learned[other] = _chosen(data, scene_of(data), config.bands)
            there = learned[other].crs
            moved = geopandas.GeoDataFrame(
                geometry=reprojected(drawn.geometry.to_numpy(), drawn.crs, there), crs=there
            )
            again = int((compare(learned[other], moved).best_iou > _MATCH_IOU).sum())
            if again:
                raise UsageError(
                    f"{again} of the {len(drawn)} fields of validation.{number} ({each.labels.name}) are learned from "
                    f"data.{other} ({data.labels.name}).",
                    remedy="Give both the same scene, labels, folds, block_m and fold, and validation part: held-out; or "
                    "validate on labels of other fields.",
                )


def _check_taken(scene: Scene, config: TrainingConfig, place: str) -> None:
    try:
        matching_bands(scene, config.bands, model=config.name)
        if config.network.temporal is None:
            check_one_date(scene, model=config.name)
    except SceneError as refusal:
        raise SceneError(
            f"{place}: {refusal.message}",
            remedy="Name its bands or one of its dates there (bands, dates), or train a network of series "
            "(network.temporal).",
        ) from None


def _chosen(settings: VectorData, scene: Scene, bands: Sequence[str]) -> geopandas.GeoDataFrame:
    frame, fields = chosen_fields(settings, scene, [band for band in bands if band in scene.bands])
    return frame[fields.chosen]


def held_out_scenes(config: TrainingConfig) -> list[LabelledScene]:
    """The labelled scenes among a configuration's validation data."""
    return [
        LabelledScene.open(each, bands=config.bands, classes=config.classes)
        for each in config.validation
        if isinstance(each, VectorData)
    ]


def score_held_out(bundle: Bundle, parts: Sequence[LabelledScene], *, threads: int) -> HeldOutFigures:
    """Map the surroundings of all chosen fields of ``parts`` and compare, as far as their scenes show them."""
    best: list[NDArray[np.float64]] = []
    n_false = 0
    counts: dict[int, PanopticQuality] = {_PARCEL: PanopticQuality()}
    full = all(part.fields.known == "full" for part in parts)
    for part in parts:
        grid = part.scene.grid.scaled(OUTPUT_SCALE)
        outlines = part.fields.outlines[part.fields.chosen]
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
            mapped = shapely.union_all([*parcels.geometry, *result.landcover.geometry])
        drawn = geopandas.GeoDataFrame(
            geometry=lying_on(mapped, shapely.make_valid(_on_ground(outlines, part))), crs=grid.crs
        )
        agreement = compare(parcels, drawn)
        best.append(agreement.best_iou)
        if full:
            _count(counts, parcels, part, around, mapped)
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
    mapped: shapely.Geometry,
) -> None:
    """Add true and predicted parcels within ``around`` (label pixels) to the counts of the COCO protocol; ground that is
    not ``mapped`` has no data."""
    from rasterio.features import rasterize

    grid = part.scene.grid.scaled(OUTPUT_SCALE)
    left, top, right, bottom = shapely.total_bounds(around)
    window = Window(int(top), int(left), int(bottom), int(right)).intersection(grid.window)
    if window is None:
        return
    truth = part.fields.rasterise(window)
    predicted, shown = np.zeros((2, *window.shape), np.int32)
    transform = grid.crop(window).transform
    if len(parcels):
        shapes = zip(parcels.geometry, range(1, len(parcels) + 1), strict=True)
        rasterize(shapes, out=predicted, transform=transform)
    if not mapped.is_empty:
        rasterize([mapped], out=shown, transform=transform)
    add_image(
        counts,
        predicted,
        dict.fromkeys(range(len(parcels) + 1), _PARCEL),
        np.maximum(truth, 0),
        dict.fromkeys(range(len(part.fields.outlines) + 1), _PARCEL),
        void=(truth < 0) | (shown == 0),
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
