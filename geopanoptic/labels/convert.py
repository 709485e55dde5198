"""``labels convert``: from any format to any other, with georeference, tiles and classes on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from geopanoptic.errors import UsageError
from geopanoptic.labels.formats.format import Format, ReadOptions, WriteOptions
from geopanoptic.labels.formats.registry import format_named, format_to_write, recognise
from geopanoptic.labels.objects import Canvas, Labels, OutlineLabels, as_outlines
from geopanoptic.labels.output import staged_output
from geopanoptic.labels.pictures import picture_canvas, write_pictures
from geopanoptic.labels.placing import on_a_map, on_images, on_one_image
from geopanoptic.labels.provenance.history import history, moment, record
from geopanoptic.labels.sidecar import (
    IMAGES,
    completed,
    placed,
    read_sidecar,
    sidecar_of_images,
    write_sidecar,
)
from geopanoptic.labels.taxonomy import Taxonomy, load_mapping, load_taxonomy
from geopanoptic.products.geopackage import fixed_clock
from geopanoptic.scene import Scene, open_scene


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """What was converted, and in plain words what was lost or decided on the way."""

    source_format: str
    target_format: str
    images: int
    objects: int
    """As written: one that lies on several images counts on each."""
    files: tuple[Path, ...]
    losses: tuple[str, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "from": self.source_format,
            "to": self.target_format,
            "images": self.images,
            "objects": self.objects,
            "files": [str(file) for file in self.files],
            "losses": list(self.losses),
            "notes": list(self.notes),
        }


def convert(
    source: str | Path,
    target: str | Path,
    *,
    to: str | None = None,
    source_format: str | None = None,
    image: str | Path | None = None,
    taxonomy: str | Path | None = None,
    layer: str | None = None,
    class_column: str | None = None,
    id_column: str | None = None,
    tile_px: int | None = None,
    overlap_px: int = 0,
    pictures: bool = False,
    label_divisor: int = 1000,
    rle: bool = False,
    base: str | Path | None = None,
    annotator: str = "",
    overwrite: bool = False,
) -> Converted:
    """Read ``source`` and write ``target`` in the format ``to``; None: the one of the suffix of ``target``.

    Parameters
    ----------
    source, target
        A file or a folder, as the formats have them.
    source_format
        Name of the source's format; found out by its content otherwise.
    image
        The labelled image, or a folder of images: says where labels in pixels lie on the map, and which pixels
        labels on a map are to be drawn on.
    taxonomy
        Classes to convert to, a name or a YAML file; classes without a counterpart keep their objects out.
    tile_px, overlap_px
        Cut a scene into images for formats of images (default: ``placing.TILE_PX`` above ``placing.LARGEST_IMAGE_PX``).
    pictures
        Also write the images as 8-bit PNG, made of ``image`` (``labels.pictures``): to ``images`` in a target that
        is a folder, to ``NAME.images`` beside one that is a file.
    label_divisor
        For ``deeplab``: class * divisor + object.
    rle
        For ``coco-instances``: objects as run lengths of their pixels, holes included, in place of polygons.
    base
        The labels that ``source`` was made of, for its history, where nothing beside it says so.
    annotator
        Who answers for the labels, for their history (``labels.provenance``).

    Raises
    ------
    UsageError, SceneError
        Labels or images that cannot be read or do not belong together; what a format cannot hold; where none of
        the objects would be left.
    OutputError
        ``target`` exists and ``overwrite`` is not set, or cannot be written. An existing one is untouched then.
    """
    source, target = Path(source), Path(target)
    wanted = format_to_write(target, to)
    if rle and wanted.name != "coco-instances":
        raise UsageError(
            f"Run lengths are asked for, which {wanted.title} has no place for.",
            remedy="Leave --rle out, or write --to coco-instances.",
        )
    of_source = format_named(source_format) if source_format is not None else recognise(source)
    given = sidecar_of_images(image)
    single = next(iter(given.images.values())) if len(given.images) == 1 else None
    scene = _scene_to_show(image, wanted) if pictures else None
    if scene is not None:
        single = picture_canvas(scene)
    known = completed(given, read_sidecar(source))
    read = of_source.read(
        source,
        ReadOptions(
            taxonomy=known.taxonomy,
            images=known.images,
            layer=layer,
            class_column=class_column,
            id_column=id_column,
        ),
    )
    losses: Counter[str] = Counter()
    given_objects: list[int] = []
    labels = _counted((placed(each, known.images) for each in read), given_objects)
    classes = read.taxonomy
    if taxonomy is not None:
        classes = load_taxonomy(taxonomy)
        labels = _mapped(labels, read.taxonomy, classes, losses)
    if wanted.images == "none":
        labels = on_a_map(labels)
    elif wanted.images == "one":
        labels = on_one_image(labels, single, losses)
    else:
        if scene is not None:
            labels = (replace(as_outlines(each), canvas=single) for each in labels)
        labels = on_images(labels, single, wanted, losses, tile_px=tile_px, overlap_px=overlap_px)
    drawn: list[Canvas] = []
    when, parents = moment(), [history(source, base=None if base is None else Path(base))]
    with staged_output(target, overwrite=overwrite) as staged, fixed_clock(when):
        written = wanted.write(
            _remembering(labels, drawn),
            staged,
            WriteOptions(images=_path(image), label_divisor=label_divisor, rle=rle),
        )
        lost = tuple(f"{number:,} {what}" for what, number in losses.items())
        if sum(given_objects) and not written.objects:
            raise UsageError(
                f"None of the {sum(given_objects):,} objects of {source} is left"
                f"{': ' if lost else ''}{'; '.join((*lost, *written.losses))}.",
                remedy="Give the image and the classes that belong to the labels.",
            )
        files = list(written.files)
        if wanted.images != "none":
            files.append(write_sidecar(classes, drawn, staged))
        if scene is not None:
            folder = staged / IMAGES if staged.is_dir() else staged.with_suffix(f".{IMAGES}")
            shown = list(write_pictures(scene, drawn, folder))
            files.append(write_sidecar(classes, shown, folder))
        action = f"converted from {of_source.name} to {wanted.name}"
        record(
            staged, files, action=action, source=source.name, parents=parents, annotator=annotator, when=when
        )
    return Converted(
        source_format=of_source.name,
        target_format=wanted.name,
        images=written.images,
        objects=written.objects,
        files=tuple(target.parent / file.relative_to(staged.parent) for file in files),
        losses=(
            *lost,
            *written.losses,
            *_not_kept(of_source, wanted),
        ),
        notes=read.notes,
    )


def _path(image: str | Path | None) -> Path | None:
    return None if image is None else Path(image)


def _scene_to_show(image: str | Path | None, wanted: Format) -> Scene:
    if image is None or Path(image).is_dir() or wanted.images != "many":
        raise UsageError(
            "Pictures are made of one scene, for a format of images.",
            remedy="Name the scene with --image and such a format with --to, or leave --pictures out.",
        )
    return open_scene(image)


def _counted(labels: Iterable[Labels], objects: list[int]) -> Iterator[Labels]:
    for each in labels:
        objects.append(len(each.objects))
        yield each


def _mapped(labels: Iterable[Labels], old: Taxonomy, new: Taxonomy, losses: Counter[str]) -> Iterator[Labels]:
    """Labels in another taxonomy; objects whose class has no counterpart there are left out, and counted."""
    mapping = load_mapping(old, new)
    for each in labels:
        names = each.objects["class_name"].map(mapping.names)
        for name, count in each.objects["class_name"][names.isna()].value_counts().items():
            losses[f"objects of class {name!r} have no class in {new.name} and are left out"] += count
        objects = each.objects.assign(class_name=names)[names.notna()].reset_index(drop=True)
        if isinstance(each, OutlineLabels):
            yield replace(each, objects=objects, taxonomy=new)
        else:
            kept = np.isin(each.ids_hw, objects["object_id"])
            yield replace(each, ids_hw=np.where(kept, each.ids_hw, 0), objects=objects, taxonomy=new)


def _remembering(labels: Iterable[Labels], drawn: list[Canvas]) -> Iterator[Labels]:
    for each in labels:
        if each.canvas is not None:
            drawn.append(each.canvas)
        yield each


def _not_kept(source: Format, target: Format) -> Iterator[str]:
    """What the target has no place for although the source may hold it."""
    named = {
        "scores": "scores",
        "holes": "holes of outlines",
        "parts": "that several polygons are one object",
        "attributes": "attributes",
    }
    for key, what in named.items():
        if key in source.keeps - target.keeps:
            yield f"{target.title} has no place for {what}"
