"""Panoptic-DeepLab: ``NAME_panoptic.tif`` of int32 ``class * label_divisor + number``, number 0 for stuff.

Divisor and classes stand in ``classes.json``. Its authors keep the same numbers in TensorFlow records (Cheng et
al., CVPR 2020).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from geopanoptic.errors import UsageError
from geopanoptic.labels.formats.format import Format, LabelSource, ReadOptions, WriteOptions, Written
from geopanoptic.labels.formats.numbered import CLASSES, Code, image_files, read_classes, write_images
from geopanoptic.labels.formats.pictures import read_tiff, write_tiff
from geopanoptic.labels.objects import Canvas, Labels, RasterLabels

_SUFFIX = "_panoptic.tif"
_DIVISOR = "label_divisor"


def code(divisor: int) -> Code:
    """The code of a divisor. Class ids are at least 1: value 0 is unlabelled."""
    return Code(
        title="DeepLab",
        divisor=divisor,
        bare_stuff=False,
        first=1,
        limit=divisor - 1,
        largest_class=(2**31 - 1) // divisor - 1,
        unlabelled=0,
    )


def recognises(path: Path) -> bool:
    return path.is_dir() and next(image_files(path, f"*{_SUFFIX}"), None) is not None


def read(path: Path, options: ReadOptions) -> LabelSource:
    taxonomy, content = read_classes(path / CLASSES, options.taxonomy)
    divisor = content.get(_DIVISOR, 1000)
    if not isinstance(divisor, int) or divisor < 2:
        raise UsageError(
            f"{path / CLASSES}: {_DIVISOR} is {divisor!r}.", remedy="Give a whole number from 2."
        )
    files = list(image_files(path, f"*{_SUFFIX}"))

    def read_one(file: Path) -> RasterLabels:
        values = read_tiff(file).astype(np.int64)
        stem = file.name.removesuffix(_SUFFIX)
        canvas = Canvas(image=f"{stem}.tif", height=values.shape[0], width=values.shape[1])
        return code(divisor).decode(values, taxonomy, canvas, file)

    return LabelSource(name=path.name, taxonomy=taxonomy, images=lambda: map(read_one, files))


def write(labels: Iterable[Labels], target: Path, options: WriteOptions) -> Written:
    target.mkdir(parents=True)
    numbers = code(options.label_divisor)

    def write_one(raster: RasterLabels, stem: str) -> None:
        if any(each.id == 0 for each in raster.taxonomy.classes):
            raise UsageError(
                "A class has the id 0, which means unlabelled here.", remedy="Convert to other classes first."
            )
        write_tiff(target / f"{stem}{_SUFFIX}", numbers.encode(raster).astype(np.int32))

    images, objects, losses, _ = write_images(
        labels, write_one, classes=target / CLASSES, extra={_DIVISOR: options.label_divisor}
    )
    return Written(files=(target,), images=images, objects=objects, losses=losses)


FORMAT = Format(
    name="deeplab",
    title="DeepLab panoptic",
    form="raster",
    images="many",
    keeps=frozenset({"stuff", "holes", "parts"}),
    recognises=recognises,
    read=read,
    write=write,
)
