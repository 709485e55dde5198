"""Under which names vector files and pictures can be written."""

from __future__ import annotations

from pathlib import Path

from geopanoptic.errors import UsageError

VECTOR_SUFFIXES = {".gpkg": "GeoPackage: parcels, land cover and styles in one file"}
"""Suffix of ``--out``, and what is written."""

_MADE_OF_MAPS = {".parquet": "GeoParquet (fiboa)", ".geoparquet": "GeoParquet (fiboa)", ".geojson": "GeoJSON"}


def require_png(path: Path) -> None:
    """Raises UsageError for the name of a picture that does not say PNG, which all pictures are."""
    if path.suffix.lower() != ".png":
        raise UsageError(
            f"{path.name!r} is no name of a PNG picture.", remedy=f"Name it {path.with_suffix('.png').name}."
        )


def require_vector_suffix(path: Path, *, parquet_beside: bool = False) -> str:
    """The suffix of ``path`` in lower case. Raises UsageError, with the list, for one that is not known.

    ``parquet_beside``: the command can write GeoParquet beside its output.
    """
    suffix = path.suffix.lower()
    if suffix not in VECTOR_SUFFIXES:
        known = "; ".join(f"{each} ({what})" for each, what in VECTOR_SUFFIXES.items())
        later = ""
        if suffix == ".parquet" and parquet_beside:
            later = f" With --parquet, {path} is written beside it."
        elif suffix in _MADE_OF_MAPS:
            whole = path.with_suffix(".gpkg")
            later = f" `geopanoptic labels convert {whole} {path}` makes {_MADE_OF_MAPS[suffix]} of it."
        raise UsageError(
            f"{path.name!r} has {f'the unknown suffix {suffix!r}' if suffix else 'no suffix'}.",
            remedy=f"Give the output one of: {known}.{later}",
        )
    return suffix
