"""``labels prelabel``: a model's map of a scene as pre-annotations, with pictures, for an annotation tool.

Uncertain first: tasks by the mean uncertainty of their objects, and objects within them. The output folder::

    prelabels.gpkg        the objects as they went out, on the map, with `uncertainty`
    images/               pictures of the tiles
    labels.json           where they lie on the map, and the classes
    label-studio.json     the labels in the tool's format (a folder for tools with a file per image)
    label-studio.xml      the tool's own description of the classes, where it needs one
    map.gpkg, map.run.json  the map, where it was made here
    provenance.json       how they came to be

With parts for several annotators every part has a folder with its own labels and a ``task.json``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from geopanoptic.arguments import options_of
from geopanoptic.errors import UsageError
from geopanoptic.labels.formats import cvat, label_studio
from geopanoptic.labels.formats.format import Format, ReadOptions, WriteOptions
from geopanoptic.labels.formats.json_files import write_json
from geopanoptic.labels.formats.registry import format_named
from geopanoptic.labels.formats.vectors import GEOPACKAGE
from geopanoptic.labels.objects import COLUMNS, Canvas, OutlineLabels
from geopanoptic.labels.output import staged_output
from geopanoptic.labels.pictures import picture_canvas, write_pictures
from geopanoptic.labels.provenance.history import History, history, moment, record
from geopanoptic.labels.sidecar import IMAGES, write_sidecar
from geopanoptic.labels.tasks.splitting import Part, split_work
from geopanoptic.labels.tasks.task_file import write_task
from geopanoptic.labels.taxonomy import Taxonomy, load_taxonomy
from geopanoptic.labels.tiles import cut, tile_canvases
from geopanoptic.labels.uncertainty import UNCERTAINTY, binary_entropy, mean_uncertainty
from geopanoptic.pipeline.progress import Progress
from geopanoptic.pipeline.run import run
from geopanoptic.products.geopackage import fixed_clock
from geopanoptic.scene import Scene, as_scene, open_scene

PRELABELS = "prelabels.gpkg"
MAP = "map.gpkg"

_SUFFIXES = {"coco-instances": ".json", "cvat": ".xml", "label-studio": ".json", "via": ".json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prelabelled:
    """What was written; ``losses`` say in plain words what the format could not hold."""

    out: Path
    target_format: str
    images: int
    objects: int
    """Objects, each counted once however many tiles it lies on."""
    parts: tuple[str, ...]
    losses: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "out": str(self.out),
            "to": self.target_format,
            "images": self.images,
            "objects": self.objects,
            "parts": list(self.parts),
            "losses": list(self.losses),
        }


@options_of(open_scene)
def prelabel(
    scene: Scene | str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    to: str,
    map_file: str | Path | None = None,
    model: str | Path | None = None,
    device: str = "auto",
    pixel_size: float | str = "auto",
    split: str | None = None,
    stuff: bool = False,
    tile_px: int = 1024,
    overlap_px: int = 0,
    picture_bands: Sequence[str] | None = None,
    picture_suffix: str = ".png",
    image_root: str | None = None,
    overwrite: bool = False,
    progress: Progress | bool | None = None,
    **scene_options: Any,
) -> Prelabelled:
    """Write pre-annotations of a scene to the folder ``out``.

    Parameters
    ----------
    scene
        What ``open_scene`` takes, or a ``Scene``.
    to
        A format of images (``label-studio``, ``cvat``, ``labelme``, ``coco-panoptic``, ...).
    map_file
        The map of an earlier ``geopanoptic run``; without it ``model`` maps the scene on ``device``, in pixels of
        ``pixel_size`` as for ``run``.
    split
        ``things,stuff``, ``class``, or a number of areas: a part each, see ``tasks.splitting``.
    stuff
        Land cover too where the format holds outlines; formats of rasters and splits by class have it anyway.
    tile_px, overlap_px
        Side of a picture, and what neighbours share. Tiles without data have no picture and no labels.
    picture_bands, picture_suffix
        Three bands or one (default: true colour); ``.png`` or ``.jpg``.
    image_root
        What goes before pictures' names in the labels, for tools that look for them at an address.
    scene_options
        Options of ``open_scene``; none where ``scene`` is open already.

    Raises
    ------
    UsageError, SceneError, ModelError, ResourceError
        Options that cannot be meant; a scene, map or model that cannot be used.
    OutputError
        ``out`` exists and ``overwrite`` is not set, or cannot be written. An existing one is untouched then.
    """
    out = Path(out)
    wanted = format_named(to)
    if wanted.images != "many":
        raise UsageError(
            f"{wanted.title} is no format of images, so no annotation tool's.",
            remedy=f"Choose another; every output holds {PRELABELS} as well.",
        )
    opened = as_scene(scene, **scene_options)
    whole = picture_canvas(opened, suffix=picture_suffix)
    tiles = tile_canvases(whole, tile_px, overlap_px)
    when = moment()
    with staged_output(out, overwrite=overwrite) as staged:
        staged.mkdir()
        mapped = staged / MAP if map_file is None else Path(map_file)
        if map_file is None:
            told = run(
                opened, mapped, model=model, device=device, pixel_size=pixel_size, progress=progress
            ).report
            record(mapped, [mapped], action=f"mapped by {told['model']}", source=opened.name, when=when)
        of_map = history(mapped)
        objects = uncertain_first(_objects_of(mapped, whole))
        with fixed_clock(when):
            GEOPACKAGE.write([objects], staged / PRELABELS, WriteOptions())
        shown = list(write_pictures(opened, tiles, staged / IMAGES, bands=picture_bands))
        write_sidecar(objects.taxonomy, shown, staged)
        with_stuff = stuff or wanted.form == "raster" or split in ("things,stuff", "class")
        parts = _parts(split, objects, shown, with_stuff=with_stuff)
        losses: dict[str, None] = {}
        for part in parts:
            folder = staged / part.name if split is not None else staged
            target = folder / f"{wanted.name}{_SUFFIXES.get(wanted.name, '')}"
            root = _way_to_images(staged, target) if image_root is None else image_root
            losses |= dict.fromkeys(_write_part(part, objects, target, wanted, image_root=root))
            if split is not None:
                names = tuple(each.name for each in parts)
                base = os.path.relpath(staged / PRELABELS, folder)
                write_task(folder, part=part.name, parts=names, base=base)
                _record(folder, of_map, f"{wanted.name}, part {part.name}", mapped, when)
        _record(staged, of_map, wanted.name, mapped, when)
    return Prelabelled(
        out=out,
        target_format=wanted.name,
        images=len(shown),
        objects=int(objects.objects["class_name"].isin(set().union(*(part.classes for part in parts))).sum()),
        parts=tuple(part.name for part in parts) if split is not None else (),
        losses=tuple(losses),
    )


def _record(folder: Path, of_map: History, what: str, mapped: Path, when: datetime) -> None:
    record(
        folder, [folder], action=f"pre-labelled for {what}", source=mapped.name, parents=[of_map], when=when
    )


def uncertain_first(labels: OutlineLabels) -> OutlineLabels:
    """The objects in the order of falling uncertainty, which becomes a column; those without a score last."""
    told = labels.objects.assign(**{UNCERTAINTY: binary_entropy(labels.objects["score"])})
    told = told.assign(_unscored=told["score"].isna())
    ranked = told.sort_values(["_unscored", UNCERTAINTY, "object_id"], ascending=[True, False, True])
    return replace(labels, objects=ranked.drop(columns="_unscored").reset_index(drop=True))


def _objects_of(map_file: Path, canvas: Canvas) -> OutlineLabels:
    """The objects of a map in the scene's CRS. Parcels keep their ``parcel_id``."""
    (labels,) = GEOPACKAGE.read(map_file, ReadOptions(taxonomy=load_taxonomy("fields")))
    if not isinstance(labels, OutlineLabels) or labels.objects.crs is None:
        raise UsageError(
            f"{map_file} has no coordinate reference system.", remedy="Give the map of this scene."
        )
    frame = labels.objects.to_crs(canvas.crs)
    kept = [*COLUMNS, *(name for name in ("class_score",) if name in frame), frame.geometry.name]
    return OutlineLabels(objects=frame[kept], taxonomy=labels.taxonomy)


