"""Outlines on their own: invalid, absent, slivers."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import shapely

from geopanoptic.labels.check.issue import Issue, in_words
from geopanoptic.labels.check.subject import Subject, mean_width

_REASON = re.compile(r"^(?P<what>.*?)\s*\[(?P<x>\S+) (?P<y>\S+)[^\]]*\]$")


def invalid_outlines(subject: Subject) -> Iterator[Issue]:
    """Outlines that cross or touch themselves, with the place where, and rows without any polygon."""
    stated = subject.stated
    absent = shapely.is_missing(stated) | shapely.is_empty(stated)
    wrong_type = ~absent & (shapely.get_dimensions(stated) != 2)
    for row in np.flatnonzero(absent | wrong_type).tolist():
        found = "no outline" if absent[row] else f"a {stated[row].geom_type} for an outline"
        yield Issue(
            kind="no-outline",
            severity="error",
            message=f"Object {subject.ids[row]} has {found}.",
            object_ids=subject.ids_of([row]),
            geometry=None if absent[row] else stated[row],
        )
    invalid = np.flatnonzero(~absent & ~wrong_type & ~shapely.is_valid(stated))
    for row, reason in zip(invalid.tolist(), shapely.is_valid_reason(stated[invalid]), strict=True):
        place = _REASON.match(reason)
        yield Issue(
            kind="invalid-outline",
            severity="error",
            message=f"Object {subject.ids[row]}: {(place['what'] if place else reason).lower()}.",
            object_ids=subject.ids_of([row]),
            geometry=shapely.Point(float(place["x"]), float(place["y"])) if place else None,
        )


def slivers(subject: Subject) -> Iterator[Issue]:
    """Objects, and parts of objects, that are narrower on average than ``Subject.sliver_width``."""
    parts, rows = shapely.get_parts(subject.outlines, return_index=True)
    solid = shapely.area(parts) > 0
    parts, rows = parts[solid], rows[solid]
    width = mean_width(parts)
    count = np.bincount(rows, minlength=len(subject.ids))
    for k in np.flatnonzero(width < subject.sliver_width).tolist():
        row = int(rows[k])
        part = "A part of object" if count[row] > 1 else "Object"
        yield Issue(
            kind="sliver",
            severity="warning",
            message=f"{part} {subject.ids[row]} is {in_words(width[k], subject.unit, subject.metres)} wide "
            "on average.",
            object_ids=subject.ids_of([row]),
            geometry=parts[k],
            amount=float(width[k]),
        )
