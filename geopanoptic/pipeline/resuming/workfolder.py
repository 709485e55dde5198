"""The work folder of a run: who may use it, what may lie in it, and how it is cleared."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from geopanoptic.errors import LockedError, OutputError, UsageError
from geopanoptic.panoptic.quantisation import LAYERS
from geopanoptic.pipeline.progress import Progress
from geopanoptic.pipeline.resuming.identity import Identity
from geopanoptic.pipeline.resuming.manifest import MANIFEST, Manifest, agree, read_manifest, require_same
from geopanoptic.pipeline.store.run_store import RunStore
from geopanoptic.products.commit import Commit, full_disk
from geopanoptic.products.staging import is_locked

LOCK = "lock"
BLOCKS = "blocks"
JOBS = "jobs"
"""Folder for the logs of Slurm jobs."""


@contextmanager
def work_folder(
    commit: Commit | None, work: Path | None, *, resume: bool, keep: bool, progress: Progress
) -> Iterator[Path]:
    """The folder for the intermediate data of a whole run, which is cleared once the run is done.

    ``work`` where that is given; it outlives a failure, unless that leaves a new folder empty, and with ``keep``
    success too. Else a folder beside the output: a run that fails or is killed leaves its blocks there for one with
    ``resume``, and any other clears them. Without either, a temporary folder.
    """
    if work is not None:
        is_new = not work.exists()
        try:
            with claimed(work):
                _tell_afresh(work, progress, resume=resume)
                yield work
                if not keep:
                    clear(work)
        except BaseException as failure:
            if is_new:
                with suppress(OSError):  # It holds something.
                    work.rmdir()
            kept = work if any(work.glob(f"{BLOCKS}/*/*.npy")) else None
            if isinstance(failure, OSError) and (refusal := full_disk(failure, folder=work, kept=kept)):
                raise refusal from failure
            raise
    elif commit is not None:
        commit.work.mkdir(parents=True, exist_ok=True)
        _tell_afresh(commit.work, progress, resume=resume)
        if not resume and (commit.work / MANIFEST).exists():
            progress.note("What an earlier run had computed is discarded; --resume would have continued it.")
        if not resume:
            clear(commit.work)
        with kept_if_useful(commit.work, f"{BLOCKS}/*/*.npy"):
            yield commit.work
    else:
        with tempfile.TemporaryDirectory(prefix="geopanoptic-") as folder:
            yield Path(folder)


def _tell_afresh(work: Path, progress: Progress, *, resume: bool) -> None:
    if resume and not (work / MANIFEST).exists():
        progress.note(f"There is nothing to resume in {work}: the run starts from the beginning.")


@contextmanager
def kept_if_useful(work: Path, results: str) -> Iterator[None]:
    """Delete ``work`` after a failure that leaves no file of the pattern ``results`` to continue from and no log of a
    job to read."""
    try:
        yield
    except BaseException:
        if not (any(work.glob(results)) or any(work.glob(f"{JOBS}/*.log"))):
            shutil.rmtree(work, ignore_errors=True)
        raise


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold a work folder for the stages that only one process may run in it; it is created where missing.

    Shards do not claim it. Raises LockedError where another run has it, OutputError where it cannot be made
    or written, UsageError where it holds files of another kind.
    """
    make(folder)
    lock = FileLock(folder / LOCK, blocking=False, fallback_to_soft=False, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise _claimed(folder) from None
    except OSError as failure:
        raise _unwritable(folder, failure) from None
    try:
        yield
    finally:
        if [entry.name for entry in folder.iterdir()] == [LOCK]:
            (folder / LOCK).unlink()
        lock.release()


def refuse_claimed(folder: Path) -> None:
    """Raises LockedError where another run holds a work folder, which may be missing yet."""
    if is_locked(folder / LOCK):
        raise _claimed(folder)


def make(folder: Path) -> None:
    """Create a work folder; one that is there may hold nothing but a run's own files (UsageError)."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise _unwritable(folder, failure) from None
    refuse_foreign(folder)


def refuse_foreign(folder: Path) -> None:
    """Raises UsageError where a work folder, which may be missing yet, holds files that are not a run's own."""
    try:
        foreign = [entry.name for entry in sorted(folder.iterdir()) if not _is_own(entry)]
    except FileNotFoundError:
        return
    except OSError as failure:
        raise _unwritable(folder, failure) from None
    if foreign:
        raise UsageError(
            f"The work folder {folder} holds other files, such as {foreign[0]}.",
            remedy=f"Name an empty or a new folder: --work {folder / 'work'}.",
        )


def clear(folder: Path) -> None:
    """Delete everything that a run has put into a work folder; the folder itself stays."""
    for entry in (folder / MANIFEST, *folder.glob(f"{MANIFEST}.*.partial")):
        entry.unlink(missing_ok=True)
    for name in (BLOCKS, JOBS):
        shutil.rmtree(folder / name, ignore_errors=True)


def stored_bytes(folder: Path) -> int:
    """Bytes of the blocks that lie in a work folder."""
    return sum(path.stat().st_size for path in (folder / BLOCKS).glob("*/*.npy"))


def require_unused(folder: Path, identity: Identity) -> None:
    """Raises UsageError where a work folder holds an unfinished run: it is never continued unasked."""
    stored = read_manifest(folder)
    if stored is None:
        return
    require_same(stored.identity, identity, folder)
    raise UsageError(
        f"{folder} holds the beginning of this run.",
        remedy="Add --resume to continue it; to start afresh, delete the folder or name another.",
    )


def open_store(
    folder: Path, proposed: Manifest, shape: tuple[int, int], layers: Iterable[str] = LAYERS
) -> tuple[RunStore, Manifest]:
    """The store of a work folder and the manifest that counts there: the stored one, else ``proposed``.

    ``shape`` (rows, cols) is in output pixels; ``layers`` are those that a later run may continue from. Raises UsageError, listing the differences, where the folder
    holds another run.
    """
    try:
        manifest = agree(folder, proposed)
    except OSError as failure:
        raise _unwritable(folder, failure) from None
    store = RunStore(
        folder=folder / BLOCKS,
        shape=shape,
        block_px=manifest.block_px,
        seal=manifest.seal,
        sealed=frozenset(layers),
    )
    return store, manifest


def _is_own(entry: Path) -> bool:
    return entry.name in {LOCK, MANIFEST, BLOCKS, JOBS} or entry.name.startswith(f"{MANIFEST}.")


def _claimed(folder: Path) -> LockedError:
    return LockedError(
        f"Another run is working in {folder}.", remedy="Wait for it to end, or name another --work folder."
    )


def _unwritable(folder: Path, failure: OSError) -> OutputError:
    return OutputError(
        f"The work folder {folder} cannot be used: {failure.strerror}.", remedy="Name another with --work."
    )
