"""Which vector files can be written."""

from __future__ import annotations

from pathlib import Path

from geopanoptic.errors import UsageError

VECTOR_SUFFIXES = {".gpkg": "GeoPackage: parcels, land cover and styles in one file"}
"""Suffix of ``--out``, and what is written."""


def require_vector_suffix(path: Path) -> str:
    """The suffix of ``path`` in lower case. Raises UsageError, with the list, for one that is not known."""
    suffix = path.suffix.lower()
    if suffix not in VECTOR_SUFFIXES:
        known = "; ".join(f"{each} ({what})" for each, what in VECTOR_SUFFIXES.items())
        raise UsageError(
            f"{path.name!r} has {f'the unknown suffix {suffix!r}' if suffix else 'no suffix'}.",
            remedy=f"Give the output one of: {known}.",
        )
    return suffix
