"""Sources of labelled patches, one module per kind; ``open_dataset`` turns settings into a source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from geopanoptic.models.manifest import ClassSpec
from geopanoptic.training.datasets.settings import (
    CocoData,
    DataSettings,
    GeneratedData,
    PastisData,
    PoolData,
    SeasonPoolData,
)
from geopanoptic.training.patches.patch import Patch
from geopanoptic.training.patches.series_patch import SeriesPatch


class Dataset(Protocol):
    """An endless source of patches."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of a patch's bands, in their order."""

    def draw(self, size_px: int, rng: np.random.Generator, *, sample: int) -> Patch | SeriesPatch:
        """A patch of at most ``size_px`` squared image pixels.

        It depends on ``rng`` and on ``sample``, the number of the sample in its run, and on nothing else,
        whichever thread asks; so a run can be resumed and spread over processes.
        """


def open_dataset(settings: DataSettings, *, bands: Sequence[str], classes: Sequence[ClassSpec]) -> Dataset:
    """The source that ``settings`` describe, giving ``bands`` and the channel numbers of ``classes``.

    Raises ``UsageError`` or ``SceneError`` where files are missing, unreadable or do not fit.
    """
    if isinstance(settings, PoolData):
        from geopanoptic.training.datasets.pool import Pool

        return Pool.open(settings.folder, bands=bands, classes=classes)
    if isinstance(settings, SeasonPoolData):
        from geopanoptic.training.datasets.season_pool import SeasonPool

        return SeasonPool.open(settings.folder, bands=bands, classes=classes)
    if isinstance(settings, GeneratedData):
        from geopanoptic.training.datasets.generated import Generated

        return Generated(settings, bands=bands, classes=classes)
    if isinstance(settings, PastisData):
        from geopanoptic.training.datasets.pastis import Pastis

        return Pastis.open(settings, bands=bands, classes=classes)
    if isinstance(settings, CocoData):
        from geopanoptic.training.datasets.coco import CocoPanoptic

        return CocoPanoptic.open(settings, bands=bands, classes=classes)
    from geopanoptic.training.datasets.labelled_scene import LabelledScene

    return LabelledScene.open(settings, bands=bands, classes=classes)
