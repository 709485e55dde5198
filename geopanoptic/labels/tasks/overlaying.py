"""Putting labels of the same ground on top of each other: things over stuff, then the first named part over others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from geopanoptic.labels.objects import OutlineLabels
from geopanoptic.labels.provenance.difference import pairs
from geopanoptic.labels.tasks.conflict import Conflict
from geopanoptic.labels.taxonomy import Taxonomy
from geopanoptic.labels.tiles import SOURCE_ID, polygons_of

PART = "part"
"""Column: the part that an object's outline comes from."""

KNOWN = "_known"
"""Column: whether ``object_id`` says which object it is, such as the id that it went out with."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A table of objects that lie beside each other, and the ground that its pictures show; None: a map, anywhere."""

    objects: geopandas.GeoDataFrame
    ground: shapely.Geometry | None


def identified(objects: geopandas.GeoDataFrame, known: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """The objects of a map under the ids of the ``known`` ones that they are, as ``labels diff`` tells.

    An id alone tells nothing: maps are numbered each from 1, and annotators number what they draw alike. Objects
    that are none of the known keep the id that their file states, where it is free, or get one above all others.
    """
    stated = objects[SOURCE_ID].fillna(0) if SOURCE_ID in objects else objects["object_id"]
    found = objects.drop(columns=SOURCE_ID, errors="ignore").assign(object_id=stated.astype(np.int64))
    of_known, row, _ = pairs(known, found)
    ids = found["object_id"].to_numpy(copy=True)
    ids[np.isin(ids, known["object_id"])] = 0
    ids[row] = known["object_id"].to_numpy()[of_known]
    new = ids == 0
    highest = max(ids.max(initial=0), known["object_id"].max() if len(known) else 0)
    return found.assign(**{"object_id": np.where(new, highest + np.cumsum(new), ids), KNOWN: True})


def overlay(
    layers: Sequence[Layer],
    taxonomy: Taxonomy,
    before: OutlineLabels | None,
    *,
    pixel: float,
) -> tuple[geopandas.GeoDataFrame, list[Conflict]]:
    """One table of objects from several on the same ground, and what they contradict each other in.

    An object in several tables is taken from the one that changed it since ``before``; where several did, from the
    first. One that a table lacks although it holds most of what another holds was removed there, which is a change,
    too: it is gone unless another table changed it otherwise. Ground that several objects of different tables claim belongs to a thing before stuff, else to the first
    table; no contradiction is what is stuff below a thing, or narrower than half of ``pixel``.
    """
    whole = pd.concat(
        [each.objects.assign(_layer=number) for number, each in enumerate(layers)], ignore_index=True
    )
    whole = geopandas.GeoDataFrame(whole, geometry="geometry", crs=layers[0].objects.crs)
    removers = {} if before is None else _removers(layers, before, pixel)
    kept, conflicts = _one_version(whole, before, removers, pixel)
    numbered = _numbered(whole[kept].reset_index(drop=True), before)
    is_thing = numbered["class_name"].isin([each.name for each in taxonomy.classes if each.kind == "thing"])
    outlines, found = _without_overlaps(numbered, is_thing.to_numpy(), pixel)
    left = shapely.area(outlines) > 0
    objects = numbered.set_geometry(outlines, crs=numbered.crs)[left].drop(columns=["_layer", KNOWN])
    return objects.sort_values("object_id").reset_index(drop=True), [*conflicts, *found]


def is_changed(
    outlines: NDArray[np.object_], others: NDArray[np.object_], *, pixel: float
) -> NDArray[np.bool_]:
    """Whether outlines differ by more than what tools round: half a pixel all along."""
    away = shapely.area(shapely.symmetric_difference(outlines, others))
    return np.asarray(away > np.maximum(shapely.length(others), shapely.length(outlines)) * pixel / 2)


def _removers(layers: Sequence[Layer], before: OutlineLabels, pixel: float) -> dict[int, tuple[str, ...]]:
    """Who removed objects that went out and that others still hold, by id.

    Parts may be any share of what went out, such as a class or an area: who holds few of another's objects did not
    remove the rest of them, but never had them. Nor did who was not shown all of an object.
    """
    outlines = before.objects.set_index("object_id").geometry
    held = [
        frozenset(each.objects.loc[each.objects[KNOWN], "object_id"]) & frozenset(outlines.index)
        for each in layers
    ]
    removers: dict[int, tuple[str, ...]] = {}
    for own, layer in zip(held, layers, strict=True):
        lacking = [each - own for each in held if len(each & own) > len(each) / 2]
        gone = sorted(frozenset().union(*lacking))
        if gone and layer.ground is not None:
            drawn = outlines.loc[gone].to_numpy()
            hidden = is_changed(shapely.intersection(drawn, layer.ground), drawn, pixel=pixel)
            gone = [number for number, unseen in zip(gone, hidden.tolist(), strict=True) if not unseen]
        names = tuple(dict.fromkeys(layer.objects[PART]))
        removers |= {number: (*removers.get(number, ()), *names) for number in gone}
    return removers


def _one_version(
    whole: geopandas.GeoDataFrame,
    before: OutlineLabels | None,
    removers: Mapping[int, tuple[str, ...]],
    pixel: float,
) -> tuple[NDArray[np.bool_], list[Conflict]]:
    """The rows to keep, at most one per object that went out."""
    kept, conflicts = np.ones(len(whole), np.bool_), []
    known = whole[whole[KNOWN].to_numpy(np.bool_)]
    several = known[known["object_id"].duplicated(keep=False) | known["object_id"].isin(list(removers))]
    first_drawn = None if before is None else before.objects.set_index("object_id")
    for number, versions in several.groupby("object_id"):
        changed = versions
        if first_drawn is not None and number in first_drawn.index:
            drawn = first_drawn.loc[number]
            other = is_changed(versions.geometry.to_numpy(), np.array([drawn.geometry]), pixel=pixel)
            changed = versions[other | (versions["class_name"] != drawn["class_name"]).to_numpy()]
        removed_by = removers.get(int(str(number)), ())
        kept[versions.index] = False
        if removed_by and changed.empty:
            continue
        chosen = (changed if len(changed) else versions).iloc[0]
        kept[chosen.name] = True
        if removed_by:
            conflicts.append(
                Conflict(
                    kind="removed",
                    parts=(*removed_by, str(chosen[PART])),
                    object_ids=(int(chosen["object_id"]),),
                    message=f"Object {number} was removed by {' and '.join(removed_by)} and changed by "
                    f"{chosen[PART]}; it is kept as {chosen[PART]} drew it.",
                    ground=chosen.geometry,
                )
            )
        rivals = changed[
            is_changed(changed.geometry.to_numpy(), np.array([chosen.geometry]), pixel=pixel)
            | (changed["class_name"] != chosen["class_name"]).to_numpy()
        ]
        if len(rivals):
            parts = (str(chosen[PART]), *rivals[PART])
            conflicts.append(
                Conflict(
                    kind="changed",
                    parts=parts,
                    object_ids=(int(chosen["object_id"]),),
                    message=f"Object {number} was changed by {' and '.join(parts)}; that of {parts[0]} counts.",
                    ground=shapely.union_all(versions.geometry.to_numpy()),
                )
            )
    return kept, conflicts


def _numbered(objects: geopandas.GeoDataFrame, before: OutlineLabels | None) -> geopandas.GeoDataFrame:
    """New objects get ids above all that went out."""
    known = objects[KNOWN].to_numpy(np.bool_)
    gone = 0 if before is None or before.objects.empty else before.objects["object_id"].max()
    highest = max(int(objects.loc[known, "object_id"].max()) if known.any() else 0, int(gone))
    return objects.assign(object_id=np.where(known, objects["object_id"], highest + np.cumsum(~known)))


def _without_overlaps(
    objects: geopandas.GeoDataFrame, is_thing: NDArray[np.bool_], pixel: float
) -> tuple[NDArray[np.object_], list[Conflict]]:
    outlines = objects.geometry.to_numpy()
    layer = objects["_layer"].to_numpy()
    tree = shapely.STRtree(outlines)
    a, b = tree.query(outlines, predicate="intersects")
    # The higher of a pair first: things, then the first table.
    above = (layer[a] != layer[b]) & (
        (is_thing[a] & ~is_thing[b]) | ((is_thing[a] == is_thing[b]) & (layer[a] < layer[b]))
    )
    a, b = a[above], b[above]
    common = polygons_of(shapely.intersection(outlines[a], outlines[b]))
    real = shapely.area(common) > 0
    if not real.any():
        return outlines, []
    a, b, common = a[real], b[real], common[real]
    left = outlines.copy()
    by_lower = np.argsort(b, kind="stable")
    lower, first = np.unique(b[by_lower], return_index=True)
    for which, those_above in zip(lower.tolist(), np.split(a[by_lower], first[1:]), strict=True):
        left[which] = shapely.difference(outlines[which], shapely.union_all(outlines[those_above]))
    left = polygons_of(left)
    conflicts = list(_overlap_conflicts(objects, a, b, common, is_thing, pixel))
    return left, conflicts


def _overlap_conflicts(
    objects: geopandas.GeoDataFrame,
    above: NDArray[np.int64],
    below: NDArray[np.int64],
    common: NDArray[np.object_],
    is_thing: NDArray[np.bool_],
    pixel: float,
) -> Iterator[Conflict]:
    width = 2 * shapely.area(common) / np.maximum(shapely.length(common), 1e-300)
    contradicts = (is_thing[above] == is_thing[below]) & (width > pixel / 2)
    ids, parts, names = (objects[name].to_numpy() for name in ("object_id", PART, "class_name"))
    for a, b, ground in zip(above[contradicts], below[contradicts], common[contradicts], strict=True):
        yield Conflict(
            kind="overlap",
            parts=(str(parts[a]), str(parts[b])),
            object_ids=(int(ids[a]), int(ids[b])),
            message=f"Object {ids[a]} ({names[a]}, {parts[a]}) and object {ids[b]} ({names[b]}, {parts[b]}) share "
            f"ground; it goes to {ids[a]}.",
            ground=ground,
        )
