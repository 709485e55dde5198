"""Labels known by the SHA-256 of their files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from geopanoptic.labels.provenance.manifest import PROVENANCE

_ABOUT = (PROVENANCE, ".run.json")
"""Endings of files that tell of labels and their making, and are none themselves."""


def hashes_of(files: Iterable[Path], root: Path) -> dict[str, str]:
    """SHA-256 of files, and of all in folders, by their path from ``root``."""
    whole = {file for each in files for file in _files_in(each) if not file.name.endswith(_ABOUT)}
    return {file.relative_to(root).as_posix(): _sha256(file) for file in sorted(whole)}


def content_of(hashes: Mapping[str, str]) -> str:
    """One hash of all files; a single file's is its own, whatever it is called."""
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    listed = "".join(f"{sha}  {name}\n" for name, sha in sorted(hashes.items()))
    return hashlib.sha256(listed.encode()).hexdigest()


def _files_in(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (each for each in path.rglob("*") if each.is_file())
    else:
        yield path


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
