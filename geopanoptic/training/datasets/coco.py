"""COCO panoptic: images, PNG files whose colour is a segment's id, and a JSON file about the segments.

``id = R + 256 G + 65536 B`` (Kirillov et al., CVPR 2019); id 0 is unlabelled, a crowd of things as well.
"""

from __future__ import annotations

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
from geopanoptic.scene.bands.bandlist import listed_names, parse_band_list
from geopanoptic.scene.files.datasets import open_dataset
from geopanoptic.scene.files.formats import driver_of
from geopanoptic.scene.files.sources import SourceFile
from geopanoptic.training.datasets.channels import in_channels
from geopanoptic.training.datasets.recent import Recent
from geopanoptic.training.datasets.settings import CocoData
from geopanoptic.training.datasets.stretch import stretched
from geopanoptic.training.patches.patch import OUTPUT_SCALE, Patch
from geopanoptic.training.patches.targets import IGNORED
from geopanoptic.wording import did_you_mean, fault

_CACHED_BYTES = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One entry of ``segments_info``; ``channel`` is its class in the network, ``IGNORED`` for none."""

    id: int
    is_thing: bool
    is_crowd: bool
    channel: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatedImage:
    """Where image and segments lie, what the segments are, and the image's first bands."""

    image: Path
    panoptic: Path
    segments: tuple[Segment, ...]
    bands: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decoded:
    """An annotated image in its own pixels: stretched bands (C, h, w), validity, instances and channels (h, w)."""

    image_chw: NDArray[np.float32]
    valid_hw: NDArray[np.bool_]
    instances_hw: NDArray[np.int32]
    classes_hw: NDArray[np.uint8]

    @property
    def nbytes(self) -> int:
        arrays = (self.image_chw, self.valid_hw, self.instances_hw, self.classes_hw)
        return sum(array.nbytes for array in arrays)


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoPanoptic:
    """Crops of annotated images, each image with the same chance."""

    images: tuple[AnnotatedImage, ...]
    bands: tuple[str, ...]

    @classmethod
    def open(cls, settings: CocoData, *, bands: Sequence[str], classes: Sequence[ClassSpec]) -> Self:
        """Read the JSON file.

        Raises ``UsageError`` where it is no COCO panoptic file or holds no image, and where its categories or bands
        do not fit the network's.
        """
        path = settings.annotations
        shown = _named_bands(settings, bands)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            channel_of = _channel_of_category(content["categories"], settings, classes)
            images = _annotated(content, settings, channel_of, shown)
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise UsageError(
                f"{path} is no COCO panoptic file: {fault(error)}.",
                remedy="It needs images, annotations with segments_info, and categories.",
            ) from None
        if not images:
            raise UsageError(f"{path} annotates no image.", remedy="Export the annotations again.")
        return cls(images=images, bands=tuple(bands))

    def draw(self, size_px: int, rng: np.random.Generator, *, sample: int) -> Patch:
        chosen = self.images[rng.integers(len(self.images))]
        decoded = _decoded(chosen)
        row, col = (int(rng.integers(max(length - size_px, 0) + 1)) for length in decoded.valid_hw.shape)
        part = np.s_[..., row : row + size_px, col : col + size_px]
        image, seen = in_channels(decoded.image_chw[part], decoded.valid_hw[part], chosen.bands, self.bands)
        return Patch(
            image_chw=image,
            seen_chw=seen,
            instances_hw=decoded.instances_hw[part].repeat(OUTPUT_SCALE, 0).repeat(OUTPUT_SCALE, 1),
            classes_hw=decoded.classes_hw[part].repeat(OUTPUT_SCALE, 0).repeat(OUTPUT_SCALE, 1),
        )


def _named_bands(settings: CocoData, bands: Sequence[str]) -> tuple[str, ...]:
    """The images' bands, as the network calls them or by the names that ``--bands`` knows."""
    words = parse_band_list(settings.bands) or ()
    others = [word for word in words if word not in bands]
    name_of = dict(zip(others, listed_names(others), strict=True))
    names = tuple(name_of.get(word, word) for word in words)
    if set(names).isdisjoint(bands):
        raise UsageError(
            f"The images of {settings.annotations} show {', '.join(names)}, none of the network's bands: "
            f"{', '.join(bands)}.",
            remedy="Correct bands, of these data or of the network.",
        )
    return names


def _channel_of_category(
    categories: Sequence[dict[str, Any]], settings: CocoData, classes: Sequence[ClassSpec]
) -> dict[int, int]:
    """The network's channel by the id of a category, ``IGNORED`` where it has no class."""
    number_of = {each.name: channel for channel, each in enumerate(classes)}
    for what, names, known in (
        ("category", settings.classes.keys(), [each["name"] for each in categories]),
        ("class", settings.classes.values(), list(number_of)),
    ):
        for name in names:
            if name not in known:
                raise UsageError(
                    f"classes of {settings.annotations}: there is no {what} {name!r}.",
                    remedy=did_you_mean(name, known, f"There are {', '.join(known)}."),
                )
    channel_of = {}
    for each in categories:
        channel = number_of.get(settings.classes.get(each["name"], each["name"]), IGNORED)
        if channel != IGNORED and bool(each["isthing"]) != (classes[channel].kind == "thing"):
            raise UsageError(
                f"{settings.annotations}: the category {each['name']!r} has isthing {each['isthing']}, its class "
                f"{classes[channel].name!r} is of kind {classes[channel].kind}.",
                remedy="Name another class for it under classes, or correct isthing.",
            )
        channel_of[each["id"]] = channel
    return channel_of


def _annotated(
    content: dict[str, Any], settings: CocoData, channel_of: dict[int, int], bands: tuple[str, ...]
) -> tuple[AnnotatedImage, ...]:
    categories = {each["id"]: each for each in content["categories"]}
    file_of = {each["id"]: each["file_name"] for each in content["images"]}

    def segment(info: dict[str, Any]) -> Segment:
        category = categories[info["category_id"]]
        return Segment(
            id=int(info["id"]),
            is_thing=bool(category["isthing"]),
            is_crowd=bool(info.get("iscrowd", 0)),
            channel=channel_of[category["id"]],
        )

    return tuple(
        AnnotatedImage(
            image=settings.images / file_of[each["image_id"]],
            panoptic=settings.panoptic / each["file_name"],
            segments=tuple(segment(info) for info in each["segments_info"]),
            bands=bands,
        )
        for each in content["annotations"]
    )


def _read(annotated: AnnotatedImage) -> _Decoded:
    values, valid = _pixels(annotated.image)
    if len(values) < len(annotated.bands):
        raise UsageError(
            f"{annotated.image} has {len(values)} bands, the configuration names {len(annotated.bands)}: "
            f"{', '.join(annotated.bands)}.",
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
    return _Decoded(
        image_chw=stretched(values[: len(annotated.bands)], valid),
        valid_hw=valid,
        instances_hw=instances,
        classes_hw=classes,
    )


_decoded = Recent(_read, limit_bytes=_CACHED_BYTES)


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
            values = opened.read()
            return values, (opened.dataset_mask() > 0) & np.isfinite(values).all(0)
    except RasterioError as error:
        raise SceneError(f"{path} cannot be read: {error}.", remedy="Export the images again.") from None
