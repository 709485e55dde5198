"""Generated scenes, new ones all the time: scene n of a seed is always the same scene.

Some scenes are in hand at once and every crop comes from one of them, so that a batch shows different
country; as samples are drawn the oldest scene gives way to a new one.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from geopanoptic.models.manifest import ClassSpec
from geopanoptic.training.datasets.channels import cover_lookup, in_channels
from geopanoptic.training.datasets.settings import GeneratedData
from geopanoptic.training.datasets.stretch import stretched
from geopanoptic.training.patches.patch import Patch
from geopanoptic.training.synthetic import BANDS
from geopanoptic.training.synthetic.landscape import Landscape
from geopanoptic.training.synthetic.outlines import RealParcels
from geopanoptic.training.synthetic.painting import paint
from geopanoptic.training.synthetic.scene import landscape_like

Thing = TypeVar("Thing")
_IN_HAND = 8


class Generated:
    """Crops of scenes from ``training.synthetic``."""

    def __init__(
        self, settings: GeneratedData, *, bands: Sequence[str], classes: Sequence[ClassSpec]
    ) -> None:
        self._settings, self.bands = settings, tuple(bands)
        self._parcels = [RealParcels.read(path) for path in settings.outlines]
        self._channel_of_cover = cover_lookup(classes)
        # A thread that asks for a scene under construction would build it a second time, to the same end.
        self._scene = functools.lru_cache(maxsize=2 * _IN_HAND)(self._build)

    def draw(self, size_px: int, rng: np.random.Generator, *, sample: int) -> Patch:
        oldest = sample // self._settings.crops_per_scene
        return self._scene(oldest + int(rng.integers(_IN_HAND))).random_window(size_px, rng)

    def _build(self, number: int) -> Patch:
        size = self._settings.scene_px
        rng = np.random.default_rng([self._settings.seed, number])
        of_scene = np.random.default_rng(int(rng.integers(2**62)))
        landscape, image = self._paint((size, size), of_scene, [self._settings.seed, number, 1])
        valid = np.ones((size, size), np.bool_)
        image, seen = in_channels(stretched(image, valid, rng), valid, BANDS, self.bands)
        return Patch(
            image_chw=image,
            seen_chw=seen,
            instances_hw=landscape.instances,
            classes_hw=self._channel_of_cover[landscape.cover],
        )

    def _paint(
        self, shape: tuple[int, int], rng: np.random.Generator, choice_seed: list[int]
    ) -> tuple[Landscape, NDArray[np.float32]]:
        """Country at twice the resolution of its image; as ``generate_scene`` where nothing else is asked for."""
        settings, choice = self._settings, np.random.default_rng(choice_seed)
        landscape = landscape_like(
            (2 * shape[0], 2 * shape[1]),
            rng,
            character=_one_of(settings.characters, choice),
            parcels=_one_of(self._parcels, choice),
            pixel_m=float(choice.choice(settings.pixel_size_m)) / 2,
        )
        return landscape, paint(landscape, rng, alike_edges=choice.uniform(*settings.alike_edges))


def _one_of(things: Sequence[Thing], rng: np.random.Generator) -> Thing | None:
    return things[int(rng.integers(len(things)))] if things else None
