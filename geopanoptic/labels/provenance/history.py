"""How labels came to be as they are now, and the next step of it.

What another program changed since a step was written is a step as well, seen when the labels are next read by this
one: an annotator's corrections, for one. A file of a data set, and what a tool exported into the data set's folder,
go back to the folder's history.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pyogrio

from geopanoptic.errors import UsageError
from geopanoptic.labels.provenance.hashing import content_of, hashes_of
from geopanoptic.labels.provenance.manifest import (
    PROVENANCE,
    Provenance,
    Step,
    is_provenance,
    provenance_path,
    read_provenance,
    write_provenance,
)
from geopanoptic.products.geoparquet import SUFFIX as PARQUET_SUFFIX
from geopanoptic.products.geoparquet import told_of_run
from geopanoptic.products.layers import PARCELS
from geopanoptic.products.literal import literally

FOUND, EDITED = "found without a history", "changed by another program"
"""Actions of steps that nobody recorded: nothing is known before, or what came before is."""

History = tuple[Step, ...]
"""Steps, parents before what was made of them; the last is the state that labels are in."""

State = Literal["as written", "changed", "missing", "new"]


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


def record(
    labels: Path,
    files: Iterable[Path],
    *,
    action: str,
    source: str,
    parents: Sequence[History] = (),
    annotator: str = "",
    when: datetime,
) -> Path:
    """Write the history of labels that were just made of others with the histories ``parents``; returns its path.

    ``files`` are those of the labels, folders with all in them; ``source`` names what they were made of.
    """
    from geopanoptic import __version__

    hashes = hashes_of(files, labels if labels.is_dir() else labels.parent)
    earlier = {step.id: step for steps in parents for step in steps}
    step = Step(
        content=content_of(hashes),
        parents=tuple(dict.fromkeys(steps[-1].id for steps in parents)),
        action=action,
        source=source,
        tool=f"geopanoptic {__version__}",
        annotator=annotator,
        time=when.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    path = provenance_path(labels)
    write_provenance(path, hashes, [*earlier.values(), step])
    return path


def history(labels: Path, *, base: Path | None = None, annotator: str = "") -> History:
    """Steps to the labels as they are now, the oldest first.

    ``base`` are the labels that these were made of; what is recorded beside these counts where it goes back to them,
    or none are named. ``annotator`` is who did what nobody recorded. Labels that are not here themselves, as DVC
    leaves them elsewhere, have the history beside them. Raises ``UsageError`` where nothing is there.
    """
    own = provenance_path(labels)
    if not labels.exists():
        if own.is_file():
            return read_provenance(own).steps
        raise UsageError(f"{labels} does not exist.", remedy="Name a file or folder of labels.")
    known, named = _known(labels), () if base is None else history(base)
    if known is not None and (not named or named[-1] in known.steps):
        now, written, earlier = content_of(known.now), content_of(known.written), known.steps
    else:
        now = content_of(hashes_of([labels], labels if labels.is_dir() else labels.parent))
        written, earlier = named[-1].content if named else "", named
    if now == written:
        return earlier
    if not earlier:
        return (replace(_found(labels), content=now, annotator=annotator),)
    edited = Step(
        content=now, parents=(earlier[-1].id,), action=EDITED, source=labels.name, annotator=annotator
    )
    return (*earlier, edited)


def states(labels: Path) -> dict[str, State]:
    """Every file of the labels, by its path: whether it is as it was written. Empty without a history."""
    known = _known(labels)
    if known is None:
        return {}
    now, found = known.now, dict[str, State]()
    for name, sha in known.written.items():
        found[name] = "missing" if name not in now else "as written" if now[name] == sha else "changed"
    return found | {name: "new" for name in now if name not in known.written}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """A recorded history, and the hashes of the labels' files by path: as they were written, and as they are."""

    steps: History
    written: dict[str, str]
    now: dict[str, str]


def _known(labels: Path) -> _Known | None:
    """What is recorded of labels: beside or in them, else in the folder that they lie in."""
    own, around = provenance_path(labels), labels.parent / PROVENANCE
    # Named after its file it is ours or damaged; a folder may hold another program's.
    if own.is_file() and (own.name != PROVENANCE or is_provenance(own)):
        found = read_provenance(own)
        return _Known(steps=found.steps, written=dict(found.files), now=_now(labels, found))
    if around.is_file() and is_provenance(around):
        found, root = read_provenance(around), labels.parent
        inside = (labels.name, f"{labels.name}/")
        written = {n: sha for n, sha in found.files.items() if n == inside[0] or n.startswith(inside[1])}
        return _Known(steps=found.steps, written=written, now=hashes_of([labels], root))
    return None


def _now(labels: Path, found: Provenance) -> dict[str, str]:
    if labels.is_dir():
        return hashes_of([labels], labels)
    files = [labels.parent / name for name in found.files]
    return hashes_of([file for file in files if file.exists()], labels.parent)


def _found(labels: Path) -> Step:
    """The first step of labels without a history; maps of ours say themselves what mapped them."""
    step = Step(content="", action=FOUND, source=labels.name)
    told = _told_of_run(labels)
    if "model" not in told or not str(told.get("software", "")).startswith("geopanoptic "):
        return step
    return replace(
        step,
        action=f"{FOUND}, says of itself that {told['model']} mapped {told.get('scene', 'a scene')}",
        tool=told["software"],
    )


def _told_of_run(labels: Path) -> Mapping[str, Any]:
    """What a map says of the run that made it; nothing where it is none of ours."""
    if labels.suffix.lower() == PARQUET_SUFFIX:
        return told_of_run(labels)
    if labels.suffix.lower() != ".gpkg":
        return {}
    try:
        with literally(labels) as plain:
            return pyogrio.read_info(plain, layer=PARCELS.name)["layer_metadata"] or {}
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError):
        return {}
