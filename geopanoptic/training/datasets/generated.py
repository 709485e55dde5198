"""Generated scenes, new ones all the time: scene n of a seed is always the same scene.

Some scenes are in hand at once and every crop comes from one of them, so that a batch shows different
country; as samples are drawn the oldest scene gives way to a new one.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from geopanoptic.models.manifest import ClassSpec
from geopanoptic.training.datasets.channels import cover_lookup, in_channels
from geopanoptic.training.datasets.settings import GeneratedData
from geopanoptic.training.datasets.stretch import stretched
from geopanoptic.training.patches.patch import Patch
from geopanoptic.training.synthetic import BANDS, generate_scene

_IN_HAND = 8


class Generated:
    """Crops of scenes from ``training.synthetic``."""

    def __init__(
        self, settings: GeneratedData, *, bands: Sequence[str], classes: Sequence[ClassSpec]
    ) -> None:
        self._settings, self.bands = settings, tuple(bands)
        self._channel_of_cover = cover_lookup(classes)
        # A thread that asks for a scene under construction would build it a second time, to the same end.
        self._scene = functools.lru_cache(maxsize=2 * _IN_HAND)(self._build)

    def draw(self, size_px: int, rng: np.random.Generator, *, sample: int) -> Patch:
        oldest = sample // self._settings.crops_per_scene
        return self._scene(oldest + int(rng.integers(_IN_HAND))).random_window(size_px, rng)

    def _build(self, number: int) -> Patch:
        size = self._settings.scene_px
        rng = np.random.default_rng([self._settings.seed, number])
        scene = generate_scene((size, size), seed=int(rng.integers(2**62)))
        valid = np.ones((size, size), np.bool_)
        image, seen = in_channels(stretched(scene.image, valid, rng), valid, BANDS, self.bands)
        return Patch(
            image_chw=image,
            seen_chw=seen,
            instances_hw=scene.instances,
            classes_hw=self._channel_of_cover[scene.cover],
        )
