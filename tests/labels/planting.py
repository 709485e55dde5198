"""Defects planted in clean labels, kind by kind, and whether a report finds them.

A planter takes clean labels (``object_id``, ``class_name``, ``kind``, geometry) and plants ``count`` defects of one
kind in objects far enough apart that one defect does not hide another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import geopandas
import numpy as np
import pandas as pd
import shapely

from geopanoptic.labels.check.issue import Issue
from geopanoptic.labels.check.report import Report
from geopanoptic.labels.check.subject import Limits, mean_width


@dataclass(frozen=True, kw_only=True)
class Planted:
    """Labels with defects: for each the ids that a message about it may name, and where it is."""

    labels: geopandas.GeoDataFrame
    ids: list[set[int]]
    places: list[shapely.Geometry]
    words: list[str] = field(default_factory=list)
    """For defects that are told in words only: what the message must contain."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """``present``: issues of the kind that the clean labels had already. ``false_alarms``: issues of any kind that
    the clean labels did not have and that touch no planted defect."""

    planted: int
    found: int
    present: int
    false_alarms: list[Issue]


def outcome(kind: str, planted: Planted, report: Report, clean: Report) -> Outcome:
    """Compare a report on planted labels with one on clean ones."""
    of_kind = [each for each in report.issues if each.kind == kind]
    found = 0
    for n, (ids, place) in enumerate(zip(planted.ids, planted.places, strict=True)):
        if planted.words:
            found += any(repr(planted.words[n]) in each.message for each in of_kind)
        else:
            found += any(_meets(each, ids, place) for each in of_kind)
    known = {_key(each) for each in clean.issues}
    every = set().union(*planted.ids)
    ground = shapely.buffer(shapely.union_all([each for each in planted.places if each is not None]), 1e-6)
    shapely.prepare(ground)
    alarms = [
        each
        for each in report.issues
        if _key(each) not in known
        and not every & set(each.object_ids)
        and not (each.geometry is not None and shapely.intersects(ground, each.geometry))
        and not any(repr(word) in each.message for word in planted.words)
    ]
    present = sum(each.kind == kind for each in clean.issues)
    return Outcome(planted=len(planted.ids), found=found, present=present, false_alarms=alarms)


def _meets(issue: Issue, ids: set[int], place: shapely.Geometry) -> bool:
    if issue.object_ids:
        return bool(ids & set(issue.object_ids)) and (
            issue.geometry is None or place is None or shapely.dwithin(issue.geometry, place, 1.0)
        )
    return issue.geometry is not None and shapely.intersects(issue.geometry, place)


def _key(issue: Issue) -> tuple[object, ...]:
    if issue.geometry is None or issue.geometry.is_empty:
        return issue.kind, issue.object_ids
    x, y = shapely.get_coordinates(issue.geometry.centroid)[0]
    # Ids may be what was planted.
    return issue.kind, round(x), round(y)


def limits_of(report: Report) -> Limits:
    """What counted as a defect, so that it counts in changed labels too: the defaults follow the labels' sizes."""
    figures = report.images[0]
    return Limits(tolerance=figures.tolerance, sliver_width=figures.sliver_width, gap_area=figures.gap_area)


Planter = Callable[[geopandas.GeoDataFrame, int, np.random.Generator], Planted]


def apart(labels: geopandas.GeoDataFrame, count: int, rng: np.random.Generator) -> list[int]:
    """Rows of ordinary things, no two of which are neighbours."""
    shapes = np.asarray(labels.geometry.array)
    area = shapely.area(shapes)
    ordinary = np.flatnonzero((labels["kind"] == "thing").to_numpy() & (area > np.median(area) / 2))
    tree = shapely.STRtree(shapes)
    taken: list[int] = []
    near: set[int] = set()
    for row in rng.permutation(ordinary).tolist():
        if row not in near:
            taken.append(row)
            near.update(tree.query(shapes[row], predicate="dwithin", distance=30.0).tolist())
        if len(taken) == count:
            return taken
    raise ValueError(f"only {len(taken)} of {count} objects lie apart")


