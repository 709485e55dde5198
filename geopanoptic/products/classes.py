"""What a product needs to know of a class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol


class MapClass(Protocol):
    """One class of the map; a model bundle's classes fit."""

    @property
    def id(self) -> int:
        """Value in the class raster, 1 to 255."""

    @property
    def name(self) -> str:
        """What a legend shows."""

    @property
    def kind(self) -> str:
        """``"thing"`` (countable: a parcel) or ``"stuff"`` (land cover)."""

    @property
    def colour(self) -> str:
        """``#rrggbb``."""


def of_kind(classes: Sequence[MapClass], kind: Literal["thing", "stuff"]) -> list[MapClass]:
    """The classes of one kind, in the given order."""
    return [each for each in classes if each.kind == kind]


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255, of ``#rrggbb``. Raises ValueError for anything else."""
    digits = colour.removeprefix("#")
    if len(digits) != 6 or digits == colour:
        raise ValueError(f"colour {colour!r} is not of the form #rrggbb")
    return int(digits[0:2], 16), int(digits[2:4], 16), int(digits[4:6], 16)
