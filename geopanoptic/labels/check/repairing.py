"""What of labels can be repaired without looking at the image, every change listed.

In this order:

1. outlines that cross themselves are made valid; what has no area left is dropped;
2. of exact duplicates of one class one stays: the one with the smallest id, else the first;
3. outlines of one layer with one id and one class become one object;
4. ground that several objects claim goes to the first class of ``priority``, then to the next; among objects of
   equal priority to the smaller one, because what was drawn on top of a larger thing was drawn on purpose (as
   everywhere in ``geopanoptic labels``). What is covered wholly is dropped.
5. where two layers number their objects each from 1, those of the second count on: the copy has one layer;
6. objects without a class are called ``unclassified``: no format can hold them otherwise.

Left alone, and listed as such: one id with two classes, duplicates of different classes without priority (the rule
on overlaps would drop one of them), gaps, slivers, classes, shifts. Those need eyes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from geopanoptic.labels.check.subject import Subject, polygons_of
from geopanoptic.labels.check.topology import find_overlaps
from geopanoptic.labels.formats.tables import with_columns
from geopanoptic.labels.objects import OutlineLabels
from geopanoptic.labels.taxonomy import UNCLASSIFIED, with_unclassified

RENUMBERED = "renumbered"
"""The kind of a change that repairs nothing: what was several layers is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One repair: ``area`` is how much ground the object lost or gained, in the labels' coordinates."""

    kind: str
    message: str
    object_ids: tuple[int, ...]
    image: str = ""
    area: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "kind": self.kind,
            "message": self.message,
            "objects": list(self.object_ids),
            "image": self.image,
            "area": self.area,
        }


def repair(subject: Subject, priority: Sequence[str], changes: list[Change]) -> OutlineLabels:
    """The labels of one image, repaired; every change is appended to ``changes``."""
    table = _Table(subject=subject, changes=changes, outlines=subject.outlines.copy())
    table.made_valid()
    table.without_duplicates()
    table.joined()
    table.without_overlaps(priority)
    table.classified()
    columns = with_columns(_bare(subject.frame)).assign(object_id=table.renumbered())
    objects = geopandas.GeoDataFrame(
        columns.drop(columns=["kind", "layer"], errors="ignore")[table.kept],
        geometry=table.outlines[table.kept],
        crs=subject.frame.crs,
    ).reset_index(drop=True)
    unnamed = objects["class_name"] == ""
    return OutlineLabels(
        objects=objects.assign(class_name=objects["class_name"].mask(unnamed, UNCLASSIFIED)),
        taxonomy=with_unclassified(subject.taxonomy) if unnamed.any() else subject.taxonomy,
        canvas=subject.canvas,
    )


