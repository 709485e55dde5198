"""One refusal for everything a full, vanished or forbidding disk can do to a writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns any failure to write ``path`` into an :class:`OutputError` that names it."""
    try:
        yield
    except _FAILURES as failure:
        # Without the file of an OSError, which may be one that only this program knows.
        reason = getattr(failure, "strerror", None) or failure
        raise OutputError(
            f"{path.name} could not be written to {path.parent}: {reason}.",
            remedy="Check free space, quota and permissions there; an existing output is unchanged.",
        ) from failure


def damaged(path: Path, what: str) -> OutputError:
    """The refusal of a file that was written and is not as it was meant."""
    return OutputError(
        f"{path.name} was written but does not read back whole: {what}.",
        remedy="Check the disk; an existing output is unchanged.",
    )


def put_text(path: Path, text: str) -> None:
    """``path`` holds ``text`` and a line end, or what it held before; pipes and links are written to as they are.

    Raises OutputError where that fails.
    """
    with writing(path):
        if path.exists() and (path.is_symlink() or not path.is_file()):
            path.write_text(text + "\n", encoding="utf-8")
            return
        with replacing(path) as partial:
            partial.write_text(text + "\n", encoding="utf-8")
