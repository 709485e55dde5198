"""One refusal for everything a full, vanished or forbidding disk can do to a writer."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError
from rasterio.errors import RasterioError

from geopanoptic.errors import OutputError
from geopanoptic.replacing import replacing

_FAILURES = (
    OSError,
    sqlite3.Error,
    DataSourceError,
    DataLayerError,
    FeatureError,
    FieldError,
    GeometryError,
    RasterioError,
)


_FULL_BYTES = 1 << 20
"""With less than this left on a disk, what failed there failed for want of space, whatever a library says of it."""


class FileError(OutputError):
    """A file at ``path`` cannot be written or is not as it was meant; ``told`` of its ``{name}`` and ``{folder}``."""

    def __init__(self, path: Path, told: str, *, remedy: str) -> None:
        super().__init__(
            told.replace("{name}", path.name).replace("{folder}", str(path.parent)), remedy=remedy
        )
        self.path = path
        self._told = told

    def __reduce__(self) -> tuple[object, ...]:
        return OutputError(self.message, remedy=self.remedy).__reduce__()

    def of(self, target: Path) -> FileError:
        """The same of the file that it was to become."""
        return FileError(target, self._told, remedy=self.remedy)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns any failure to write ``path`` into a :class:`FileError` that names it."""
    try:
        yield
    except _FAILURES as failure:
        raise FileError(
            path,
            f"{{name}} could not be written to {{folder}}: {_reason(failure, path)}.",
            remedy="Check free space, quota and permissions there; an existing output is unchanged.",
        ) from failure


def _reason(failure: Exception, path: Path) -> object:
    # Without the file of an OSError, which may be one that only this program knows.
    if isinstance(failure, OSError) and failure.strerror:
        return failure.strerror
    with suppress(OSError):
        if shutil.disk_usage(path.parent).free < _FULL_BYTES:
            return "the disk is full"
    return failure


def damaged(path: Path, what: str) -> FileError:
    """The refusal of a file that was written and is not as it was meant."""
    return FileError(
        path,
        f"{{name}} was written but does not read back whole: {what}.",
        remedy="Check the disk; an existing output is unchanged.",
    )


def put_text(path: Path, text: str) -> None:
    """``path`` holds ``text`` and a line end, or what it held before; what is there and no new file could stand for is
    written to as it is: pipes, links, files of others, and those in a folder that takes no new ones.

    Raises OutputError where that fails.
    """
    with writing(path):
        if not _can_be_replaced(path):
            path.write_text(text + "\n", encoding="utf-8")
            return
        with replacing(path) as partial:
            partial.write_text(text + "\n", encoding="utf-8")
            if path.exists():
                shutil.copymode(path, partial)


def _can_be_replaced(path: Path) -> bool:
    if path.is_symlink():
        return False
    if not path.exists():
        return True
    return path.is_file() and path.stat().st_uid == os.geteuid() and os.access(path.parent, os.W_OK | os.X_OK)
