"""What a person's labels offer for training, before any work."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyogrio

from geopanoptic.evaluation.vector_source import PARQUET_SUFFIXES, layer_of_polygons
from geopanoptic.models.bundle import Bundle
from geopanoptic.pipeline.plan import make_plan
from geopanoptic.products.literal import literally
from geopanoptic.training.datasets.labelled_scene import scene_of
from geopanoptic.training.datasets.settings import VectorData
from geopanoptic.training.datasets.vectors import folds_of, large_enough, read_fields


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSurvey:
    """One scene and its labels in a sentence; ``fields`` are the usable ones, large enough to be seen.

    ``layer``: the one that was read of several. ``can_hold_out``: every fold has fields.
    """

    text: str
    fields: int
    layer: str | None
    can_hold_out: bool
    pixel_m: float


def survey_labels(settings: VectorData, bundle: Bundle, *, folds: int) -> LabelSurvey:
    """Open scene and labels and check them against the bundle.

    Raises ``SceneError`` where the scene cannot be read or lacks bands that the bundle needs, ``UsageError`` for
    the labels as ``read_fields`` does.
    """
    scene = scene_of(settings)
    planned = make_plan(scene, bundle)
    frame, notes = read_fields(settings.labels, scene.grid, layer=settings.layer)
    usable = large_enough(frame, scene.grid)
    fold = folds_of(frame, scene.grid, folds=folds, block_m=settings.block_m)[usable]
    pixel_m = max(scene.grid.pixel_size_m())
    dropped = len(frame) - int(usable.sum())
    if dropped:
        notes = (*notes, f"{dropped} too small to be seen were left out")
    layer = _layer_read(settings)
    return LabelSurvey(
        text=f"{settings.labels.name}{f', layer {layer}' if layer else ''}: {int(usable.sum())} fields ({settings.known}) on {scene.name}, "
        f"{scene.grid.width} x {scene.grid.height} px of {pixel_m:.3g} m, bands {', '.join(planned.bands)}"
        + "".join(f"; {note}" for note in notes),
        fields=int(usable.sum()),
        layer=layer,
        can_hold_out=len(np.unique(fold)) == folds,
        pixel_m=pixel_m,
    )


def _layer_read(settings: VectorData) -> str | None:
    if settings.labels.suffix.lower() in PARQUET_SUFFIXES:
        return None
    with literally(settings.labels) as plain:
        several = len(pyogrio.list_layers(plain)) > 1
        return layer_of_polygons(plain, settings.layer) if several else None
