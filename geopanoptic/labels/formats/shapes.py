"""Shapes as annotation tools know them: simple closed lines on an image, several of which may be one object.

No tool here can draw a hole. A polygon with holes is therefore cut through them into pieces that belong together,
and read back as their union: the same ground.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import shapely
from affine import Affine
from numpy.typing import NDArray

from geopanoptic.labels.formats.format import Written
from geopanoptic.labels.formats.tables import with_columns
from geopanoptic.labels.joining import ROUNDING_PX, joined
from geopanoptic.labels.objects import Canvas, Labels, OutlineLabels, as_outlines, pixel_outlines
from geopanoptic.labels.taxonomy import UNCLASSIFIED, Taxonomy, taxonomy_of_names, with_unclassified
from geopanoptic.labels.tiles import SOURCE_ID


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A piece of an object: ``outline`` without holes in pixel coordinates. Pieces with one ``key`` are one object."""

    key: object
    class_name: str
    outline: shapely.Geometry
    score: float = float("nan")
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ring(self) -> NDArray[np.float64]:
        """Corners (n, 2) as x, y, the first not repeated at the end."""
        return shapely.get_coordinates(self.outline)[:-1]


@dataclass(slots=True)
class Tally:
    """The outlines of every image in turn, and how many images and objects there were so far.

    What is being looked at is counted already.
    """

    labels: Iterable[Labels]
    images: int = 0
    objects: int = 0

    def __iter__(self) -> Iterator[OutlineLabels]:
        for each in self.labels:
            outlines = as_outlines(each)
            self.images += 1
            self.objects += len(outlines.objects)
            yield outlines

    def written(self, *files: Path, losses: tuple[str, ...] = ()) -> Written:
        """The account of a writer that has looked at all of them."""
        return Written(files=files, images=self.images, objects=self.objects, losses=losses)


def shapes_of(labels: OutlineLabels, canvas: Canvas) -> Iterator[Shape]:
    """The pieces of all objects, object by object."""
    frame = labels.objects
    attributes = frame.drop(
        columns=["object_id", "class_name", "score", SOURCE_ID, frame.geometry.name], errors="ignore"
    ).to_dict("records")
    for outline, key, name, score, each in zip(
        pixel_outlines(labels, canvas),
        frame["object_id"].tolist(),
        frame["class_name"],
        frame["score"].tolist(),
        attributes or [{}] * len(frame),
        strict=True,
    ):
        told = {name: value for name, value in each.items() if not _is_missing(value)}
        for part in shapely.get_parts(outline):
            for piece in without_holes(part):
                yield Shape(key=key, class_name=name, outline=piece, score=score, attributes=told)


def labels_of_shapes(
    shapes: Iterable[Shape], taxonomy: Taxonomy, canvas: Canvas, *, raw: bool = False
) -> OutlineLabels:
    """Pieces with one key and one class as one object, in the order of their first pieces.

    Keys that are whole numbers above 0 become the ids, and ``source_id`` of their objects; others get new ids, as do
    pieces of another class than the first with the same key: tools group things of several classes, too.
    ``raw``: those have one id, pieces that cross themselves stay as they are, and a class may be empty.
    """
    by_key: dict[tuple[object, str], list[Shape]] = {}
    for shape in shapes:
        by_key.setdefault((shape.key, shape.class_name), []).append(shape)
    own = [key if isinstance(key, int) and 0 < key < 2**31 else None for key, _ in by_key]
    if not raw:
        again = pd.Series(own, dtype=object).duplicated()
        own = [None if repeated else key for key, repeated in zip(own, again, strict=True)]
    fresh = count(1 + max((key for key in own if key is not None), default=0))
    rows = [
        {
            "object_id": next(fresh) if key is None else key,
            "class_name": pieces[0].class_name or ("" if raw else UNCLASSIFIED),
            "score": pieces[0].score,
            **pieces[0].attributes,
            # What had a number was exported with it, and has it in the neighbouring image too.
            SOURCE_ID: key,
        }
        for key, pieces in zip(own, by_key.values(), strict=True)
    ]
    table = pd.DataFrame(rows) if rows else pd.DataFrame({"object_id": [], "class_name": []})
    join = _as_drawn if raw else _together
    outlines = [join([piece.outline for piece in pieces]) for pieces in by_key.values()]
    frame = geopandas.GeoDataFrame(with_columns(table), geometry=outlines)
    # Pixel coordinates: where the image lies is not a matter of the tool.
    bare = Canvas(image=canvas.image, height=canvas.height, width=canvas.width)
    return OutlineLabels(objects=frame, taxonomy=taxonomy, canvas=bare)


def corners(stated: Any) -> NDArray[np.float64]:
    """Corners (n, 2) from pairs, or from x, y, x, y, ... Raises ``TypeError`` or ``ValueError`` for what is no corner."""
    points = np.asarray(stated, np.float64).reshape(-1, 2)
    if not np.isfinite(points).all():
        raise ValueError("a corner has no finite coordinates")
    return points


def mask_outline(mask_hw: NDArray[np.bool_]) -> shapely.Geometry | None:
    """The outline of the True pixels of an image, along pixel edges; None where there is none."""
    from geopanoptic.panoptic.coverage import trace

    rows, cols = np.flatnonzero(mask_hw.any(axis=1)), np.flatnonzero(mask_hw.any(axis=0))
    if len(rows) == 0:
        return None
    # Traced within its box: an image has many masks.
    part = mask_hw[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1].astype(np.int32)
    _, polygons = trace(part, Affine.translation(cols[0], rows[0]))
    return polygons[0] if len(polygons) == 1 else shapely.multipolygons(polygons)


def taxonomy_for(names: Iterable[str], given: Taxonomy | None) -> Taxonomy:
    """The classes that are known, where they hold all names; else the names, sorted, as things.

    With ``UNCLASSIFIED``, where a name is empty.
    """
    every = set(names)
    found = sorted(every - {""})
    if given is None or not all(name in given for name in found):
        given = taxonomy_of_names(found or [UNCLASSIFIED if every else "object"])
    return with_unclassified(given) if "" in every else given


def without_holes(polygon: shapely.Polygon) -> list[shapely.Polygon]:
    """Polygons without holes that together cover the same ground, cut along whole pixel coordinates where possible."""
    if not polygon.interiors:
        return [polygon]
    left, bottom, right, top = polygon.bounds
    hole = polygon.interiors[0].bounds
    # Through the hole's middle, on a pixel edge where the hole is that wide, across the shorter side.
    across = 0 if right - left >= top - bottom else 1
    middle = (hole[across] + hole[across + 2]) / 2
    whole = np.round(middle)
    cut = whole if hole[across] < whole < hole[across + 2] else middle
    if across == 0:
        sides = shapely.box([left, cut], bottom, [cut, right], top)
    else:
        sides = shapely.box(left, [bottom, cut], right, [cut, top])
    parts = [part for part in shapely.get_parts(shapely.intersection(polygon, sides)) if part.area > 0]
    return [piece for part in parts for piece in without_holes(part)]


def _together(pieces: list[shapely.Geometry]) -> shapely.Geometry:
    sound = [piece if piece.is_valid else shapely.make_valid(piece) for piece in pieces]
    return joined([part for each in sound for part in shapely.get_parts(each) if part.area > 0], ROUNDING_PX)


def _as_drawn(pieces: list[shapely.Geometry]) -> shapely.Geometry:
    if all(piece.is_valid for piece in pieces):
        return _together(pieces)
    return pieces[0] if len(pieces) == 1 else shapely.multipolygons(shapely.get_parts(pieces))


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))
