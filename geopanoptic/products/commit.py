"""All outputs of a run appear at once, complete and verified, or not at all.

::

    with Commit([out, report], overwrite=False) as commit:
        write_geopackage(commit.staged(out), ...)
        write_run_report(commit.staged(report), ...)
        commit.publish({out: check})

Nothing is asked of the outputs' folders but a rename within each: files for one folder are prepared in a
hidden folder of the same folder. The renames of one set follow each other without pause; a run killed
between two of them is finished by the next run (see :mod:`geopanoptic.products.journal`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from filelock import BaseFileLock

from geopanoptic.errors import DISK_FULL, OutputError, UsageError
from geopanoptic.products import journal, staging
from geopanoptic.products.journal import Rename
from geopanoptic.products.writing import FileError

Check = Callable[[Path], None]
"""Reads a staged file back and raises OutputError where it is not whole."""


def full_disk(failure: OSError, *, folder: Path, kept: Path | None) -> OutputError | None:
    """What to say where ``failure`` is a full disk, else None; the disk is that of ``folder`` if it names no file.

    ``kept`` is the folder of the work that can be continued.
    """
    if failure.errno not in DISK_FULL:
        return None
    named = isinstance(failure.filename, str) and failure.filename
    where = Path(failure.filename).absolute().parent if named else folder.absolute()
    message = f"The disk of {where} is full ({failure.strerror}); outputs are unchanged"
    if kept is None:
        return OutputError(
            f"{message}.", remedy="Free space there, or choose another place with --out and --work."
        )
    return OutputError(
        f"{message}, and what was computed is kept.",
        remedy=f"Free space there and run the same command again, with --resume. To give it up, delete {kept}.",
    )


class Commit:
    """A set of outputs in preparation. Use it as a context manager; leaving without :meth:`publish` undoes.

    ``targets[0]`` is the main output: its name is the name of the run, and of the lock. All refusals happen
    on entry, before any work: an existing output without ``overwrite`` (OutputError), a folder that is
    missing or read-only (OutputError), an output that is one of ``inputs`` (UsageError), another run on the
    same output (LockedError). Only a file that appears meanwhile is refused by :meth:`publish`. With ``resumable``, :attr:`work` survives a run that fails or is killed.
    """

    def __init__(
        self,
        targets: Sequence[Path],
        *,
        overwrite: bool = False,
        resumable: bool = False,
        inputs: Sequence[Path] = (),
    ) -> None:
        self._targets = {Path(each): staging.real_target(Path(each)) for each in targets}
        self._main = self._targets[Path(targets[0])]
        self._distinct = len(set(self._targets.values())) == len(targets)
        self._overwrite = overwrite
        self._resumable = resumable
        self._inputs = inputs
        self._renames: dict[Path, Rename] = {}
        self._lock: BaseFileLock | None = None

    @property
    def work(self) -> Path:
        """A folder for intermediate results on the output's file system; create it when needed."""
        return staging.staging_folder(self._main) / staging.WORK

    def staged(self, target: Path) -> Path:
        """Where to write the file that becomes ``target``; its suffix is kept."""
        return self._renames[Path(target)].source(self._main)

    def __enter__(self) -> Commit:
        # What an earlier run was killed in the middle of is finished first: part of it is in place.
        halfway = journal.is_decided(self._main)
        if not halfway:
            self._refuse_targets()
        self._lock = staging.lock(self._main)
        try:
            journal.recover(self._main, keep_work=self._resumable)
            if halfway and not self._overwrite:
                self._refuse_finished()
            self._refuse_targets()
            self._prepare()
        except BaseException as failure:
            self._leave()
            self._refuse_full_disk(failure)
            raise
        return self

    def refuse(self) -> None:
        """Raises what entering would raise of the outputs as they are now; changes nothing."""
        self._refuse_targets()
        staging.refuse_locked(self._main)

    def publish(self, checks: Mapping[Path, Check] | None = None) -> None:
        """Verifies every staged file, makes it durable, and puts the whole set in place.

        ``checks`` maps targets to what reads them back. Raises OutputError where a file is missing or does
        not pass; the old outputs then stand.
        """
        for target, rename in self._renames.items():
            staged = rename.source(self._main)
            if not staged.is_file():
                raise OutputError(
                    f"{target} was never written.", remedy="This is a bug in geopanoptic: please report it."
                )
            check = (checks or {}).get(target)
            if check:
                check(staged)
            staging.sync_file(staged)
        for folder in {rename.source(self._main).parent for rename in self._renames.values()}:
            staging.sync_folder(folder)
        for name, target in self._targets.items():
            if target.exists() and not self._overwrite:
                raise OutputError(
                    f"{name} was made by something else since this run began.",
                    remedy="Move it away and run the same command again"
                    + (", with --resume." if self._resumable else "."),
                )
        journal.decide(self._main, self._renames.values())
        journal.finish(self._main)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()
        self._refuse_full_disk(failure)
        # Nobody knows the names under which outputs are prepared, and they are gone.
        if isinstance(failure, FileError) and (target := self._target_of(failure.path)):
            raise failure.of(target) from failure

    def _target_of(self, staged: Path) -> Path | None:
        return next((name for name, each in self._renames.items() if each.source(self._main) == staged), None)

    def _refuse_full_disk(self, failure: BaseException | None) -> None:
        kept = staging.staging_folder(self._main) if self.work.is_dir() else None
        if isinstance(failure, OSError) and (
            refusal := full_disk(failure, folder=self._main.parent, kept=kept)
        ):
            raise refusal from failure

    def _leave(self) -> None:
        if self._lock is None:
            return
        try:
            journal.recover(self._main, keep_work=self._resumable)
            staging.remove(staging.staging_folder(self._main))
        finally:
            self._lock.release()
            self._lock = None

    def _prepare(self) -> None:
        folders = {target: _folder_of(target) for target in self._targets.values()}
        annexes = sorted({folder for folder in folders.values() if folder != self._main.parent})
        if annexes:
            journal.announce(self._main, annexes)
        for folder in annexes:
            try:
                staging.annex_folder(folder, self._main).mkdir(exist_ok=True)
            except OSError as failure:
                raise staging.forbidden_folder(folder, failure) from failure
        for index, (name, target) in enumerate(self._targets.items()):
            # Short names: SQLite and GDAL append to them, and a target's name may fill its 255 bytes.
            self._renames[name] = Rename(
                folder=folders[target],
                staged=f"product-{index}{target.suffix[:16]}",
                relative=target.relative_to(folders[target]).as_posix(),
            )

    def _refuse_finished(self) -> None:
        if all(target.is_file() for target in self._targets.values()):
            raise OutputError(
                f"{next(iter(self._targets))} is complete: an earlier run was stopped while it put its files in place, "
                "and that is done now.",
                remedy="Use it, or add --overwrite (overwrite=True) to compute it anew.",
            )

    def _refuse_targets(self) -> None:
        if not self._distinct:
            raise UsageError("Two outputs have the same path.", remedy="Give each output its own name.")
        if not self._main.parent.is_dir():
            raise staging.missing_folder(self._main.parent)
        for name, target in self._targets.items():
            _folder_of(target)
            if target.suffix == ".tif" and "\ufffd" in os.fsencode(target).decode(errors="replace"):
                raise OutputError(
                    f"The name {str(name)!r} is not in UTF-8, and GDAL writes rasters under no other.",
                    remedy="Rename the folder, or choose another.",
                )
            for each in self._inputs:
                if target == Path(os.path.realpath(each)) or (
                    target.exists() and Path(each).exists() and target.samefile(each)
                ):
                    raise UsageError(f"The output {name} is also an input.", remedy="Choose another --out.")
            if target.exists():
                self._refuse_existing(name, target)

    def _refuse_existing(self, name: Path, target: Path) -> None:
        if not target.is_file():
            raise OutputError(
                f"{name} exists and is not a file.", remedy="Choose another name for the output."
            )
        if not self._overwrite:
            raise OutputError(
                f"{name} exists already.",
                remedy="Add --overwrite (overwrite=True) to replace it once the new one is complete, or choose another name.",
            )
        for sidecar in journal.sqlite_sidecars(target):
            if not sidecar.name.endswith("-shm") and sidecar.stat().st_size:
                raise OutputError(
                    f"{name} is open in another program, with changes not yet saved ({sidecar.name}).",
                    remedy="Close it there (in QGIS: remove the layer), or choose another name.",
                )


def _folder_of(target: Path) -> Path:
    """The existing folder in which ``target`` is prepared: its own, or the one that will hold its folder."""
    if target.parent.is_dir():
        return target.parent
    if target.parent.exists() or not target.parent.parent.is_dir():
        raise staging.missing_folder(target.parent)
    return target.parent.parent
