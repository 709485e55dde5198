"""Cityscapes: ``NAME_gtFine_instanceIds.png`` (class, or class * 1000 + number) and ``NAME_gtFine_labelIds.png``.

The files lie in ``gtFine/SPLIT/CITY``; ours in ``gtFine/train/scene``.
Instance numbers run from 0 to 999 per class and image (Cordts et al., CVPR 2016). Without ``classes.json`` the
classes are those of Cityscapes itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from geopanoptic.errors import UsageError
from geopanoptic.labels.formats.format import Format, LabelSource, ReadOptions, WriteOptions, Written
from geopanoptic.labels.formats.numbered import (
    CLASSES,
    Code,
    image_files,
    read_classes,
    write_images,
)
from geopanoptic.labels.formats.pictures import read_grey, write_png
from geopanoptic.labels.objects import Canvas, Labels, RasterLabels
from geopanoptic.labels.taxonomy import LabelClass, Taxonomy

_INSTANCES, _LABELS = "_gtFine_instanceIds.png", "_gtFine_labelIds.png"

CODE = Code(
    title="Cityscapes",
    divisor=1000,
    bare_stuff=True,
    first=0,
    limit=1000,
    largest_class=64,  # uint16
    unlabelled=0,
)

_THINGS = {24, 25, 26, 27, 28, 29, 30, 31, 32, 33}
_NAMES = (
    "unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground", "road",
    "sidewalk", "parking", "rail track", "building", "wall", "fence", "guard rail", "bridge", "tunnel", "pole",
    "polegroup", "traffic light", "traffic sign", "vegetation", "terrain", "sky", "person", "rider", "car", "truck",
    "bus", "caravan", "trailer", "train", "motorcycle", "bicycle",
)  # fmt: skip


def recognises(path: Path) -> bool:
    return path.is_dir() and next(image_files(path, f"*{_INSTANCES}"), None) is not None


def read(path: Path, options: ReadOptions) -> LabelSource:
    own = Taxonomy(
        name="cityscapes",
        classes=tuple(
            LabelClass(id=n, name=name, kind="thing" if n in _THINGS else "stuff")
            for n, name in enumerate(_NAMES)
        ),
    )
    taxonomy, _ = read_classes(path / CLASSES, options.taxonomy, default=own)
    files = list(image_files(path, f"*{_INSTANCES}"))
    if not files:
        raise UsageError(f"{path} holds no *{_INSTANCES}.", remedy="Give the folder that holds gtFine.")

    def read_one(file: Path) -> RasterLabels:
        values = read_grey(file).astype(np.int64)
        stem = file.name.removesuffix(_INSTANCES)
        canvas = Canvas(image=f"{stem}.png", height=values.shape[0], width=values.shape[1])
        return CODE.decode(values, taxonomy, canvas, file)

    return LabelSource(name=path.name, taxonomy=taxonomy, images=lambda: map(read_one, files))


def write(labels: Iterable[Labels], target: Path, options: WriteOptions) -> Written:
    folder = target / "gtFine" / "train" / "scene"
    folder.mkdir(parents=True)

    def write_one(raster: RasterLabels, stem: str) -> None:
        values = CODE.encode(raster)
        write_png(folder / f"{stem}{_INSTANCES}", values.astype(np.uint16))
        classes = np.where(values >= CODE.divisor, values // CODE.divisor, values)
        write_png(folder / f"{stem}{_LABELS}", classes.astype(np.uint8))

    images, objects, losses, _ = write_images(labels, write_one, classes=target / CLASSES)
    return Written(files=(target / "gtFine", target / CLASSES), images=images, objects=objects, losses=losses)


FORMAT = Format(
    name="cityscapes",
    title="Cityscapes",
    form="raster",
    images="many",
    keeps=frozenset({"stuff", "holes", "parts"}),
    recognises=recognises,
    read=read,
    write=write,
)
