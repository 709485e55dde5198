"""Outlines against each other: overlaps, duplicates, small unlabelled holes between neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from geopanoptic.labels.check.issue import Issue, in_words
from geopanoptic.labels.check.subject import Subject, mean_width, polygons_of

_DUPLICATE_IOU = 0.95
_INSIDE = 0.99
_AT_ONCE = 200_000
"""Pairs whose relation is looked at in one go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlaps:
    """Pairs of rows that claim the same ground: ``first`` < ``second``, ``common`` ground, its area and IoU, (p,)."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    common: NDArray[np.object_]
    area: NDArray[np.float64]
    iou: NDArray[np.float64]


def find_overlaps(subject: Subject) -> Overlaps:
    """Every pair whose common ground is wider than the tolerance, in the order of rows."""
    outlines = subject.outlines
    first, second = subject.tree.query(outlines)
    ordered = first < second
    first, second = first[ordered], second[ordered]
    interiors = np.concatenate(
        [np.zeros(0, np.bool_)]
        + [
            shapely.relate_pattern(
                outlines[first[k : k + _AT_ONCE]], outlines[second[k : k + _AT_ONCE]], "T********"
            )
            for k in range(0, len(first), _AT_ONCE)
        ]
    )
    first, second = first[interiors], second[interiors]
    common = np.asarray(shapely.intersection(outlines[first], outlines[second]), dtype=object)
    mixed = shapely.get_type_id(common) == shapely.GeometryType.GEOMETRYCOLLECTION
    common[mixed] = [polygons_of(each) for each in common[mixed]]
    area = shapely.area(common)
    kept = (mean_width(common) > subject.tolerance) & (area > 0)
    first, second, common, area = first[kept], second[kept], common[kept], area[kept]
    iou = area / (subject.area[first] + subject.area[second] - area)
    order = np.lexsort((second, first))
    return Overlaps(
        first=first[order], second=second[order], common=common[order], area=area[order], iou=iou[order]
    )


def overlaps(subject: Subject) -> Iterator[Issue]:
    """Overlaps and duplicates. One thing drawn on top of another, wholly inside, is a warning: it can be meant."""
    if subject.is_raster:
        return
    found = find_overlaps(subject)
    smaller = np.minimum(subject.area[found.first], subject.area[found.second])
    rows = zip(found.first.tolist(), found.second.tolist(), strict=True)
    for k, (a, b) in enumerate(rows):
        pair, ids = f"{subject.ids[a]} and {subject.ids[b]}", subject.ids_of([a, b])
        share = float(found.area[k] / smaller[k])
        if found.iou[k] >= _DUPLICATE_IOU:
            like = (
                "the same outline"
                if found.iou[k] > 1 - 1e-9
                else f"nearly one outline (IoU {found.iou[k]:.3f})"
            )
            yield Issue(
                kind="duplicate-outline",
                severity="error",
                message=f"Objects {pair} have {like}.",
                object_ids=ids,
                geometry=subject.outlines[a],
                amount=float(found.iou[k]),
            )
        else:
            nested = share >= _INSIDE
            yield Issue(
                kind="overlap",
                severity="warning" if nested else "error",
                message=f"Objects {pair} overlap on {in_words(found.area[k], subject.unit, subject.metres, power=2)}"
                + (", the smaller lies inside." if nested else f", {share:.1%} of the smaller."),
                object_ids=ids,
                geometry=found.common[k],
                amount=float(found.area[k]),
            )


def gaps(subject: Subject) -> Iterator[Issue]:
    """Unlabelled holes that labels enclose, wider than the tolerance and smaller than ``Subject.gap_area``.

    Neighbours whose borders differ by less than the tolerance are taken to meet, and so are those closer than half
    a sliver's width around a hole that is wider: such a mouth opens it to the ground outside in theory only.
    """
    if subject.is_raster:
        _, once = np.unique(subject.ids, return_index=True)
        holes = _holes(shapely.coverage_union_all(subject.outlines[once]))
    else:
        holes = _enclosed(subject, subject.tolerance / 2)
        wider = _enclosed(subject, subject.sliver_width / 4)
        again = shapely.STRtree(wider).query(holes, predicate="intersects")[1]
        holes = np.concatenate([holes, np.delete(wider, np.unique(again))])
    small = (shapely.area(holes) < subject.gap_area) & (mean_width(holes) > 2 * subject.tolerance)
    holes = holes[small]
    touching, neighbours = subject.tree.query(holes, predicate="dwithin", distance=subject.sliver_width / 2)
    order = np.lexsort((neighbours, touching))
    around = np.split(neighbours[order], np.searchsorted(touching[order], np.arange(1, len(holes))))
    for hole, rows in zip(holes, around[: len(holes)], strict=True):
        ids = subject.ids_of(rows)
        named = ", ".join(map(str, ids[:3])) + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")
        where = f"between objects {named}" if len(ids) > 1 else f"inside object {named}"
        yield Issue(
            kind="gap",
            severity="warning",
            message=f"{in_words(hole.area, subject.unit, subject.metres, power=2)} {where} are unlabelled.",
            object_ids=ids,
            geometry=hole,
            amount=float(hole.area),
        )


def _enclosed(subject: Subject, margin: float) -> NDArray[np.object_]:
    """Holes that are left when every outline grows by ``margin``, grown back."""
    grown = shapely.buffer(subject.outlines, margin, quad_segs=1, join_style="mitre")
    # Whole islands of labels apart from each other are united on their own, which is many times faster.
    holes = _holes(shapely.disjoint_subset_union_all(grown))
    return np.asarray(shapely.buffer(holes, margin, quad_segs=1, join_style="mitre"), dtype=object)


def _holes(covered: shapely.Geometry) -> NDArray[np.object_]:
    parts = shapely.get_parts(covered)
    # Labels without any ground are covered by empty parts, which have no rings.
    parts = parts[~shapely.is_empty(parts)]
    count = shapely.get_num_interior_rings(parts)
    is_hole = np.ones(int((count + 1).sum()), np.bool_)
    # The exterior ring of a part comes before its holes.
    is_hole[np.cumsum(count + 1) - count - 1] = False
    return np.asarray(shapely.polygons(shapely.get_rings(parts)[is_hole]), dtype=object)
