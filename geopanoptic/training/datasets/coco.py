"""COCO panoptic: images, PNG files whose colour is a segment's id, and a JSON file about the segments.

``id = R + 256 G + 65536 B`` (Kirillov et al., CVPR 2019); id 0 is unlabelled, a crowd of things as well.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from geopanoptic.errors import SceneError, UsageError
from geopanoptic.models.manifest import ClassSpec
from geopanoptic.scene.datasets import open_dataset
from geopanoptic.scene.formats import driver_of
from geopanoptic.scene.sources import SourceFile
from geopanoptic.training.datasets.channels import in_channels
from geopanoptic.training.datasets.settings import CocoData
from geopanoptic.training.datasets.stretch import stretched
from geopanoptic.training.patch import OUTPUT_SCALE, Patch
from geopanoptic.training.targets import IGNORED

_CACHED_IMAGES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One entry of ``segments_info``; ``channel`` is its class in the network, ``IGNORED`` for none."""

    id: int
    is_thing: bool
    is_crowd: bool
    channel: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatedImage:
    """Where image and segments lie, and what the segments are."""

    image: Path
    panoptic: Path
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoPanoptic:
    """Crops of annotated images, each image with the same chance."""

    images: tuple[AnnotatedImage, ...]
    have: tuple[str, ...]
    bands: tuple[str, ...]

    @classmethod
    def open(cls, settings: CocoData, *, bands: Sequence[str], classes: Sequence[ClassSpec]) -> Self:
        """Read the JSON file. Raises ``UsageError`` where it is no COCO panoptic file or holds no image."""
        path = settings.annotations
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            images = _annotated(content, settings, classes)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{path} is no COCO panoptic file: {type(error).__name__} {error}.",
                remedy="It needs images, annotations with segments_info, and categories.",
            ) from None
        if not images:
            raise UsageError(f"{path} annotates no image.", remedy="Export the annotations again.")
        return cls(images=images, have=tuple(settings.bands.split(",")), bands=tuple(bands))

    def draw(self, size_px: int, rng: np.random.Generator, *, sample: int) -> Patch:
        chosen = self.images[rng.integers(len(self.images))]
        return _read(chosen, self.have, self.bands).random_window(size_px, rng)


def _annotated(
    content: dict[str, Any], settings: CocoData, classes: Sequence[ClassSpec]
) -> tuple[AnnotatedImage, ...]:
    channel_of = {each.name: channel for channel, each in enumerate(classes)}
    categories = {each["id"]: each for each in content["categories"]}
    file_of = {each["id"]: each["file_name"] for each in content["images"]}

    def segment(info: dict[str, Any]) -> Segment:
        category = categories[info["category_id"]]
        name = settings.classes.get(category["name"], category["name"])
        return Segment(
            id=int(info["id"]),
            is_thing=bool(category["isthing"]),
            is_crowd=bool(info.get("iscrowd", 0)),
            channel=channel_of.get(name, IGNORED),
        )

    return tuple(
        AnnotatedImage(
            image=settings.images / file_of[each["image_id"]],
            panoptic=settings.panoptic / each["file_name"],
            segments=tuple(segment(info) for info in each["segments_info"]),
        )
        for each in content["annotations"]
    )


@functools.lru_cache(maxsize=_CACHED_IMAGES)
def _read(annotated: AnnotatedImage, have: tuple[str, ...], bands: tuple[str, ...]) -> Patch:
    values, valid = _pixels(annotated.image)
    if len(values) < len(have):
        raise UsageError(
            f"{annotated.image} has {len(values)} bands, the configuration names {len(have)}: "
            f"{', '.join(have)}.",
            remedy="Correct bands.",
        )
    colours, _ = _pixels(annotated.panoptic)
    if colours.shape[0] < 3 or colours.shape[1:] != valid.shape:
        raise UsageError(
            f"{annotated.panoptic} is {colours.shape}, its image {values.shape}.",
            remedy="A panoptic PNG has three channels and its image's size.",
        )
    ids = (colours[:3].astype(np.int64) * np.array([1, 256, 65536])[:, None, None]).sum(0)
    instances, classes = _labels(ids, annotated)
    image, seen = in_channels(stretched(values[: len(have)], valid), valid, have, bands)
    return Patch(
        image_chw=image,
        seen_chw=seen,
        instances_hw=instances.repeat(OUTPUT_SCALE, 0).repeat(OUTPUT_SCALE, 1),
        classes_hw=classes.repeat(OUTPUT_SCALE, 0).repeat(OUTPUT_SCALE, 1),
    )


def _labels(
    ids_hw: NDArray[np.int64], annotated: AnnotatedImage
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    found, index_hw = np.unique(ids_hw, return_inverse=True)
    of_id = {segment.id: segment for segment in annotated.segments}
    unknown = [int(each) for each in found if each and int(each) not in of_id]
    if unknown:
        raise UsageError(
            f"{annotated.panoptic} shows the id {unknown[0]}, which its JSON file does not describe.",
            remedy="PNG and JSON must come from one export.",
        )
    instance, channel = np.full(len(found), -1, np.int32), np.full(len(found), IGNORED, np.uint8)
    for number, each in enumerate(found):
        segment = of_id.get(int(each))
        if segment is not None and not segment.is_crowd:
            instance[number] = number + 1 if segment.is_thing else 0
            channel[number] = segment.channel
    index_hw = index_hw.reshape(ids_hw.shape)
    return instance[index_hw], channel[index_hw]


def _pixels(path: Path) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """All bands and the validity of one file, by the formats that scenes may have."""
    driver = driver_of(path)
    status = path.stat()
    source = SourceFile(
        path=path,
        name=path.name,
        driver=driver,
        size_bytes=status.st_size,
        mtime_ns=status.st_mtime_ns,
    )
    try:
        with open_dataset(source) as opened:
            return opened.read(), opened.dataset_mask() > 0
    except RasterioError as error:
        raise SceneError(f"{path} cannot be read: {error}.", remedy="Export the images again.") from None
