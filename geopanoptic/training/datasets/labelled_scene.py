"""Patches of a scene with polygons of its parcels.

Every date is normalised by the scene's percentiles exactly as ``geopanoptic run`` does. Nothing is rasterised or
read but the windows that are drawn, so a scene may be of any size.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np
import shapely
import shapely.geometry
from affine import Affine
from numpy.typing import NDArray

from geopanoptic.errors import UsageError
from geopanoptic.grid import Window
from geopanoptic.models.manifest import ClassSpec, channels_of
from geopanoptic.scene import Normalisation, Scene, measure, open_scene
from geopanoptic.scene.season import middle_latitude_deg, season_day
from geopanoptic.training.datasets.settings import VectorData
from geopanoptic.training.datasets.vectors import (
    GAP_PX,
    LEAST_AREA_PX,
    Fields,
    folds_of,
    read_fields,
)
from geopanoptic.training.patches.patch import OUTPUT_SCALE, labels_of
from geopanoptic.training.patches.series_patch import SeriesPatch
from geopanoptic.training.patches.targets import IGNORED

if TYPE_CHECKING:
    import geopandas

_TILE_PX = 256
_CACHED_TILES = 256
_EDGE_PX = 8  # the field that a patch is drawn for lies at least so far inside


def scene_of(settings: VectorData) -> Scene:
    """The scene of labelled fields, in the pixels that the network is shown. Raises SceneError as ``open_scene``."""
    source = settings.scene if isinstance(settings.scene, str) else list(settings.scene)
    scene = open_scene(source, bands=settings.bands, dates=settings.dates, assume_crs=settings.assume_crs)
    return scene.for_network(settings.pixel_m)


def shown_fields(fields: Fields, scene: Scene, bands: Sequence[str]) -> NDArray[np.bool_]:
    """Which fields (n,) have ``LEAST_AREA_PX`` label pixels where a date of the scene shows all of ``bands`` that it has.

    Only ground with fields is read, tile by tile.
    """
    from rasterio.features import shapes

    area_px = shapely.area(fields.outlines)
    for tile in scene.grid.blocks(_TILE_PX):
        fine = tile.scaled(OUTPUT_SCALE)
        near = fields.tree.query(shapely.box(fine.col0, fine.row0, fine.col1, fine.row1))
        if not len(near):
            continue
        shown = np.zeros(tile.shape, np.bool_)
        for date in scene.single_dates():
            if not shown.all():
                shown |= date.read(tile, [band for band in bands if band in date.bands])[1]
        if not shown.all():
            to_px = Affine.translation(fine.col0, fine.row0) @ Affine.scale(OUTPUT_SCALE)
            parts = shapes((~shown).astype(np.uint8), mask=~shown, transform=to_px)
            hidden = shapely.union_all([shapely.geometry.shape(part) for part, _ in parts])
            area_px[near] -= shapely.area(shapely.intersection(fields.outlines[near], hidden))
    return area_px >= LEAST_AREA_PX  # type: ignore[no-any-return]


def chosen_fields(
    settings: VectorData, scene: Scene, bands: Sequence[str]
) -> tuple[geopandas.GeoDataFrame, Fields]:
    """The labels of a scene as they are and as ``Fields``, with the part of ``settings`` chosen.

    Raises ``UsageError`` for the labels (see ``read_fields``) and where the part holds no field.
    """
    frame, _ = read_fields(settings.labels, scene.grid, layer=settings.layer)
    fields = Fields.of(frame, scene.grid, known=settings.known)
    if settings.dealt is None:
        chosen = shown_fields(fields, scene, bands)
        (fold,) = folds_of([frame], [scene.grid], folds=settings.folds, block_m=settings.block_m)
    elif len(settings.dealt) != len(frame):
        raise UsageError(
            f"{settings.labels} has {len(frame)} fields on {scene.name}, and {len(settings.dealt)} were dealt.",
            remedy="Leave the labels as they are while a training goes on.",
        )
    else:
        fold = np.array(settings.dealt)
        chosen = fold >= 0
    if settings.fold is not None:
        chosen &= (fold == settings.fold) == (settings.part == "held-out")
    if not chosen.any():
        of_fold = "" if settings.fold is None else f" in its {settings.part} part (fold {settings.fold})"
        raise UsageError(
            f"{settings.labels} has no field of at least {LEAST_AREA_PX} output pixels that {scene.name} shows{of_fold}.",
            remedy="Give more fields, smaller blocks (block_m) or fewer folds.",
        )
    return frame, replace(fields, chosen=chosen)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledScene:
    """Patches around labelled fields of a scene, each field with the same chance, on all of its dates."""

    scene: Scene
    dates: tuple[Scene, ...]
    """The scene of each date alone."""
    day_t: NDArray[np.float32]
    fields: Fields
    bands: tuple[str, ...]
    """The network's."""
    normalisation: Normalisation
    """Of those of them that the scene has."""
    thing: int
    """Class of the fields; ``IGNORED`` where the network knows several kinds, of which the labels say nothing."""

    @classmethod
    def open(cls, settings: VectorData, *, bands: Sequence[str], classes: Sequence[ClassSpec]) -> Self:
        """Open the scene, read the labels and choose the part of ``settings``.

        Raises ``SceneError`` where the scene cannot be read or shares no band with the network, ``UsageError``
        for the labels (see ``read_fields``) and where the part holds no field.
        """
        scene = scene_of(settings)
        dates, things = scene.single_dates(), channels_of(classes, "thing")
        present = tuple(band for band in bands if band in scene.bands)
        dates[0].layers_of(present or bands)
        _, fields = chosen_fields(settings, scene, present)
        latitude_deg = middle_latitude_deg(scene.grid)
        return cls(
            scene=scene,
            dates=dates,
            day_t=np.array([season_day(each.dates[0], latitude_deg) for each in dates], np.float32),
            fields=fields,
            bands=tuple(bands),
            normalisation=measure(scene, present),
            thing=things[0] if len(things) == 1 else IGNORED,
        )

    def draw(self, size_px: int, rng: np.random.Generator, *, sample: int) -> SeriesPatch:
        field = self.fields.outlines[rng.choice(np.flatnonzero(self.fields.chosen))]
        middle = shapely.point_on_surface(field)
        col, row = (value / OUTPUT_SCALE for value in (middle.x, middle.y))
        reach = max(size_px // 2 - _EDGE_PX, 0)
        spans = []
        for centre, length in zip((row, col), self.scene.grid.shape, strict=True):
            start = round(centre - size_px / 2) + int(rng.integers(-reach, reach + 1))
            start = min(max(start, 0), max(length - size_px, 0))
            spans.append((start, min(start + size_px, length)))
        (top, bottom), (left, right) = spans
        return self.read(Window(top, left, bottom, right))

    def read(self, window: Window) -> SeriesPatch:
        """Images and labels of a window of the scene's pixels, which lies inside the scene."""
        image = np.zeros((len(self.dates), len(self.bands), *window.shape), np.float32)
        seen = np.zeros(image.shape, np.bool_)
        for number, date in enumerate(self.dates):
            present = tuple(band for band in self.normalisation.bands if band in date.bands)
            channels = [self.bands.index(band) for band in present]
            values, valid = self._pixels(date, present, window)
            image[number, channels], seen[number, channels] = values, valid
        fine = window.scaled(OUTPUT_SCALE)
        instances = self.fields.rasterise(fine.grown(GAP_PX))[GAP_PX:-GAP_PX, GAP_PX:-GAP_PX]
        return SeriesPatch(
            image_tchw=image,
            seen_tchw=seen,
            day_t=self.day_t,
            instances_hw=instances,
            classes_hw=labels_of(instances, thing=self.thing),
        )

    def _pixels(
        self, date: Scene, present: tuple[str, ...], window: Window
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        image = np.zeros((len(present), *window.shape), np.float32)
        valid = np.zeros(window.shape, np.bool_)
        normalisation = self.normalisation.select(present)
        cover = window.covering(_TILE_PX)
        for row in range(cover.row0, cover.row1):
            for col in range(cover.col0, cover.col1):
                tile = Window(row, col, row + 1, col + 1).scaled(_TILE_PX)
                part = tile.intersection(window)
                if part is not None:
                    values, usable = _tile(date, normalisation, present, tile)
                    image[(slice(None), *part.slices(window))] = values[(slice(None), *part.slices(tile))]
                    valid[part.slices(window)] = usable[part.slices(tile)]
        return image, valid


@functools.lru_cache(maxsize=_CACHED_TILES)
def _tile(
    scene: Scene, normalisation: Normalisation, bands: tuple[str, ...], tile: Window
) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
    """Normalised pixels of one tile of a fixed lattice: crops overlap, and decoding is slow."""
    values, valid = scene.read(tile, bands)
    return normalisation.apply(values, valid).astype(np.float16), valid