def neighbours(
    labels: geopandas.GeoDataFrame, rng: np.random.Generator
) -> Iterator[tuple[int, int, shapely.Point]]:
    """Pairs of things that share a border, no object twice, with a point in the middle of the border."""
    shapes = np.asarray(labels.geometry.array)
    things = (labels["kind"] == "thing").to_numpy()
    large = shapely.area(shapes) > np.median(shapely.area(shapes)) / 2
    first, second = shapely.STRtree(shapes).query(shapes, predicate="dwithin", distance=0.5)
    kept = (first < second) & things[first] & things[second] & large[first] & large[second]
    used: set[int] = set()
    for a, b in rng.permutation(np.column_stack([first[kept], second[kept]])).tolist():
        border = shapely.intersection(shapely.boundary(shapes[a]), shapely.buffer(shapes[b], 0.5))
        line = max(shapely.get_parts(shapely.line_merge(border)), key=shapely.length)
        if not used & {a, b} and line.length >= 40:
            used |= {a, b}
            yield a, b, line.interpolate(0.5, normalized=True)


def overlap(labels: geopandas.GeoDataFrame, count: int, rng: np.random.Generator) -> Planted:
    """One neighbour grows over the border by a disc in its middle."""
    shapes, ids, places = _shapes(labels), [], []
    for a, b, middle in islice(neighbours(labels, rng), count):
        disc = shapely.buffer(middle, 0.15 * np.sqrt(shapes[b].area))
        shapes[a] = _largest(shapely.union(shapes[a], disc))
        ids.append(_ids(labels, a, b))
        places.append(disc)
    return Planted(labels=_with(labels, shapes), ids=ids, places=places)


def duplicate_outline(labels: geopandas.GeoDataFrame, count: int, rng: np.random.Generator) -> Planted:
    """An object again under another id: exactly, from another corner on, or drawn anew within 0.2 m."""
    rows = apart(labels, count, rng)
    copies = labels.iloc[rows].copy()
    copies["object_id"] = _fresh(labels, count)
    shapes = np.asarray(copies.geometry.array).copy()
    shapes[::3] = shapely.normalize(shapes[::3])
    shapes[1::3] = shapely.transform(shapes[1::3], lambda xy: xy + 0.2)
    whole = pd.concat([labels, copies.set_geometry(shapes, crs=labels.crs)], ignore_index=True)
    ids = [
        {int(labels["object_id"].iloc[row]), int(new)}
        for row, new in zip(rows, copies["object_id"], strict=True)
    ]
    return Planted(labels=whole, ids=ids, places=list(shapes))


def duplicate_id(labels: geopandas.GeoDataFrame, count: int, rng: np.random.Generator) -> Planted:
    """Another object of the class gets the id."""
    rows = apart(labels, 2 * count, rng)
    changed = labels.copy()
    places = []
    for a, b in zip(rows[:count], rows[count:], strict=True):
        changed.loc[b, ["object_id", "class_name"]] = changed.loc[a, ["object_id", "class_name"]].to_numpy()
        places.append(changed.geometry.iloc[b])
    return Planted(labels=changed, ids=[_ids(labels, a) for a in rows[:count]], places=places)


def class_contradiction(labels: geopandas.GeoDataFrame, count: int, rng: np.random.Generator) -> Planted:
    """A part of an object is stored as an object of its own, with the id and another class."""
    rows = apart(labels, count, rng)
    shapes = _shapes(labels)
    parts = labels.iloc[rows].copy()
    cut_off = []
    for row in rows:
        part, rest = _halves(shapes[row])
        shapes[row] = rest
        cut_off.append(part)
    things = sorted(set(labels.loc[labels["kind"] == "thing", "class_name"]))
    parts["class_name"] = [
        next(other for other in [*things, "other"] if other != name) for name in parts["class_name"]
    ]
    whole = pd.concat([_with(labels, shapes), parts.set_geometry(cut_off, crs=labels.crs)], ignore_index=True)
    return Planted(labels=whole, ids=[_ids(labels, row) for row in rows], places=cut_off)


