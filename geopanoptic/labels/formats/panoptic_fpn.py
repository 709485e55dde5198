"""The folder that Panoptic FPN trains on in Detectron2: COCO panoptic, and semantic masks of stuff.

``annotations/panoptic_train.json`` and ``panoptic_train/NAME.png`` as COCO panoptic has them, and
``panoptic_stuff_train/NAME.png``: 0 on things, 1 to n on stuff classes in the order of their ids, 255 unlabelled
(Kirillov et al., CVPR 2019; the layout is that of Detectron2's ``prepare_panoptic_fpn.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from geopanoptic.errors import UsageError
from geopanoptic.labels.formats import coco_panoptic
from geopanoptic.labels.formats.format import Format, LabelSource, ReadOptions, WriteOptions, Written
from geopanoptic.labels.formats.pictures import write_png
from geopanoptic.labels.objects import Labels, RasterLabels, as_raster

_THINGS, _UNLABELLED = 0, 255


def recognises(path: Path) -> bool:
    file = _annotations_in(path)
    return file is not None and coco_panoptic.recognises(file)


def read(path: Path, options: ReadOptions) -> LabelSource:
    file = _annotations_in(path)
    if file is None:
        raise UsageError(
            f"{path} has no annotations/panoptic_*.json.", remedy="Give the folder that holds annotations."
        )
    return coco_panoptic.read_split(file, path / file.stem, options)


def write(labels: Iterable[Labels], target: Path, options: WriteOptions) -> Written:
    stuff = target / "panoptic_stuff_train"
    stuff.mkdir(parents=True)
    annotations = target / "annotations"
    annotations.mkdir()

    def drawing_stuff() -> Iterator[Labels]:
        for each in labels:
            raster, _ = as_raster(each)
            write_png(stuff / f"{Path(raster.canvas.image).stem}.png", _stuff_of(raster))
            yield each

    written = coco_panoptic.write_split(
        drawing_stuff(), annotations / "panoptic_train.json", target / "panoptic_train"
    )
    return Written(
        files=(*written.files, stuff),
        images=written.images,
        objects=written.objects,
        losses=written.losses,
    )


FORMAT = Format(
    name="panoptic-fpn",
    title="Panoptic FPN (Detectron2)",
    form="raster",
    images="many",
    keeps=coco_panoptic.FORMAT.keeps,
    recognises=recognises,
    read=read,
    write=write,
)


def _annotations_in(path: Path) -> Path | None:
    return next(iter(sorted((path / "annotations").glob("panoptic_*.json"))), None) if path.is_dir() else None


def _stuff_of(raster: RasterLabels) -> np.ndarray:
    of_stuff = sorted(each.id for each in raster.taxonomy.classes if each.kind == "stuff")
    if len(of_stuff) >= _UNLABELLED:
        raise UsageError(
            f"There are {len(of_stuff)} stuff classes; the format numbers up to 254.",
            remedy="Convert to fewer classes with --taxonomy.",
        )
    number = {id_: place for place, id_ in enumerate(of_stuff, 1)}
    ids = raster.objects["object_id"].to_numpy()
    values = np.array(
        [number.get(raster.taxonomy[name].id, _THINGS) for name in raster.objects["class_name"]], np.uint8
    )
    order = np.argsort(ids)
    mask = np.full(raster.ids_hw.shape, _UNLABELLED, np.uint8)
    inside = raster.ids_hw > 0
    mask[inside] = values[order][np.searchsorted(ids[order], raster.ids_hw[inside])]
    return mask
