"""``labels merge``: annotators' parts as one map again, and a list of what they contradict each other in.

Parts of different images are areas of one map and are stitched (``labels.tiles``); parts that show the same images
lie on top of each other (``tasks.overlaying``). What was contradicted is decided by fixed rules, stated with every
conflict, and is for a person to look at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pyogrio
import pyproj
import shapely

from geopanoptic.errors import UsageError
from geopanoptic.labels.formats.format import ReadOptions, WriteOptions
from geopanoptic.labels.formats.registry import recognise
from geopanoptic.labels.formats.vectors import GEOPACKAGE
from geopanoptic.labels.objects import OutlineLabels, as_outlines, in_crs
from geopanoptic.labels.output import staged_output
from geopanoptic.labels.provenance.history import history, moment, record
from geopanoptic.labels.sidecar import sidecar_of_images
from geopanoptic.labels.tasks.conflict import CONFLICTS, Conflict, conflict_layer
from geopanoptic.labels.tasks.overlaying import KNOWN, PART, Layer, identified, overlay
from geopanoptic.labels.tasks.part_reading import PartLabels, read_part
from geopanoptic.labels.tasks.seams import seam_conflicts
from geopanoptic.labels.taxonomy import Taxonomy, taxonomy_of_names
from geopanoptic.labels.tiles import SOURCE_ID, canvas_outline, stitch
from geopanoptic.products.geopackage import fixed_clock
from geopanoptic.products.literal import literally


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """The merged labels as they were written to ``out``, the contradictions, and what was decided without one."""

    out: Path
    parts: tuple[str, ...]
    labels: OutlineLabels
    conflicts: tuple[Conflict, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "out": str(self.out),
            "parts": list(self.parts),
            "objects": len(self.labels.objects),
            "conflicts": [each.to_dict() for each in self.conflicts],
            "notes": list(self.notes),
        }


def merge(
    parts: Sequence[str | Path],
    target: str | Path,
    *,
    base: str | Path | None = None,
    image: str | Path | None = None,
    annotators: Sequence[str] = (),
    overwrite: bool = False,
) -> Merged:
    """Write the labels of all ``parts`` as one GeoPackage, with a layer of conflicts where there are any.

    Parameters
    ----------
    parts
        What came back from the tools, in any format: files, or the parts' folders with one file each. The order
        matters where parts contradict each other.
    base
        The labels that were split (default: those that the parts' ``task.json`` names). They say who changed an
        object, and what was removed.
    image
        The folder of pictures, where nothing beside a part says where its images lie.
    annotators
        Who labelled each part, in their order, for the history.

    Raises
    ------
    UsageError
        Parts that cannot be read, have no place on the map, show images in different CRSs, or are given twice; another
        number of annotators than parts.
    OutputError
        ``target`` exists and ``overwrite`` is not set, or cannot be written. An existing one is untouched then.
    """
    target = Path(target)
    if target.suffix.lower() != ".gpkg":
        raise UsageError(
            f"{target} is no GeoPackage.",
            remedy="Name a .gpkg; `labels convert` leads to every other format.",
        )
    if annotators and len(annotators) != len(parts):
        raise UsageError(
            f"{len(annotators)} annotators are named for {len(parts)} parts.",
            remedy="Name one for each part, in their order.",
        )
    shown = sidecar_of_images(image)
    given = _named([read_part(Path(path), shown) for path in parts], parts)
    before = _before(base, given)
    given, crs = _in_one_crs(given)
    if before is not None:
        before = replace(before, objects=before.objects.to_crs(crs))
    pixel = _pixel(given)
    conflicts = list(_missing(given))
    layers: list[Layer] = []
    for layer in _layers(given):
        if len(layer) > 1:
            conflicts += seam_conflicts(layer, before, pixel=pixel)
        layers.append(_one_table(layer, _known(before, layers, crs)))
    taxonomy = _joint_taxonomy([each.taxonomy for part in given for each in part.images])
    objects, found = overlay(layers, taxonomy, before, pixel=pixel)
    conflicts += found
    labels = OutlineLabels(objects=objects, taxonomy=taxonomy)
    when = moment()
    parents = [
        history(Path(path), base=None if base is None else Path(base), annotator=name)
        for path, name in zip_longest(parts, annotators, fillvalue="")
    ]
    with staged_output(target, overwrite=overwrite) as staged, fixed_clock(when):
        GEOPACKAGE.write([labels], staged, WriteOptions())
        if conflicts:
            with literally(staged) as plain:
                pyogrio.write_dataframe(
                    conflict_layer(conflicts, crs), plain, layer=CONFLICTS, driver="GPKG", append=True
                )
        record(
            staged,
            [staged],
            action=f"merged from {len(given)} parts, {len(conflicts)} conflicts",
            source=", ".join(each.name for each in given),
            parents=parents,
            annotator=", ".join(dict.fromkeys(name for name in annotators if name)),
            when=when,
        )
    return Merged(
        out=target,
        parts=tuple(each.name for each in given),
        labels=labels,
        conflicts=tuple(conflicts),
        notes=tuple(note for each in given for note in each.notes),
    )


def _named(given: list[PartLabels], paths: Sequence[str | Path]) -> list[PartLabels]:
    """The parts under names that tell them apart."""
    if not given:
        raise UsageError("No part is given.", remedy="Name the annotators' files or folders.")
    names = [each.name for each in given]
    for each in given:
        if each.task is not None and names.count(each.name) > 1:
            raise UsageError(f"The part {each.name!r} is given twice.", remedy="Name the one that counts.")
    return [
        replace(each, name=str(path)) if names.count(each.name) > 1 else each
        for each, path in zip(given, paths, strict=True)
    ]


def _before(base: str | Path | None, given: Sequence[PartLabels]) -> OutlineLabels | None:
    """The labels that were split; None where nobody says, or they are gone."""
    named = [each.task.base for each in given if each.task is not None]
    path = Path(base) if base is not None else next((each for each in named if each.is_file()), None)
    if path is None:
        return None
    (labels,) = recognise(path).read(path, ReadOptions())
    found = as_outlines(labels)
    if found.objects.crs is None:
        raise UsageError(f"{path} has no coordinate reference system.", remedy="Give the labels on the map.")
    return found


def _in_one_crs(given: Sequence[PartLabels]) -> tuple[list[PartLabels], pyproj.CRS]:
    """The parts in the CRS of the first; pictures stay in their own."""
    for part in given:
        if any(each.objects.crs is None for each in part.images):
            raise UsageError(
                f"The labels of {part.name} have no coordinate reference system.",
                remedy="Store them with it, or name the folder of images with --image.",
            )
    placed = [part for part in given if part.images]
    if not placed:
        raise UsageError("The parts hold no labels.", remedy="Name the annotators' files or folders.")
    # Pictures cannot be turned; all the maps can.
    of_pictures = {each.objects.crs for part in placed if part.tiles for each in part.images}
    crs = next(iter(of_pictures), placed[0].images[0].objects.crs)
    if len(of_pictures) > 1:
        raise UsageError(
            "The parts' pictures lie in different coordinate reference systems.",
            remedy="Convert each part to a map first: labels convert PART PART.gpkg --to gpkg.",
        )
    return [_reprojected(part, crs) for part in given], crs


def _reprojected(part: PartLabels, crs: pyproj.CRS) -> PartLabels:
    if all(each.objects.crs == crs for each in part.images):
        return part
    images, lost = [], 0
    for each in part.images:
        outlines = in_crs(each.objects.geometry, crs)
        there = ~outlines.is_empty
        lost += int((~there).sum())
        moved = each.objects.set_geometry(outlines)[there].reset_index(drop=True)
        images.append(replace(each, objects=moved))
    told = [f"{part.name}: outlines were reprojected to {crs.name}"]
    if lost:
        told.append(f"{part.name}: {lost:,} objects lie where that does not reach, and are left out")
    return replace(part, images=tuple(images), notes=(*part.notes, *told))


def _pixel(given: Sequence[PartLabels]) -> float:
    """The side of an image's pixel in map units; for maps without images next to nothing."""
    sides = [abs(each.placed.determinant) ** 0.5 for part in given for each in part.tiles.values()]
    if sides:
        return float(np.median(sides))
    areas = np.concatenate(
        [shapely.area(each.objects.geometry.to_numpy()) for part in given for each in part.images]
    )
    return float(np.sqrt(np.median(areas)) * 1e-3) if len(areas) else 0.0


def _missing(given: Sequence[PartLabels]) -> Iterator[Conflict]:
    names = {each.name for each in given}
    wanted = dict.fromkeys(name for each in given if each.task is not None for name in each.task.parts)
    for name in wanted:
        if name not in names:
            yield Conflict(
                kind="missing",
                parts=(name,),
                object_ids=(),
                message=f"The part {name} was not given; its ground or classes are empty.",
            )
    for part in given:
        if part.lacking:
            yield Conflict(
                kind="missing",
                parts=(part.name,),
                object_ids=(),
                message=f"{len(part.lacking)} images of {part.name} are not in its labels, such as "
                f"{part.lacking[0].image}; their ground is empty.",
                ground=shapely.union_all([canvas_outline(each) for each in part.lacking]),
            )


def _layers(given: Sequence[PartLabels]) -> list[list[PartLabels]]:
    """Parts of different images together; parts that share an image, or are maps, each in another layer."""
    layers: list[list[PartLabels]] = []
    for part in given:
        for layer in layers:
            if part.tiles and all(each.tiles and not part.tiles.keys() & each.tiles.keys() for each in layer):
                layer.append(part)
                break
        else:
            layers.append([part])
    return layers


def _known(before: OutlineLabels | None, layers: Sequence[Layer], crs: pyproj.CRS) -> geopandas.GeoDataFrame:
    """Ids and outlines of the objects that went out, and of those that ``layers`` hold beside them."""
    earlier = [] if before is None else [before.objects]
    earlier += [each.objects[each.objects[KNOWN]] for each in layers]
    none = geopandas.GeoDataFrame({"object_id": np.zeros(0, np.int64)}, geometry=[], crs=crs)
    known = pd.concat([none, *(each[["object_id", "geometry"]] for each in earlier if len(each))])
    return known.drop_duplicates("object_id", ignore_index=True)


def _one_table(layer: Sequence[PartLabels], known: geopandas.GeoDataFrame) -> Layer:
    """The objects of parts that are areas of one map, with the part of each."""
    pieces = [
        replace(each, objects=each.objects.assign(**{PART: part.name}))
        for part in layer
        for each in part.images
    ]
    grounds = [part.ground for part in layer if part.ground is not None]
    ground = shapely.union_all(grounds) if grounds else None
    if len(pieces) == 1 and (ground is None or SOURCE_ID not in pieces[0].objects):
        return Layer(identified(pieces[0].objects, known), ground)
    frame = stitch(pieces).objects
    told = frozenset().union(*(part.told_ids for part in layer))
    return Layer(frame.assign(**{KNOWN: frame["object_id"].isin(told)}), ground)


def _joint_taxonomy(taxonomies: Sequence[Taxonomy]) -> Taxonomy:
    first = taxonomies[0]
    if all(each.classes == first.classes for each in taxonomies):
        return first
    kinds = {each.name: each.kind for taxonomy in taxonomies for each in taxonomy.classes}
    return taxonomy_of_names(list(kinds), kinds=list(kinds.values()))