def invalid_outline(labels: geopandas.GeoDataFrame, count: int, rng: np.random.Generator) -> Planted:
    """Two corners in the wrong order, so that the line crosses itself."""
    shapes = _shapes(labels)
    rows = [row for row in apart(labels, 2 * count, rng) if _crossed(shapes[row]) is not None][:count]
    places = [shapes[row] for row in rows]
    for row in rows:
        shapes[row] = _crossed(shapes[row])
    return Planted(labels=_with(labels, shapes), ids=[_ids(labels, row) for row in rows], places=places)


def no_outline(labels: geopandas.GeoDataFrame, count: int, rng: np.random.Generator) -> Planted:
    """A row without geometry, or with an empty one."""
    rows = apart(labels, count, rng)
    shapes = _shapes(labels)
    places = [shapes[row] for row in rows]
    for n, row in enumerate(rows):
        shapes[row] = None if n % 2 else shapely.Polygon()
    return Planted(labels=_with(labels, shapes), ids=[_ids(labels, row) for row in rows], places=places)


def sliver(labels: geopandas.GeoDataFrame, count: int, rng: np.random.Generator) -> Planted:
    """A strip along a side of an object becomes an object of its own."""
    width = 0.9 * np.median(mean_width(_shapes(labels))) / 20
    rows = apart(labels, count, rng)
    shapes, strips = _shapes(labels), []
    for row in rows:
        left, low, _, high = shapes[row].bounds
        middle = (low + high) / 2
        band = shapely.box(left - 1, middle, shapes[row].bounds[2] + 1, middle + width)
        strips.append(_largest(shapely.intersection(shapes[row], band)))
        shapes[row] = shapely.difference(shapes[row], strips[-1])
    new = labels.iloc[rows].copy()
    new["object_id"] = _fresh(labels, count)
    whole = pd.concat([_with(labels, shapes), new.set_geometry(strips, crs=labels.crs)], ignore_index=True)
    return Planted(labels=whole, ids=[{int(each)} for each in new["object_id"]], places=strips)


def gap(labels: geopandas.GeoDataFrame, count: int, rng: np.random.Generator) -> Planted:
    """A hole in the border between two neighbours, not through either to what lies beyond."""
    shapes, ids, places = _shapes(labels), [], []
    radius = np.sqrt(0.3 * np.median(shapely.area(shapes)) / 20 / np.pi)
    for a, b, middle in neighbours(labels, rng):
        hole = shapely.buffer(middle, radius)
        ground = shapely.union_all(shapely.buffer(shapes[[a, b]], 0.5))
        if len(ids) < count and shapely.contains(ground, shapely.buffer(hole, 1.0)):
            shapes[[a, b]] = shapely.difference(shapes[[a, b]], hole)
            ids.append(_ids(labels, a, b))
            places.append(hole)
    return Planted(labels=_with(labels, shapes), ids=ids, places=places)


def missing_id(labels: geopandas.GeoDataFrame, count: int, rng: np.random.Generator) -> Planted:
    rows = apart(labels, count, rng)
    changed = labels.astype({"object_id": "Int64"})
    changed.loc[rows, "object_id"] = pd.NA
    places = list(labels.geometry.iloc[rows].representative_point())
    return Planted(labels=changed, ids=[set() for _ in rows], places=places)


def no_class(labels: geopandas.GeoDataFrame, count: int, rng: np.random.Generator) -> Planted:
    rows = apart(labels, count, rng)
    return _renamed(labels, rows, [None if n % 2 else "" for n in range(count)])


