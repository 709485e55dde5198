"""What changed from one state of labels to another: objects added, removed, and changed in outline, class, attributes.

Objects are the same where they share most of their ground (IoU above one half), or where they have the same id and
share any. Formats need not be the same: labels are compared as outlines on the map, or image by image where nobody
knows where the images lie.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from geopanoptic.errors import UsageError
from geopanoptic.labels.formats.format import ReadOptions
from geopanoptic.labels.formats.registry import format_named, recognise
from geopanoptic.labels.objects import COLUMNS, Labels, OutlineLabels, as_outlines, in_crs
from geopanoptic.labels.sidecar import placed, read_sidecar
from geopanoptic.labels.tiles import SOURCE_ID, stitch

Change = Literal["added", "removed", "changed"]

LEAST_IOU = 0.5
SAME_IOU = 0.9999
"""Outlines that share this much are one: a format in degrees or in percent rounds by less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """``changes`` has a row per object that is not as it was, and its outline (of a removed one: as it was).

    Columns: ``image`` (empty on a map), ``change``, ``before_id`` and ``after_id`` (0: none), ``before_class`` and
    ``after_class``, ``iou`` (NaN unless changed), ``what``: outline, class and names of attributes, by commas.
    ``unchanged`` counts the others.
    """

    changes: geopandas.GeoDataFrame
    unchanged: int

    def counts(self) -> dict[str, int]:
        """Objects by kind of change."""
        of = self.changes["change"].value_counts()
        kinds: tuple[Change, ...] = ("added", "removed", "changed")
        return {**{kind: int(of.get(kind, 0)) for kind in kinds}, "unchanged": self.unchanged}

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        table = pd.DataFrame(self.changes.drop(columns="geometry"))
        rows = table.astype(object).where(table.notna(), None).to_dict("records")
        return {"objects": self.counts(), "changes": rows}


def difference(before: Path, after: Path, *, class_column: str | None = None) -> Difference:
    """Compare two files or folders of labels, of any formats.

    ``class_column`` is the column of the class in maps, or ``BEFORE,AFTER`` where they have it in different ones.

    Raises ``UsageError`` for labels that cannot be read, or of which one lies on the map and the other does not.
    """
    of_old, comma, of_new = (class_column or "").partition(",")
    old = _by_place(before, of_old or None)
    new = _by_place(after, (of_new if comma else of_old) or None)
    if ("" in old) != ("" in new):
        on_map, bare = (before, after) if "" in old else (after, before)
        raise UsageError(
            f"{on_map} lies on the map, and where {bare} lies nobody knows.",
            remedy="Convert the latter with --image first.",
        )
    parts, unchanged = [], 0
    for image in dict.fromkeys([*old, *new]):
        changed, same = _compared(old.get(image), new.get(image))
        parts.append(changed.assign(image=image))
        unchanged += same
    whole = pd.concat(parts, ignore_index=True)
    first = ["image", "change", "before_id", "after_id", "before_class", "after_class", "iou", "what"]
    return Difference(changes=whole[[*first, "geometry"]], unchanged=unchanged)


def _by_place(path: Path, class_column: str | None) -> dict[str, geopandas.GeoDataFrame]:
    """The objects of one map under the empty name, else those of every image under its name."""
    beside = read_sidecar(path)
    options = ReadOptions(taxonomy=beside.taxonomy, images=beside.images, class_column=class_column)
    read = format_named(recognise(path).name).read(path, options)
    images = [placed(each, beside.images) for each in read]
    if all(_lies_somewhere(each) for each in images):
        whole = as_outlines(images[0]) if len(images) == 1 else stitch(images)
        return {"": whole.objects}
    outlines = [as_outlines(each) for each in images]
    return {"" if each.canvas is None else each.canvas.image: each.objects for each in outlines}


def _lies_somewhere(labels: Labels) -> bool:
    if isinstance(labels, OutlineLabels) and labels.objects.crs is not None:
        return True
    return labels.canvas is None or labels.canvas.transform is not None


