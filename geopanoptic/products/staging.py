"""The hidden folder beside a target in which its successor is prepared, and the lock on it.

``parcels.gpkg`` is prepared in ``.parcels.gpkg.geopanoptic/`` in the same folder, so that a rename can put
it in place. The lock is the operating system's, held on an open file: a killed run holds nothing.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from geopanoptic.errors import LockedError, OutputError
from geopanoptic.wording import counted

LOCK = "lock"
WORK = "work"
_LONGEST_NAME_BYTES = 255


def real_target(path: Path) -> Path:
    """The absolute path behind ``path``: a link's target, so that the link itself survives.

    Raises OutputError where links lead in a circle, and for a name that is too long.
    """
    try:
        path.stat()
    except OSError as failure:
        if failure.errno == errno.ENAMETOOLONG:
            raise _too_long(path) from failure
        if failure.errno == errno.ELOOP:
            raise OutputError(
                f"{path} is a symbolic link that leads in a circle.",
                remedy="Remove it or name another output.",
            ) from failure
    return Path(os.path.realpath(path))


def _too_long(path: Path) -> OutputError:
    name = max(path.parts, key=lambda part: len(os.fsencode(part)))
    over_bytes = len(os.fsencode(name)) - _LONGEST_NAME_BYTES
    if over_bytes <= 0:
        return OutputError(
            f"The path of the output is too long: {str(path)[:40]}...", remedy="Choose a shorter one."
        )
    # The end tells whose name it is: that of a run.json is four bytes longer than that of its map.
    return OutputError(
        f"The name of the output {name[:20]}...{name[-20:]} is too long: {_LONGEST_NAME_BYTES + over_bytes} bytes of at most "
        f"{_LONGEST_NAME_BYTES}.",
        remedy=f"Choose a name that is {counted(over_bytes, 'byte')} shorter.",
    )


def staging_folder(target: Path) -> Path:
    """Where the successor of ``target`` (a real path) is prepared; the folder need not exist."""
    name = f".{target.name}.geopanoptic"
    if not can_be_a_name(name):
        name = f".{_digest(target.name)}.geopanoptic"
    return target.parent / name


def can_be_a_name(name: str) -> bool:
    """Whether file systems take a name of this length."""
    return len(os.fsencode(name)) <= _LONGEST_NAME_BYTES


def annex_folder(folder: Path, target: Path) -> Path:
    """Where the run that writes ``target`` prepares further files for another ``folder``.

    Named after the whole path of ``target``, so that no two outputs ever share one.
    """
    return folder / f".{_digest(str(target))}.geopanoptic"


def lock(target: Path) -> FileLock:
    """Creates the staging folder of ``target`` and takes the lock in it; release it after :func:`remove`.

    Raises LockedError where another run holds it, OutputError where the folder cannot be written.
    """
    staging = staging_folder(target)
    held = FileLock(staging / LOCK, blocking=False, fallback_to_soft=False, thread_local=False)
    if staging.is_symlink():
        raise OutputError(f"{staging} is a symbolic link.", remedy="Remove it.")
    while True:
        try:
            staging.mkdir(exist_ok=True)
            held.acquire()
            return held
        except Timeout as busy:
            raise _busy(target) from busy
        except FileNotFoundError as failure:
            # The run that held it finished and removed the folder between the two calls; but where the folder
            # itself cannot be made (as in /proc), it never will be.
            if not staging.parent.is_dir():
                raise missing_folder(staging.parent) from None
            if failure.filename == str(staging):
                raise forbidden_folder(staging.parent, failure) from failure
        except OSError as failure:
            raise forbidden_folder(staging.parent, failure) from failure


def refuse_locked(target: Path) -> None:
    """Raises LockedError where another run holds the lock of ``target`` now; makes no file and keeps no lock."""
    if is_locked(staging_folder(target) / LOCK):
        raise _busy(target)


def is_locked(file: Path) -> bool:
    """Whether a run holds the lock ``file``, which may be missing. One that takes it at this very moment is refused."""
    try:
        with file.open("rb") as lock_file:
            fcntl.flock(lock_file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def clear(staging: Path, *, keep_work: bool) -> None:
    """Removes what an abandoned run prepared, but neither the lock nor, if asked, its resumable work."""
    for entry in sorted(staging.iterdir()):
        if entry.name == LOCK or (entry.name == WORK and keep_work):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def remove(staging: Path) -> None:
    """Removes the folder and the lock file in it, unless work was kept."""
    if any(entry.name != LOCK for entry in staging.iterdir()):
        return
    (staging / LOCK).unlink(missing_ok=True)
    # A run that starts now may have put a new lock file there: then the folder is its.
    with suppress(OSError):
        staging.rmdir()


@contextmanager
def hidden_beside(target: Path, *, remedy: str) -> Iterator[Path]:
    """A new hidden folder in that of ``target``, which is made where it is missing; gone when the block ends.

    Raises OutputError where that is refused.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        hidden = Path(tempfile.mkdtemp(prefix=f".{target.name[:80]}-", dir=target.parent))
    except OSError as failure:
        raise OutputError(f"{target.parent} cannot be written: {failure.strerror}.", remedy=remedy) from None
    try:
        yield hidden
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def replace_folder(staged: Path, target: Path) -> None:
    """``staged`` takes the place of the folder ``target``, if there is one, which stays where that fails.

    A kill between the two renames leaves it beside ``staged``, with ``-old`` behind that name.
    """
    before = staged.with_name(f"{staged.name}-old")
    try:
        if target.exists():
            target.rename(before)
        staged.rename(target)
    except BaseException:
        if before.exists() and not target.exists():
            before.rename(target)
        raise
    shutil.rmtree(before, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Makes renames and new names in ``folder`` survive a power cut (where the system can)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as failure:
        # Some network and FUSE file systems know no such thing for folders.
        if failure.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Makes the content of ``path`` survive a power cut."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def make_folder(folder: Path, *, remedy: str) -> None:
    """Creates a folder for outputs and those above it; raises OutputError where that is refused."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise OutputError(f"{folder} cannot be made: {failure.strerror}.", remedy=remedy) from None


def missing_folder(folder: Path) -> OutputError:
    """The refusal of an output whose folder is not there."""
    return OutputError(
        f"The output folder {folder} does not exist or is not a folder.",
        remedy=f"Create it (mkdir -p '{folder}') or choose another output.",
    )


def forbidden_folder(folder: Path, failure: OSError) -> OutputError:
    """The refusal of an output whose folder cannot be written."""
    return OutputError(
        f"{folder} cannot be written: {failure.strerror}.",
        remedy="Choose a folder that you may write to, or change its permissions.",
    )


def _busy(target: Path) -> LockedError:
    return LockedError(
        f"Another run is writing {target}.", remedy="Wait for it to end, or choose another output."
    )


def _digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:32]
