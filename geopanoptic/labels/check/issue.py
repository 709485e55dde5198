"""A defect of labels as a value, and the catalogue of kinds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import shapely

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One defect.

    ``object_ids`` are the ids that the source states. ``geometry`` (None: nowhere in particular) is where the
    defect is, in the coordinates of the labels of ``image``. ``amount`` measures it in what the kind says.
    """

    kind: str
    severity: Severity
    message: str
    object_ids: tuple[int, ...] = ()
    geometry: shapely.Geometry | None = None
    image: str = ""
    amount: float = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of defect: its title, what ``Issue.amount`` measures, what to do about it, and its colour on maps."""

    title: str
    amount: str
    remedy: str
    colour: str


KINDS = {
    "unreadable": Kind(
        title="Cannot be read", amount="", remedy="Correct the file by hand.", colour="#22262b"
    ),
    "invalid-outline": Kind(
        title="Invalid outline",
        amount="",
        remedy="Redraw it; --fix splits lines that cross themselves.",
        colour="#d55e00",
    ),
    "no-outline": Kind(title="No outline", amount="", remedy="Draw it or remove the row.", colour="#22262b"),
    "sliver": Kind(
        title="Sliver",
        amount="mean width",
        remedy="Remove it or join it to a neighbour.",
        colour="#cc79a7",
    ),
    "overlap": Kind(
        title="Overlap",
        amount="area",
        remedy="Give the ground to one object; --fix does, by --priority, else to the smaller.",
        colour="#e6194b",
    ),
    "duplicate-outline": Kind(
        title="Duplicate outline",
        amount="IoU",
        remedy="Remove one; --fix removes exact duplicates of one class.",
        colour="#911eb4",
    ),
    "gap": Kind(
        title="Gap between neighbours",
        amount="area",
        remedy="Move the shared border, or label what is there.",
        colour="#f0a202",
    ),
    "duplicate-id": Kind(
        title="Duplicate id",
        amount="objects",
        remedy="Give each object its own id; --fix joins parts of one class.",
        colour="#0072b2",
    ),
    "missing-id": Kind(title="Missing id", amount="", remedy="Give it an id.", colour="#56b4e9"),
    "class-contradiction": Kind(
        title="One object, several classes",
        amount="classes",
        remedy="Decide on one class, or on two ids.",
        colour="#800000",
    ),
    "stuff-ids": Kind(
        title="One area of land cover, several ids",
        amount="objects",
        remedy="Join the areas: land cover has no instances.",
        colour="#009e73",
    ),
    "no-class": Kind(title="No class", amount="", remedy="Give it a class.", colour="#999999"),
    "unknown-class": Kind(
        title="Unknown class",
        amount="objects",
        remedy="Rename it, or add the class to the taxonomy.",
        colour="#808000",
    ),
    "wrong-kind": Kind(
        title="Thing or stuff contradicted",
        amount="objects",
        remedy="State the kind as the taxonomy does.",
        colour="#b8860b",
    ),
    "class-spelling": Kind(
        title="Classes that differ in spelling only",
        amount="objects",
        remedy="Use one spelling.",
        colour="#c39bd3",
    ),
    "outside-image": Kind(
        title="Outside the image",
        amount="share outside",
        remedy="Clip it to the image, or remove it.",
        colour="#00007f",
    ),
    "no-labels": Kind(
        title="No labels",
        amount="",
        remedy="Check that they belong to the image: their CRS, and the order of their coordinates.",
        colour="#00007f",
    ),
    "no-data": Kind(
        title="Where the image has no data",
        amount="share without data",
        remedy="Remove it: nobody can have seen it in this image.",
        colour="#46c8c8",
    ),
    "unlabelled": Kind(
        title="Unlabelled ground",
        amount="area",
        remedy="Label it, or leave --full out.",
        colour="#f0e442",
    ),
    "shift": Kind(
        title="Shifted labels",
        amount="pixels",
        remedy="Move the labels by the offset, or use the image that they were drawn on.",
        colour="#f032e6",
    ),
    "model-misses": Kind(
        title="The model sees another object",
        amount="best IoU",
        remedy="Look: the outline or the model is wrong.",
        colour="#4363d8",
    ),
    "model-class": Kind(
        title="The model sees another class",
        amount="share of pixels",
        remedy="Look: the class or the model is wrong.",
        colour="#9a6324",
    ),
    "model-adds": Kind(
        title="The model sees an unlabelled object",
        amount="share unlabelled",
        remedy="Look: a label may be missing.",
        colour="#3cb44b",
    ),
}
"""Every kind by name, in the order in which reports list them."""


def in_words(value: float, unit: str, metres: float | None, *, power: int = 1, digits: int = 3) -> str:
    """A length, or an area of ``power`` 2; in metres first where the unit, an angle, has so many of them."""
    squared = "²" if power == 2 else ""
    own = f"{value:.{digits}g} {unit}{squared}"
    return own if metres is None else f"{value * metres**power:.{digits}g} m{squared} ({own})"
