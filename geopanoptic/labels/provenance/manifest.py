"""The history of labels in a plain file beside them, which git and DVC keep as they keep the labels.

``provenance.json`` in a data set's folder, or ``NAME.provenance.json`` beside its file ``NAME.gpkg``: the SHA-256 of
every file, and the steps that led here, the oldest first. A step is known by the hash of its files and names those
it came from, so the history is whole without the earlier files. What another program changed since a step was
written is a step as well, seen when the labels are next read by this one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from geopanoptic.errors import UsageError

PROVENANCE = "provenance.json"
FOUND, EDITED = "found", "changed by another program"

_FORMAT = "geopanoptic-provenance"
_VERSION = 1

State = Literal["as written", "changed", "missing", "new"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What was done, to what became ``content``.

    content, parents
        Hashes of the files after the step, and of those that it was made of.
    action
        In a few words; ``FOUND`` where nothing is known before, ``EDITED`` where another program did it.
    source
        Name of the file or folder that it was made of.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """``files``: SHA-256 by path, relative to the folder of the labels; ``steps``: the last is how they were written."""

    files: Mapping[str, str]
    steps: tuple[Step, ...]


def provenance_path(labels: Path) -> Path:
    """The file that holds the history of a data set that is a folder or a file."""
    return labels / PROVENANCE if labels.is_dir() else labels.with_suffix(f".{PROVENANCE}")


def moment() -> datetime:
    """The time, UTC, or ``SOURCE_DATE_EPOCH`` where that is set, so that the same work gives the same bytes."""
    stated = os.environ.get("SOURCE_DATE_EPOCH")
    if stated is None:
        return datetime.now(UTC)
    if not stated.isdigit():
        raise UsageError(
            f"SOURCE_DATE_EPOCH is {stated!r}, where seconds since 1970 are expected.",
            remedy="Give a whole number, or unset it.",
        )
    return datetime.fromtimestamp(int(stated), UTC)


def read_provenance(labels: Path) -> Provenance | None:
    """The history beside labels; None where there is none. Raises ``UsageError`` for a damaged one."""
    path = provenance_path(labels)
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT or content["version"] > _VERSION:
            raise ValueError(f"format {content['format']!r}, version {content['version']!r}")
        steps = tuple(Step(**{**each, "parents": tuple(each["parents"])}) for each in content["steps"])
        return Provenance(files={str(name): str(sha) for name, sha in content["files"].items()}, steps=steps)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} is no history of labels: {type(error).__name__} {error}.",
            remedy="Restore it, or remove it to begin anew.",
        ) from None


def record(
    labels: Path,
    files: Iterable[Path],
    *,
    action: str,
    sources: Sequence[Path],
    annotator: str = "",
    when: datetime | None = None,
) -> Path:
    """Write the history of labels that were made of ``sources``; returns its path.

    ``files`` are those of the labels, folders with all in them; ``when`` is :func:`moment` unless stated.
    """
    from geopanoptic import __version__

    hashes = _hashes(files, labels if labels.is_dir() else labels.parent)
    earlier: dict[str, Step] = {}
    for source in sources:
        earlier |= {step.content: step for step in history(source)}
    parents = tuple(history(source)[-1].content for source in sources)
    step = Step(
        content=_content(hashes),
        parents=parents,
        action=action,
        source=", ".join(source.name for source in sources),
        tool=f"geopanoptic {__version__}",
        annotator=annotator,
        time=(when or moment()).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    steps = [each for each in earlier.values() if each.content != step.content] + [step]
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "files": hashes,
        "steps": [asdict(each) for each in steps],
    }
    path = provenance_path(labels)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def history(labels: Path) -> tuple[Step, ...]:
    """Steps to the labels as they are now, the oldest first; what another program did since is the last.

    Raises ``UsageError`` where nothing is there.
    """
    if not labels.exists():
        raise UsageError(f"{labels} does not exist.", remedy="Name a file or folder of labels.")
    known = read_provenance(labels)
    if known is None:
        return (Step(content=_content(_hashes([labels], labels.parent)), action=FOUND, source=labels.name),)
    now = _content(_hashes_now(labels, known))
    if now == known.steps[-1].content:
        return known.steps
    edited = Step(content=now, parents=(known.steps[-1].content,), action=EDITED, source=labels.name)
    return (*known.steps, edited)


def states(labels: Path, known: Provenance) -> dict[str, State]:
    """Every file of the labels, by its path: whether it is as it was written."""
    now = _hashes_now(labels, known)
    found: dict[str, State] = {}
    for name, sha in known.files.items():
        found[name] = "missing" if name not in now else "as written" if now[name] == sha else "changed"
    return found | {name: "new" for name in now if name not in known.files}


def _hashes_now(labels: Path, known: Provenance) -> dict[str, str]:
    if labels.is_dir():
        return _hashes([labels], labels)
    files = [labels.parent / name for name in known.files]
    return _hashes([file for file in files if file.exists()], labels.parent)


def _hashes(files: Iterable[Path], root: Path) -> dict[str, str]:
    whole = {file for each in files for file in _files_in(each) if file.name != PROVENANCE}
    return {file.relative_to(root).as_posix(): _sha256(file) for file in sorted(whole)}


def _files_in(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (each for each in path.rglob("*") if each.is_file())
    else:
        yield path


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _content(hashes: Mapping[str, str]) -> str:
    """One hash of all files; a single file's is its own, whatever it is called."""
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    listed = "".join(f"{sha}  {name}\n" for name, sha in sorted(hashes.items()))
    return hashlib.sha256(listed.encode()).hexdigest()