def _compared(
    old: geopandas.GeoDataFrame | None, new: geopandas.GeoDataFrame | None
) -> tuple[geopandas.GeoDataFrame, int]:
    there = old if old is not None else new
    old = _without_rows(there) if old is None else old.reset_index(drop=True)
    new = _without_rows(there) if new is None else new.reset_index(drop=True)
    if old.crs is not None and new.crs is not None and new.crs != old.crs:
        new = new.set_geometry(in_crs(new.geometry, old.crs))
    a, b, iou = pairs(old, new)
    what = _what(old.iloc[a], new.iloc[b], iou)
    differs = np.array([each != "" for each in what], np.bool_)
    removed = np.setdiff1d(np.arange(len(old)), a)
    added = np.setdiff1d(np.arange(len(new)), b)
    nothing = np.full(len(removed) + len(added), np.nan)
    rows = pd.DataFrame(
        {
            "change": ["changed"] * int(differs.sum()) + ["removed"] * len(removed) + ["added"] * len(added),
            "before_id": [*_of(old, "object_id", [*a[differs], *removed]), *[0] * len(added)],
            "after_id": [
                *_of(new, "object_id", b[differs]),
                *[0] * len(removed),
                *_of(new, "object_id", added),
            ],
            "before_class": [*_of(old, "class_name", [*a[differs], *removed]), *[""] * len(added)],
            "after_class": [
                *_of(new, "class_name", b[differs]),
                *[""] * len(removed),
                *_of(new, "class_name", added),
            ],
            "iou": np.concatenate([iou[differs], nothing]),
            "what": [*[each for each in what if each], *[""] * len(nothing)],
        }
    )
    outlines = [
        *_of(new, "geometry", b[differs]),
        *_of(old, "geometry", removed),
        *_of(new, "geometry", added),
    ]
    # Formats that lack some objects' ids are read with numbers that can be absent.
    rows = rows.astype({"before_id": np.int64, "after_id": np.int64})
    return geopandas.GeoDataFrame(rows, geometry=outlines, crs=old.crs), int((~differs).sum())


def _without_rows(frame: geopandas.GeoDataFrame | None) -> geopandas.GeoDataFrame:
    if frame is None:
        raise ValueError("neither state has the image")
    return frame.iloc[:0].reset_index(drop=True)


def _of(frame: geopandas.GeoDataFrame, column: str, rows: Any) -> list[Any]:
    values = frame[column].to_numpy()[np.asarray(rows, np.int64)]
    return list(values) if column == "geometry" else values.tolist()


def pairs(
    old: geopandas.GeoDataFrame, new: geopandas.GeoDataFrame
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Rows of objects that are the same, each at most once, and the IoU of every pair: see ``labels diff``."""
    outlines, others = np.asarray(old.geometry.array), np.asarray(new.geometry.array)
    a, b = shapely.STRtree(others).query(outlines, predicate="intersects")
    common = shapely.area(shapely.intersection(outlines[a], others[b]))
    iou = common / np.maximum(shapely.area(outlines)[a] + shapely.area(others)[b] - common, 1e-300)
    same_id = old["object_id"].to_numpy()[a] == new["object_id"].to_numpy()[b]
    kept = (iou > LEAST_IOU) | (same_id & (iou > 0))
    # The best pair of both its objects first; of equals the one whose ids agree.
    order = np.lexsort((b, a, ~same_id, -iou))
    candidates = pd.DataFrame({"a": a, "b": b, "iou": iou}).iloc[order[kept[order]]]
    chosen = pd.concat([candidates.iloc[:0], *_mutual(candidates)]).sort_values("a")
    return chosen["a"].to_numpy(np.int64), chosen["b"].to_numpy(np.int64), chosen["iou"].to_numpy(np.float64)


def _mutual(candidates: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Pairs that are the first left of both their objects, until none is left."""
    while len(candidates):
        best = ~candidates.duplicated("a") & ~candidates.duplicated("b")
        chosen = candidates[best]
        yield chosen
        taken = candidates["a"].isin(chosen["a"]) | candidates["b"].isin(chosen["b"])
        candidates = candidates[~taken]


def _what(old: geopandas.GeoDataFrame, new: geopandas.GeoDataFrame, iou: NDArray[np.float64]) -> list[str]:
    """What differs in every pair, by commas; empty where nothing does."""
    found = {
        "outline": iou < SAME_IOU,
        "class": old["class_name"].to_numpy() != new["class_name"].to_numpy(),
    }
    told = {*COLUMNS[:2], "class_id", "kind", "geometry", SOURCE_ID}
    for name in [each for each in old if each in new and each not in told]:
        found[name] = _differ(old[name].to_numpy(), new[name].to_numpy())
    return [
        ", ".join(name for name, differs in zip(found, row, strict=True) if differs)
        for row in zip(*found.values(), strict=True)
    ]


def _differ(old: NDArray[Any], new: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether values differ; numbers to a part in a thousand million, missing ones only from others."""
    absent, absent_now = pd.isna(old), pd.isna(new)
    numbers = pd.to_numeric(pd.Series(old), errors="coerce").to_numpy(np.float64)
    numbers_now = pd.to_numeric(pd.Series(new), errors="coerce").to_numpy(np.float64)
    equal = np.isclose(numbers, numbers_now, rtol=1e-9, atol=0) | (old.astype(str) == new.astype(str))
    return np.asarray((absent != absent_now) | (~absent & ~absent_now & ~equal))
