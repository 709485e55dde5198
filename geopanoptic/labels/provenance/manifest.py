"""The history of labels in a plain file beside them, which git and DVC keep as they keep the labels.

``provenance.json`` in a data set's folder, or ``NAME.gpkg.provenance.json`` beside a file: the SHA-256 of
every file, and the steps that led here, the oldest first. A step is known by the hash of all that it says, and names
by it those that it came from, so the history is whole without the earlier files, and nobody rewrites it unseen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from geopanoptic.errors import UsageError
from geopanoptic.wording import fault

PROVENANCE = "provenance.json"

_FORMAT = "geopanoptic-provenance"
_VERSION = 2
"""In the first, steps had no id, and named their parents by content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What was done, to what became ``content``.

    content
        Hash of the files after the step, see ``hashing.content_of``.
    parents
        ``id`` of the steps whose files it was made of: none at the beginning, several of a merge.
    action
        In a few words.
    source
        Names of what it was made of.
    tool, annotator, time
        Program and version, person, UTC time as in 2021-06-30T12:00:00Z; empty where nobody said so.
    """

    content: str
    parents: tuple[str, ...] = ()
    action: str
    source: str = ""
    tool: str = ""
    annotator: str = ""
    time: str = ""

    @property
    def id(self) -> str:
        """SHA-256 of all that the step says, and by its parents of all that came before."""
        told = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(told.encode()).hexdigest()

    def to_dict(self) -> dict[str, object]:
        """JSON-ready values."""
        return {"id": self.id, **asdict(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """``files``: SHA-256 by path, relative to the folder of the labels; ``steps``: the last is how they were written."""

    files: Mapping[str, str]
    steps: tuple[Step, ...]


def provenance_path(labels: Path) -> Path:
    """The file that holds the history of a data set that is a folder or a file."""
    return labels / PROVENANCE if labels.is_dir() else labels.with_name(f"{labels.name}.{PROVENANCE}")


def is_provenance(path: Path) -> bool:
    """Whether a file is a history of this program, damaged or not: other programs call theirs ``provenance.json`` too."""
    try:
        return _FORMAT in path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # reading it says why
        return True


def read_provenance(path: Path) -> Provenance:
    """The history that a file holds. Raises ``UsageError`` for a damaged one, and for steps that were rewritten."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT or content["version"] > _VERSION:
            raise ValueError(f"format {content['format']!r}, version {content['version']!r}")
        steps = _steps(content["steps"], content["version"])
        if not steps:
            raise ValueError("no step")
        return Provenance(files={str(name): str(sha) for name, sha in content["files"].items()}, steps=steps)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} is no history of labels: {fault(error)}.",
            remedy="Restore it, or remove it to begin anew.",
        ) from None


def write_provenance(path: Path, files: Mapping[str, str], steps: Sequence[Step]) -> None:
    """Write a history to a file."""
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "files": dict(files),
        "steps": [each.to_dict() for each in steps],
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _steps(stored: Sequence[Mapping[str, Any]], version: int) -> tuple[Step, ...]:
    steps: list[Step] = []
    for told in stored:
        values = {name: value for name, value in told.items() if name != "id"}
        step = Step(**{**values, "parents": tuple(told["parents"])})
        if version == 1 and "id" not in told:
            by_content = {each.content: each.id for each in steps}
            step = replace(step, parents=tuple(by_content.get(each, each) for each in step.parents))
        elif step.id != told["id"]:
            raise ValueError(f"step {str(told['id'])[:12]} is not as it was written")
        steps.append(step)
    return tuple(steps)
