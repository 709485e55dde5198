"""PASTIS: patches of 1,280 m with whole seasons of images and declared parcels (Garnot and Landrieu, ICCV 2021).

Parcels are instances of their crop, ground that nobody declared is known to be no parcel, and void parcels
(mostly outside the patch) are unlabelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from geopanoptic.errors import UsageError
from geopanoptic.models.manifest import ClassSpec, FixedNormalisation, channels_of
from geopanoptic.training.datasets.channels import class_lookup
from geopanoptic.training.datasets.settings import DataSettings, PastisData
from geopanoptic.training.pastis.folder import BACKGROUND, CROPS, VOID, PastisFolder, PastisPatch, Sensor
from geopanoptic.training.pastis.folds import FOLDS
from geopanoptic.training.pastis.season import SeasonReader, ranges_of_folds
from geopanoptic.training.patches.patch import OUTPUT_SCALE
from geopanoptic.training.patches.series_patch import SeriesPatch
from geopanoptic.training.patches.targets import IGNORED

_UNSEEN = (0.0, 1.0)  # range of a band of the network that the data do not have


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pastis:
    """Crops of the patches of one part of an experiment.

    Channels of crops follow the class names; without a class of its name a crop is the only thing class there
    is, and else of unknown class.
    """

    patches: tuple[PastisPatch, ...]
    reader: SeasonReader
    channel_of: NDArray[np.uint8]

    @classmethod
    def open(cls, settings: PastisData, *, bands: Sequence[str], classes: Sequence[ClassSpec]) -> Self:
        """Read the metadata and the moments of the training folds.

        Raises ``UsageError`` where they are missing or the folds hold no patch.
        """
        folder = PastisFolder.open(settings.folder)
        folds, sensors = FOLDS[settings.fold], sensors_of(settings)
        patches = folder.in_folds(folds[settings.part])
        reader = SeasonReader(
            folder=folder,
            bands=tuple(bands),
            sensors=sensors,
            ranges=ranges_of_folds(folder, folds["training"], sensors),
        )
        return cls(patches=patches, reader=reader, channel_of=channels_of_classes(classes))

    @property
    def bands(self) -> tuple[str, ...]:
        return self.reader.bands

    def draw(self, size_px: int, rng: np.random.Generator, *, sample: int) -> SeriesPatch:
        chosen = self.patches[rng.integers(len(self.patches))]
        season, labels = self.reader(chosen), self.reader.folder.labels(chosen)
        instances_hw = np.where(labels.target_hw == VOID, -1, labels.instances_hw).astype(np.int32)
        return SeriesPatch(
            image_tchw=season.image_tchw,
            seen_tchw=season.seen_tchw,
            day_t=season.day_t,
            instances_hw=instances_hw.repeat(OUTPUT_SCALE, 0).repeat(OUTPUT_SCALE, 1),
            classes_hw=self.channel_of[labels.target_hw].repeat(OUTPUT_SCALE, 0).repeat(OUTPUT_SCALE, 1),
        ).random_window(size_px, rng)


def sensors_of(settings: PastisData) -> tuple[Sensor, ...]:
    """What is shown, Sentinel-2 first."""
    return ("S2", *dict.fromkeys(settings.radar))


def channels_of_classes(classes: Sequence[ClassSpec]) -> NDArray[np.uint8]:
    """Table from a class of PASTIS (0..255) to the network's channel, ``IGNORED`` where it has none."""
    channel_of = class_lookup(dict(enumerate((BACKGROUND, *CROPS))), classes)
    things = channels_of(classes, "thing")
    if len(things) == 1:
        channel_of[1:VOID] = np.where(channel_of[1:VOID] == IGNORED, things[0], channel_of[1:VOID])
    return channel_of


def normalisation_of(settings: Sequence[DataSettings], bands: Sequence[str]) -> FixedNormalisation | None:
    """What a network trained on ``settings`` has to be shown: the ranges of the PASTIS experiment among them.

    None without PASTIS data: scenes then go by their own percentiles. Raises ``UsageError`` where the sources
    would need different normalisations.
    """
    seasons = [each for each in settings if isinstance(each, PastisData)]
    if not seasons:
        return None
    first = seasons[0]
    if len(seasons) < len(settings) or any((s.folder, s.fold) != (first.folder, first.fold) for s in seasons):
        raise UsageError(
            "Data of PASTIS, which are normalised by their training folds, are mixed with other data.",
            remedy="Train on one experiment of PASTIS alone.",
        )
    ranges = ranges_of_folds(
        PastisFolder.open(first.folder), FOLDS[first.fold]["training"], sensors_of(first)
    )
    low, high = zip(*(ranges.get(band, _UNSEEN) for band in bands), strict=True)
    return FixedNormalisation(kind="fixed", low=low, high=high)
