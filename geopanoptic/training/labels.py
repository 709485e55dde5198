"""What a person's labels offer for training, before any work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import geopandas
import numpy as np
from numpy.typing import NDArray

from geopanoptic.grid import Grid
from geopanoptic.models.bundle import Bundle
from geopanoptic.pipeline.planning.plan import make_plan
from geopanoptic.products.vector_files import layer_of_polygons, layers_of_file
from geopanoptic.training.datasets.labelled_scene import scene_of, shown_fields
from geopanoptic.training.datasets.settings import VectorData
from geopanoptic.training.datasets.vectors import Fields, folds_of, read_fields


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelSurvey:
    """One scene and its labels, told in ``text``.

    ``frame`` are all polygons on the scene's ``grid``, in its CRS; ``usable`` (n,) those large enough and shown.
    ``notes`` are what was left out. ``layer``: the one that was read of several.
    """

    text: str
    notes: tuple[str, ...]
    frame: geopandas.GeoDataFrame
    grid: Grid
    usable: NDArray[np.bool_]
    layer: str | None

    @property
    def fields(self) -> int:
        """How many are usable."""
        return int(self.usable.sum())

    @property
    def pixel_m(self) -> float:
        return max(self.grid.pixel_size_m())


def survey_labels(settings: VectorData, bundle: Bundle) -> LabelSurvey:
    """Open scene and labels and check them against the bundle.

    Raises ``SceneError`` where the scene cannot be read or lacks bands that the bundle needs, ``UsageError`` for
    the labels as ``read_fields`` does.
    """
    scene = scene_of(settings)
    planned = make_plan(scene, bundle)
    frame, notes = read_fields(settings.labels, scene.grid, layer=settings.layer)
    usable = shown_fields(Fields.of(frame, scene.grid, known=settings.known), scene, planned.bands)
    dropped = len(frame) - int(usable.sum())
    if dropped:
        notes = (*notes, f"{dropped} that the scene does not show, or too small to be seen, were left out")
    layers = layers_of_file(settings.labels)
    layer = layer_of_polygons(settings.labels, layers, settings.layer) if len(layers) > 1 else None
    return LabelSurvey(
        text=f"{settings.labels.name}{f', layer {layer}' if layer else ''}: {int(usable.sum())} fields ({settings.known}) on {scene.name}, "
        f"{scene.grid.width} x {scene.grid.height} px of {max(scene.grid.pixel_size_m()):.3g} m, bands {', '.join(planned.bands)}"
        + "".join(f"; {note}" for note in notes),
        notes=notes,
        frame=frame,
        grid=scene.grid,
        usable=usable,
        layer=layer,
    )


def deal(surveys: Sequence[LabelSurvey], *, folds: int) -> list[NDArray[np.int64]]:
    """The fold (n,) of every field of each survey, -1 of those that are not usable, dealt over all of them together."""
    usable = [each.frame[each.usable] for each in surveys]
    dealt = [np.full(len(each.frame), -1) for each in surveys]
    for survey, fold, of_all in zip(
        surveys, folds_of(usable, [each.grid for each in surveys], folds=folds), dealt, strict=True
    ):
        of_all[survey.usable] = fold
    return dealt