def _parts(
    split: str | None, labels: OutlineLabels, tiles: Sequence[Canvas], *, with_stuff: bool
) -> list[Part]:
    classes = frozenset(each.name for each in labels.taxonomy.classes if with_stuff or each.kind == "thing")
    if split is None:
        return [Part(name="all", classes=classes, tiles=tuple(tiles))]
    parts = split_work(
        split, taxonomy=labels.taxonomy, present=list(labels.objects["class_name"].unique()), tiles=tiles
    )
    return [replace(each, classes=each.classes & classes) for each in parts]


def _write_part(
    part: Part, labels: OutlineLabels, target: Path, wanted: Format, *, image_root: str
) -> tuple[str, ...]:
    """Write one annotator's labels, and beside them what they need; returns what the format could not hold."""
    folder = target.parent
    folder.mkdir(exist_ok=True)
    pieces = sorted(cut(part.of(_plain(labels)), part.tiles), key=mean_uncertainty, reverse=True)
    written = wanted.write(pieces, target, WriteOptions(image_root=image_root, predictions=True))
    for place in (folder, target) if target.is_dir() else (folder,):
        write_sidecar(labels.taxonomy, part.tiles, place)
    _describe_classes(_of_classes(labels.taxonomy, part), wanted, folder)
    return written.losses


def _plain(labels: OutlineLabels) -> OutlineLabels:
    """Without columns that an edit would make untrue."""
    return replace(labels, objects=labels.objects.drop(columns="class_score", errors="ignore"))


def _of_classes(taxonomy: Taxonomy, part: Part) -> Taxonomy:
    """The part's classes: what its annotator can choose from."""
    chosen = tuple(each for each in taxonomy.classes if each.name in part.classes)
    kept = {each.name for each in chosen}
    without_parents = tuple(
        each if each.parent in kept else each.model_copy(update={"parent": None}) for each in chosen
    )
    return Taxonomy(name=taxonomy.name, title=taxonomy.title, source=taxonomy.source, classes=without_parents)


def _describe_classes(taxonomy: Taxonomy, wanted: Format, folder: Path) -> None:
    """The file that sets the tool's project up, for tools that need one."""
    if wanted.name == label_studio.FORMAT.name:
        colours = {each.name: "#{:02x}{:02x}{:02x}".format(*each.rgb) for each in taxonomy.classes}
        path = folder / "label-studio.xml"
        path.write_text(label_studio.labelling_config(colours), encoding="utf-8")
    elif wanted.name == cvat.FORMAT.name:
        write_json(folder / "cvat-labels.json", cvat.label_constructor(taxonomy), indent=1)


def _way_to_images(staged: Path, target: Path) -> str:
    """What goes before pictures' names in labels that know them by their place."""
    start = target.parent if target.suffix else target
    return f"{Path(os.path.relpath(staged / IMAGES, start)).as_posix()}/"