@dataclass(slots=True, kw_only=True)
class _Table:
    """The rows of one image on their way: outlines (n,) and which rows are still there."""

    subject: Subject
    changes: list[Change]
    outlines: NDArray[np.object_]
    kept: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self.kept = np.ones(len(self.outlines), np.bool_)

    def made_valid(self) -> None:
        stated = self.subject.stated
        crossed = ~shapely.is_missing(stated) & ~shapely.is_valid(stated)
        empty = shapely.area(self.outlines) == 0
        for row in np.flatnonzero(crossed & ~empty).tolist():
            lost = float(shapely.area(self.outlines[row]) - shapely.area(stated[row]))
            self._note("made-valid", "crossed itself and was made valid", [row], lost)
        for row in np.flatnonzero(empty).tolist():
            self._note("dropped", "has no area and was dropped", [row])
        self.kept &= ~empty

    def without_duplicates(self) -> None:
        rows = np.flatnonzero(self.kept)
        alike = pd.DataFrame(
            {
                "outline": shapely.to_wkb(shapely.normalize(self.outlines[rows])),
                "class": self.subject.classes[rows].astype(str),
                "id": self.subject.ids[rows],
                "row": rows,
            }
        ).sort_values(["id", "row"])
        again = alike.duplicated(["outline", "class"])
        first = alike.groupby(["outline", "class"])["row"].transform("first")
        for row, original in zip(alike["row"][again].tolist(), first[again].tolist(), strict=True):
            self.kept[row] = False
            area = -float(self.subject.area[row])
            same = self.subject.ids[original]
            self._note("duplicate-dropped", f"is the same as object {same} and was dropped", [row], area)

    def joined(self) -> None:
        rows = np.flatnonzero(self.kept & (self.subject.ids != 0))
        frame = self.subject.frame
        table = pd.DataFrame(
            {
                "layer": frame["layer"].to_numpy()[rows] if "layer" in frame else "",
                "id": self.subject.ids[rows],
                "class": self.subject.classes[rows].astype(str),
                "row": rows,
            }
        )
        repeated = table[table.duplicated(["layer", "id"], keep=False)]
        for _, members in repeated.groupby(["layer", "id"], sort=True):
            if members["class"].nunique() > 1:
                self._note("left", "has several classes and was left", members["row"].tolist()[:1])
                continue
            first, *others = members["row"].tolist()
            self.outlines[first] = polygons_of(shapely.union_all(self.outlines[[first, *others]]))
            self.kept[others] = False
            self._note("joined", f"is one object of {len(members)} outlines now", [first])

    def without_overlaps(self, priority: Sequence[str]) -> None:
        rows = np.flatnonzero(self.kept)
        now = self._subject_of(rows)
        found = find_overlaps(now)
        rank_of = {name: rank for rank, name in enumerate(priority)}
        rank = np.array([rank_of.get(name, len(priority)) for name in now.classes], np.int64)
        # One order for all pairs, so that ground that three objects claim goes to the first of them.
        place = np.empty(len(rows), np.int64)
        place[np.lexsort((np.arange(len(rows)), now.area, rank))] = np.arange(len(rows))
        first_wins = place[found.first] < place[found.second]
        winner = np.where(first_wins, found.first, found.second)
        loser = np.where(first_wins, found.second, found.first)
        order = np.argsort(loser, kind="stable")
        losers, starts = np.unique(loser[order], return_index=True)
        for row, winners in zip(losers.tolist(), np.split(winner[order], starts[1:]), strict=len(losers) > 0):
            left = polygons_of(
                shapely.difference(now.outlines[row], shapely.union_all(now.outlines[winners]))
            )
            lost = float(now.area[row] - left.area)
            told = ", ".join(map(str, now.ids[winners[:5]].tolist())) + (" ..." if len(winners) > 5 else "")
            if left.area <= now.tolerance * left.length / 2:
                self.kept[rows[row]] = False
                self._note("covered-dropped", f"lay under {told} and was dropped", [int(rows[row])], -lost)
            else:
                self.outlines[rows[row]] = left
                self._note("overlap-cut", f"gave ground to {told}", [int(rows[row])], -lost)

    def classified(self) -> None:
        for row in np.flatnonzero(self.kept & (self.subject.classes == "")).tolist():
            self._note("unclassified", f"had no class and is {UNCLASSIFIED!r} now", [row])

    def renumbered(self) -> NDArray[np.int64]:
        """The ids (n,), those of a second layer counted on from the first: all layers become one."""
        ids = self.subject.ids.copy()
        if "layer" not in self.subject.frame:
            return ids
        layer = self.subject.frame["layer"].to_numpy()
        last = 0
        for number, name in enumerate(dict.fromkeys(layer.tolist())):
            members = (layer == name) & (ids > 0)
            if number and members.any() and np.isin(ids[members], ids[~members]).any():
                ids[members] += last
                message = f"Ids of layer {name} are higher by {last}, because all layers are one now."
                self.changes.append(
                    Change(kind=RENUMBERED, message=message, object_ids=(), image=self.subject.name)
                )
            last = max(last, int(ids[layer == name].max(initial=0)))
        return ids

    def _subject_of(self, rows: NDArray[np.int64]) -> Subject:
        """The rows as they are now, with the limits that the labels had to begin with."""
        before = self.subject
        return Subject(
            name=before.name,
            frame=before.frame.iloc[rows]
            .set_geometry(list(self.outlines[rows]), crs=before.frame.crs)
            .reset_index(drop=True),
            taxonomy=before.taxonomy,
            canvas=before.canvas,
            is_raster=False,
            one_image=before.one_image,
            limits=before.settled_limits,
        )

    def _note(self, kind: str, what: str, rows: list[int], area: float = 0.0) -> None:
        ids = self.subject.ids_of(rows)
        message = f"Object {ids[0]} {what}."
        self.changes.append(
            Change(kind=kind, message=message, object_ids=ids, image=self.subject.name, area=area)
        )


def _bare(frame: geopandas.GeoDataFrame) -> pd.DataFrame:
    return pd.DataFrame(frame.drop(columns=frame.geometry.name))
