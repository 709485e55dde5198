"""The decision to publish, written down: after it, a set of renames happens whatever kills the run.

Two small files live in the staging folder. ``annexes.json`` names further folders in which the run prepares
files and is written before they are touched. ``commit.json`` lists every rename and is put in place, by one
rename of its own, when all files are complete, verified and on disk. Before that moment the old outputs
stand; after it every later run first finishes the renames.

A journal may come from a stranger's archive, so it can only move files from a staging folder whose name
follows from the target into the folder that holds it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from geopanoptic.errors import OutputError
from geopanoptic.products import staging
from geopanoptic.replacing import replacing

ANNEXES = "annexes.json"
COMMIT = "commit.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rename:
    """``staged`` (a name in the staging folder of ``folder``) becomes ``relative`` in ``folder``.

    ``relative`` is a name, or one folder and a name.
    """

    folder: Path
    staged: str
    relative: str

    def source(self, target: Path) -> Path:
        """The staged file, in the run that writes ``target``."""
        return folder_for(self.folder, target) / self.staged

    @property
    def destination(self) -> Path:
        return self.folder / self.relative


def sqlite_sidecars(path: Path) -> list[Path]:
    """The files SQLite has left beside ``path`` for an open database; it would replay them into a new one."""
    named = [path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "-journal")]
    return [each for each in named if staging.can_be_a_name(each.name) and each.exists()]


def folder_for(folder: Path, target: Path) -> Path:
    """The staging folder within ``folder`` of the run that writes ``target``."""
    own = folder == target.parent
    return staging.staging_folder(target) if own else staging.annex_folder(folder, target)


def announce(target: Path, annexes: Iterable[Path]) -> None:
    """Records the further folders of a run, before it writes to them."""
    _write(staging.staging_folder(target) / ANNEXES, [str(each) for each in annexes])


def decide(target: Path, renames: Iterable[Rename]) -> None:
    """The point of no return: from here on the renames will happen."""
    listed = [[str(each.folder), each.staged, each.relative] for each in renames]
    _write(staging.staging_folder(target) / COMMIT, listed)


def is_decided(target: Path) -> bool:
    """Whether an earlier run was stopped while it put its files in place."""
    return (staging.staging_folder(target) / COMMIT).exists()


def recover(target: Path, *, keep_work: bool) -> None:
    """Brings what an earlier run of ``target`` left to its end. Call it with the lock held.

    A decided run is finished; any other is undone, except for its resumable work if ``keep_work``.
    """
    if is_decided(target):
        finish(target)
    else:
        abandon(target, keep_work=keep_work)


def finish(target: Path) -> None:
    """Carries out what ``commit.json`` lists, as often as it takes, and removes all staged files.

    Raises OutputError where a rename is refused; the journal then stays for the next run.
    """
    own = staging.staging_folder(target)
    renames = _read_renames(own / COMMIT)
    for rename in renames:
        source, destination = rename.source(target), rename.destination
        if not source.exists():
            continue
        try:
            destination.parent.mkdir(exist_ok=True)
            for sidecar in sqlite_sidecars(destination):
                sidecar.unlink()
            source.replace(destination)
        except OSError as failure:
            raise OutputError(
                f"{destination} could not be put in place: {failure.strerror}.",
                remedy="Make way for it and run the same command again: the result is complete and waits.",
            ) from failure
    for folder in {each.destination.parent for each in renames} | {each.folder for each in renames}:
        staging.sync_folder(folder)
    _remove_annexes(target)
    (own / COMMIT).unlink()
    staging.clear(own, keep_work=False)


def abandon(target: Path, *, keep_work: bool) -> None:
    """Removes everything staged; the outputs stay as they are."""
    _remove_annexes(target)
    staging.clear(staging.staging_folder(target), keep_work=keep_work)


def _remove_annexes(target: Path) -> None:
    try:
        listed = json.loads((staging.staging_folder(target) / ANNEXES).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    for folder in listed:
        annex = staging.annex_folder(Path(folder), target)
        if annex.is_dir() and not annex.is_symlink():
            staging.clear(annex, keep_work=False)
            annex.rmdir()


def _read_renames(path: Path) -> list[Rename]:
    try:
        renames = [
            Rename(folder=Path(folder), staged=staged, relative=relative)
            for folder, staged, relative in json.loads(path.read_text(encoding="utf-8"))
        ]
    except (ValueError, TypeError):
        raise _foreign(path) from None
    for each in renames:
        parts = PurePosixPath(each.relative).parts
        inside = 1 <= len(parts) <= 2 and not {"..", "/"} & set(parts)
        if not inside or Path(each.staged).name != each.staged:
            raise _foreign(path)
    return renames


def _foreign(path: Path) -> OutputError:
    return OutputError(f"{path} does not come from geopanoptic.", remedy=f"Remove the folder {path.parent}.")


def _write(path: Path, value: object) -> None:
    with replacing(path) as partial, partial.open("w", encoding="utf-8") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    staging.sync_folder(path.parent)
