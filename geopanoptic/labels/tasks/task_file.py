"""``task.json`` in an annotator's folder: which part of the work it is, and of which parts there are.

::

    {"format": "geopanoptic-task", "version": 1, "part": "stuff", "base": "../prelabels.gpkg",
     "parts": ["things", "stuff"]}

``base`` are the labels that were split, as a path from the folder.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from geopanoptic.errors import UsageError
from geopanoptic.wording import fault

TASK = "task.json"

_FORMAT = "geopanoptic-task"
_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One part of the work; ``parts`` names all of them."""

    part: str
    parts: tuple[str, ...]
    base: Path


def write_task(folder: Path, *, part: str, parts: tuple[str, ...], base: str) -> None:
    """Write ``task.json`` into the folder of a part. ``base`` is a path from there."""
    content = {"format": _FORMAT, "version": _VERSION, "part": part, "base": base, "parts": list(parts)}
    (folder / TASK).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_task(labels: Path) -> Task | None:
    """The task that a file or folder of labels belongs to; None where no ``task.json`` says.

    Raises ``UsageError`` for a damaged one.
    """
    folder = labels if (labels / TASK).is_file() else labels.parent
    path = folder / TASK
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT or content["version"] > _VERSION:
            raise ValueError(f"format {content['format']!r}, version {content['version']!r}")
        parts = tuple(str(each) for each in content["parts"])
        return Task(part=str(content["part"]), parts=parts, base=folder / str(content["base"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} describes no task: {fault(error)}.",
            remedy="Remove it, or split the work again.",
        ) from None
