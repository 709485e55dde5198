"""Ids and classes of objects: repeated ids, objects of two classes, land cover in pieces, classes that do not exist."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geopanoptic.labels.check.issue import Issue
from geopanoptic.labels.check.subject import Subject
from geopanoptic.labels.taxonomy import Taxonomy
from geopanoptic.wording import did_you_mean

_MEET_IN_A_LINE = ("F***1****", "T********")


def ids(subject: Subject) -> Iterator[Issue]:
    """Ids that several objects of a layer have, of one class or of several, and objects without any."""
    table = pd.DataFrame({"id": subject.ids, "class": subject.classes.astype(str)})
    table["layer"] = subject.frame.get("layer", "")
    for row in np.flatnonzero(subject.ids == 0).tolist():
        yield Issue(
            kind="missing-id",
            severity="warning",
            message="An object has no id.",
            geometry=subject.outlines[row],
        )
    repeated = table[table.duplicated(["layer", "id"], keep=False) & (table["id"] != 0)]
    for (_, number), members in repeated.groupby(["layer", "id"], sort=True):
        rows = members.index.to_numpy()
        names = sorted(set(members["class"]))
        where = shapely.geometrycollections(subject.outlines[rows])
        if len(names) > 1:
            yield Issue(
                kind="class-contradiction",
                severity="error",
                message=f"Object {number} has {len(names)} classes: {', '.join(names)}.",
                object_ids=(int(number),),
                geometry=where,
                amount=len(names),
            )
        else:
            yield Issue(
                kind="duplicate-id",
                severity="error",
                message=f"{len(rows)} outlines have the id {number}.",
                object_ids=(int(number),),
                geometry=where,
                amount=len(rows),
            )


def stuff_ids(subject: Subject) -> Iterator[Issue]:
    """Land cover has no instances: on a map, areas of one class must not meet; in an image, a class is one segment."""
    rows = np.flatnonzero(subject.is_stuff & (subject.area > 0))
    if subject.one_image:
        for name, members in pd.Series(rows).groupby(subject.classes[rows].astype(str), sort=True):
            if len(members) > 1:
                yield _pieces(subject, members.to_numpy(), f"Land cover {name!r} is {len(members)} segments.")
        return
    outlines, names = subject.outlines[rows], subject.classes[rows]
    first, second = shapely.STRtree(outlines).query(outlines)
    alike = (first < second) & (names[first] == names[second])
    first, second = first[alike], second[alike]
    meet = np.zeros(len(first), np.bool_)
    for pattern in _MEET_IN_A_LINE:
        meet |= shapely.relate_pattern(outlines[first], outlines[second], pattern)
    first, second = first[meet], second[meet]
    graph = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(len(rows), len(rows)))
    _, group = connected_components(graph, directed=False)
    for number in np.unique(group[first]).tolist():
        members = rows[group == number]
        name = subject.classes[members[0]]
        yield _pieces(subject, members, f"{len(members)} areas of {name!r} meet: they are one.")


def classes(subject: Subject, taxonomy: Taxonomy | None) -> Iterator[Issue]:
    """Classes that are missing, unknown to ``taxonomy``, of another kind than stated, or spelt in two ways."""
    for row in np.flatnonzero(subject.classes == "").tolist():
        yield Issue(
            kind="no-class",
            severity="error",
            message=f"Object {subject.ids[row]} has no class.",
            object_ids=subject.ids_of([row]),
            geometry=subject.outlines[row],
        )
    for row, name, problem in _violations(subject, taxonomy):
        kind = "unknown-class" if taxonomy is not None and name not in taxonomy else "wrong-kind"
        yield Issue(
            kind=kind,
            severity="error",
            message=f"Object {subject.ids[row]}: {problem}",
            object_ids=subject.ids_of([row]),
            geometry=subject.outlines[row],
        )
    yield from _spellings(subject)


def _violations(subject: Subject, taxonomy: Taxonomy | None) -> Iterator[tuple[int, str, str]]:
    known = taxonomy or subject.taxonomy
    kinds = {each.name: each.kind for each in known.classes}
    if taxonomy is None:
        # Nobody said what is right: what most objects of a class are.
        mostly = pd.Series(subject.is_stuff).groupby(subject.classes.astype(str)).mean()
        kinds |= {str(name): "stuff" if share > 0.5 else "thing" for name, share in mostly.items()}
    suggested: dict[str, str] = {}
    for row, (name, stuff) in enumerate(
        zip(subject.classes.tolist(), subject.is_stuff.tolist(), strict=True)
    ):
        stated = "stuff" if stuff else "thing"
        if name == "":
            continue
        if name not in kinds:
            if name not in suggested:
                suggested[name] = did_you_mean(name, kinds, "")
            yield row, name, f"class {name!r} is not in {known.name}. {suggested[name]}".rstrip()
        elif kinds[name] != stated:
            yield row, name, f"{name!r} is {kinds[name]} in {known.name}, and stated to be {stated}."


def _spellings(subject: Subject) -> Iterator[Issue]:
    names = pd.Series(subject.classes[subject.classes != ""].astype(str))
    alike = names.str.casefold().str.replace(r"[\s_-]+", " ", regex=True).str.strip()
    for _, members in names.groupby(alike, sort=True):
        counts = members.value_counts()
        if len(counts) > 1:
            told = ", ".join(f"{name!r} ({count:,})" for name, count in counts.items())
            yield Issue(
                kind="class-spelling",
                severity="warning",
                message=f"One class in {len(counts)} spellings: {told}.",
                amount=len(members),
            )


def _pieces(subject: Subject, rows: np.ndarray, message: str) -> Issue:
    return Issue(
        kind="stuff-ids",
        severity="warning",
        message=message,
        object_ids=subject.ids_of(rows),
        geometry=shapely.geometrycollections(subject.outlines[rows]),
        amount=len(rows),
    )