def unknown_class(labels: geopandas.GeoDataFrame, count: int, rng: np.random.Generator) -> Planted:
    rows = apart(labels, count, rng)
    return _renamed(labels, rows, [f"{labels['class_name'].iloc[row]}x" for row in rows])


def wrong_kind(labels: geopandas.GeoDataFrame, count: int, rng: np.random.Generator) -> Planted:
    rows = apart(labels, count, rng)
    changed = labels.copy()
    changed.loc[rows, "kind"] = "stuff"
    places = list(labels.geometry.iloc[rows])
    return Planted(labels=changed, ids=[_ids(labels, row) for row in rows], places=places)


def class_spelling(labels: geopandas.GeoDataFrame, count: int, rng: np.random.Generator) -> Planted:
    """The class of an object in another case, with other spaces, each in its own way."""
    rows = apart(labels, count, rng)
    names = []
    for n, row in enumerate(rows):
        name = str(labels["class_name"].iloc[row])
        at = n % len(name)
        mixed = name[:at].upper() + name[at:].swapcase()
        names.append(mixed + " " * (1 + n // len(name)))
    found = _renamed(labels, rows, names)
    return Planted(labels=found.labels, ids=found.ids, places=found.places, words=names)


def stuff_ids(labels: geopandas.GeoDataFrame, count: int, rng: np.random.Generator) -> Planted:
    """An area of land cover in two halves with an id each."""
    rows = apart(labels, count, rng)
    shapes, halves = _shapes(labels), []
    for row in rows:
        shapes[row], half = _halves(shapes[row])
        halves.append(half)
    changed = _with(labels, shapes)
    changed.loc[rows, ["class_name", "kind"]] = ["planted cover", "stuff"]
    new = changed.iloc[rows].copy()
    new["object_id"] = _fresh(labels, count)
    whole = pd.concat([changed, new.set_geometry(halves, crs=labels.crs)], ignore_index=True)
    return Planted(labels=whole, ids=[_ids(labels, row) for row in rows], places=halves)


def outside_image(box: shapely.Polygon) -> Planter:
    """Objects moved over the edge of the image ``box``, by a tenth of their size to all of it."""

    def plant(labels: geopandas.GeoDataFrame, count: int, rng: np.random.Generator) -> Planted:
        rows = apart(labels, count, rng)
        shapes, places = _shapes(labels), []
        left, low, right, high = box.bounds
        for n, row in enumerate(rows):
            x0, y0, x1, y1 = shapes[row].bounds
            share = 0.1 + 0.9 * (n + 1) / count
            step = [
                (right - x1 + share * (x1 - x0), 0.0),
                (left - x0 - share * (x1 - x0), 0.0),
                (0.0, high - y1 + share * (y1 - y0)),
                (0.0, low - y0 - share * (y1 - y0)),
            ][n % 4]
            shapes[row] = shapely.transform(shapes[row], lambda xy, step=step: xy + np.array(step))
            places.append(shapes[row])
        return Planted(labels=_with(labels, shapes), ids=[_ids(labels, row) for row in rows], places=places)

    return plant


def removed(labels: geopandas.GeoDataFrame, count: int, rng: np.random.Generator) -> Planted:
    """Objects that nobody labelled."""
    rows = apart(labels, count, rng)
    places = list(labels.geometry.iloc[rows])
    kept = labels.drop(index=rows).reset_index(drop=True)
    return Planted(labels=kept, ids=[set() for _ in rows], places=places)


def misdrawn(labels: geopandas.GeoDataFrame, count: int, rng: np.random.Generator) -> Planted:
    """Objects drawn a size of theirs beside their place."""
    rows = apart(labels, count, rng)
    shapes = _shapes(labels)
    for row in rows:
        left, _, right, _ = shapes[row].bounds
        shapes[row] = shapely.transform(shapes[row], lambda xy, by=right - left: xy + np.array([by, 0.0]))
    places = list(shapely.union(shapes[rows], _shapes(labels)[rows]))
    return Planted(labels=_with(labels, shapes), ids=[_ids(labels, row) for row in rows], places=places)


def misnamed(labels: geopandas.GeoDataFrame, count: int, rng: np.random.Generator) -> Planted:
    """Objects of another class that there is."""
    rows = apart(labels, count, rng)
    names = sorted(set(labels["class_name"]))
    told = [next(other for other in names if other != labels["class_name"].iloc[row]) for row in rows]
    return _renamed(labels, rows, told)


def moved(
    labels: geopandas.GeoDataFrame, by: tuple[float, float], within: shapely.Polygon | None = None
) -> geopandas.GeoDataFrame:
    """Labels moved by a vector in map units: all, or those whose middle lies ``within``."""
    shapes = _shapes(labels)
    inside = (
        np.ones(len(shapes), bool) if within is None else shapely.contains(within, shapely.centroid(shapes))
    )
    shapes[inside] = shapely.transform(shapes[inside], lambda xy: xy + np.array(by))
    return _with(labels, shapes)


EXACT: dict[str, Planter] = {
    "overlap": overlap,
    "duplicate-outline": duplicate_outline,
    "duplicate-id": duplicate_id,
    "class-contradiction": class_contradiction,
    "invalid-outline": invalid_outline,
    "no-outline": no_outline,
    "sliver": sliver,
    "gap": gap,
    "missing-id": missing_id,
    "no-class": no_class,
    "unknown-class": unknown_class,
    "wrong-kind": wrong_kind,
    "class-spelling": class_spelling,
    "stuff-ids": stuff_ids,
}
"""Kinds that need no image."""


def _shapes(labels: geopandas.GeoDataFrame) -> np.ndarray:
    return np.array(labels.geometry.array, dtype=object)


def _with(
    labels: geopandas.GeoDataFrame, shapes: Sequence[shapely.Geometry] | np.ndarray
) -> geopandas.GeoDataFrame:
    return labels.set_geometry(geopandas.GeoSeries(list(shapes), index=labels.index, crs=labels.crs))


def _ids(labels: geopandas.GeoDataFrame, *rows: int) -> set[int]:
    return set(labels["object_id"].iloc[list(rows)].tolist())


def _fresh(labels: geopandas.GeoDataFrame, count: int) -> np.ndarray:
    return int(labels["object_id"].max()) + 1 + np.arange(count)


def _renamed(labels: geopandas.GeoDataFrame, rows: list[int], names: Sequence[str | None]) -> Planted:
    changed = labels.copy()
    changed.loc[rows, "class_name"] = np.array(names, dtype=object)
    places = list(labels.geometry.iloc[rows])
    return Planted(labels=changed, ids=[_ids(labels, row) for row in rows], places=places)


def _largest(shape: shapely.Geometry) -> shapely.Polygon:
    return max(
        (part for part in shapely.get_parts(shape) if part.geom_type == "Polygon"), key=lambda each: each.area
    )


def _halves(shape: shapely.Geometry) -> tuple[shapely.Geometry, shapely.Geometry]:
    left, low, _, high = shape.bounds
    middle = shape.centroid.x
    west = shapely.intersection(shape, shapely.box(left - 1, low - 1, middle, high + 1))
    return _largest(west), shapely.difference(shape, _largest(west))


def _crossed(shape: shapely.Geometry) -> shapely.Polygon | None:
    polygon = _largest(shape)
    ring = shapely.get_coordinates(polygon.exterior)[:-1]
    for at in range(len(ring) - 1):
        swapped = ring.copy()
        swapped[[at, at + 1]] = swapped[[at + 1, at]]
        crossed = shapely.Polygon(swapped)
        # Still mostly the same ground, as when a corner is set twice by mistake.
        if not crossed.is_valid and shapely.make_valid(crossed).area > 0.5 * polygon.area:
            return crossed
    return None
