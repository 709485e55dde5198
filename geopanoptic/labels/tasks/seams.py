"""Where annotators of neighbouring areas contradict each other: along the seam, and on ground that both saw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from geopanoptic.labels.objects import OutlineLabels
from geopanoptic.labels.tasks.conflict import Conflict
from geopanoptic.labels.tasks.part_reading import PartLabels, told_ids
from geopanoptic.labels.tiles import polygons_of, stitch

_SAME_IOU = 0.5


def seam_conflicts(
    parts: Sequence[PartLabels], before: OutlineLabels | None, *, pixel: float
) -> Iterator[Conflict]:
    """Contradictions between parts that are areas of one map.

    ``before`` are the labels that were split: without them, nobody can say what was removed. ``pixel`` is the side
    of a pixel in map units; what is smaller is no contradiction.
    """
    yield from _two_classes(parts)
    if before is not None:
        yield from _removed_on_one_side(parts, before, pixel)
    for first, second in combinations(parts, 2):
        yield from _drawn_differently(first, second, pixel)


def _two_classes(parts: Sequence[PartLabels]) -> Iterator[Conflict]:
    pieces = pd.concat(
        [each.objects.assign(_id=told_ids(each), _part=part.name) for part in parts for each in part.images],
        ignore_index=True,
    )
    known = pieces[pieces["_id"] > 0]
    differ = known.groupby("_id")["class_name"].transform("nunique") > 1
    for number, found in known[differ].groupby("_id"):
        said = found.drop_duplicates(["_part", "class_name"])
        if said["_part"].nunique() > 1:
            told = ", ".join(
                f"{name!r} by {part}" for name, part in zip(said["class_name"], said["_part"], strict=True)
            )
            yield Conflict(
                kind="class",
                parts=tuple(dict.fromkeys(said["_part"])),
                object_ids=(int(str(number)),),
                message=f"Object {number} is {told}; the larger piece counts.",
                ground=shapely.union_all(found.geometry.to_numpy()),
            )


def _removed_on_one_side(
    parts: Sequence[PartLabels], before: OutlineLabels, pixel: float
) -> Iterator[Conflict]:
    outlines = before.objects.geometry.to_numpy()
    ids = before.objects["object_id"].to_numpy()
    kept_by = {part.name: part.told_ids for part in parts}
    for part in parts:
        others = frozenset().union(*(kept for name, kept in kept_by.items() if name != part.name))
        half = np.array(
            [number in others and number not in kept_by[part.name] for number in ids.tolist()], bool
        )
        if not half.any() or part.ground is None:
            continue
        shown = shapely.intersection(outlines[half], part.ground)
        for number, ground in zip(ids[half].tolist(), shown, strict=True):
            if shapely.area(ground) > pixel**2:
                keepers = tuple(name for name, kept in kept_by.items() if number in kept)
                yield Conflict(
                    kind="removed",
                    parts=(part.name, *keepers),
                    object_ids=(number,),
                    message=f"Object {number} was removed by {part.name} and kept by {', '.join(keepers)}; "
                    "only the piece that was kept is left.",
                    ground=ground,
                )


def _drawn_differently(first: PartLabels, second: PartLabels, pixel: float) -> Iterator[Conflict]:
    if first.ground is None or second.ground is None:
        return
    strip = shapely.intersection(first.ground, second.ground)
    if shapely.area(strip) <= pixel**2:
        return
    of_first, of_second = (_clipped(each, strip) for each in (first, second))
    for mine, theirs, name, other in (
        (of_first, of_second, first.name, second.name),
        (of_second, of_first, second.name, first.name),
    ):
        best = best_iou(mine.geometry.to_numpy(), theirs.geometry.to_numpy())
        for k in np.flatnonzero(
            (best < _SAME_IOU) & (shapely.area(mine.geometry.to_numpy()) > pixel**2)
        ).tolist():
            number = int(mine["object_id"].iloc[k])
            yield Conflict(
                kind="seam",
                parts=(name, other),
                object_ids=(number,),
                message=f"What {name} drew as object {number} is not there, or another, in what {other} drew; "
                "each counts up to the middle of the ground that both saw.",
                ground=mine.geometry.iloc[k],
            )


def _clipped(part: PartLabels, strip: shapely.Geometry) -> pd.DataFrame:
    frame = stitch(part.images).objects
    ground = polygons_of(shapely.intersection(frame.geometry.to_numpy(), strip))
    return frame.set_geometry(ground, crs=frame.crs)[shapely.area(ground) > 0]


def best_iou(outlines: NDArray[np.object_], others: NDArray[np.object_]) -> NDArray[np.float64]:
    """For every outline its highest intersection over union with any of the others."""
    best = np.zeros(len(outlines))
    a, b = shapely.STRtree(others).query(outlines, predicate="intersects")
    common = shapely.area(shapely.intersection(outlines[a], others[b]))
    union = shapely.area(outlines)[a] + shapely.area(others)[b] - common
    np.maximum.at(best, a, common / np.where(union > 0, union, 1))
    return best
