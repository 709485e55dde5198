"""Files that are whole or not there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

PARTIAL = ".partial"
"""Ends the names of what is being written; a process that is killed may leave it."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden name beside ``path`` to write to: the file takes the place of ``path`` once the block has ended, and goes
    where it fails. Readers see the old file or the new one; the disk may have either after a power cut."""
    # Not from the name of ``path``, which may fill its 255 bytes.
    partial = path.with_name(f".{uuid4().hex}{PARTIAL}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
