"""What makes two runs the same as far as the stored blocks go, and how two of them differ, in words.

Tiles, batches, memory, threads and schedulers are no part of it: the blocks do not depend on them. Nor are
``min_area_m2``, ``simplify_m`` and ``fusion``, which act on what the blocks hold: a run may be continued with others.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from geopanoptic import __version__
from geopanoptic.models.bundle import Bundle
from geopanoptic.pipeline.planning.aoi import identity_of_area
from geopanoptic.pipeline.resuming.fingerprints import fingerprint
from geopanoptic.scene import Scene, SourceFile
from geopanoptic.scene.bands.headers import Source
from geopanoptic.scene.files.arrays import ArraySource
from geopanoptic.scene.files.cube_file import CubeFile
from geopanoptic.scene.files.patch_file import PatchFile
from geopanoptic.scene.files.remote import RemoteFile

if TYPE_CHECKING:
    from geopanoptic.pipeline.planning.aoi import Area

FORMAT_VERSION = 4
"""Of the stored blocks: goes up when a new version of the software would store other bytes."""

Identity = dict[str, Any]
"""Names, in words, and JSON values; nested at most once."""

_SHOWN_CHARACTERS = 80


def identity_of(
    scene: Scene, bundle: Bundle, *, bands: tuple[str, ...], aoi: Area | None, runtime: str
) -> Identity:
    """The identity of a run: everything that the stored blocks depend on.

    ``bands`` are the ones that are read, ``runtime`` names what computes the network and its version. Reads
    2 MiB of every file. Raises SceneError for a file that cannot be read.
    """
    return {
        "software": f"geopanoptic {__version__}, block format {FORMAT_VERSION}",
        **files_of(scene),
        "grid": {
            "crs": scene.grid.crs_wkt,
            "transform": list(scene.grid.transform)[:6],
            "height": scene.grid.height,
            "width": scene.grid.width,
        },
        "bands": list(bands),
        "dates": [str(date) for date in scene.dates],
        "scale, offset, nodata and masks": _reading(scene),
        "area of interest": None if aoi is None else identity_of_area(aoi),
        "model": {
            "name": bundle.name,
            "weights": bundle.sha256,
            "description": bundle.fingerprint,
        },
        "runtime": runtime,
    }


def differences(stored: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """One line per value that is not the same: what it was in the stored run, and what it is now."""
    return list(_differences(stored, found, ()))


def _differences(stored: Mapping[str, Any], found: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    for key in dict.fromkeys((*stored, *found)):
        name = ", ".join((*path, key))
        if key not in found:
            yield f"{name}: was part of that run and is not of this one"
        elif key not in stored:
            yield f"{name}: was not part of that run"
        elif isinstance(stored[key], dict) and isinstance(found[key], dict):
            yield from _differences(stored[key], found[key], (*path, key))
        elif stored[key] != found[key]:
            yield f"{name}: was {_shown(stored[key])}, is {_shown(found[key])}"


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, dict):
        return _shown(value.get("name", "another"))
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."


def files_of(scene: Scene) -> Identity:
    """One entry per file, by the name the user knows; equal names are told apart by their order.

    Reads 2 MiB of every file. Raises SceneError for a file that cannot be read.
    """
    seen: Counter[str] = Counter()
    files = {}
    for source in scene.sources:
        seen[source.name] += 1
        number = f" ({seen[source.name]})" if seen[source.name] > 1 else ""
        files[f"file {source.name}{number}"] = _content(source)
    return files


def _content(source: Source) -> dict[str, str | int]:
    match source:
        case SourceFile():
            found = fingerprint(source.path)
            for path, _ in source.besides:
                name = os.path.relpath(path, source.path.parent)
                found |= {f"{name}, {key}": value for key, value in fingerprint(path).items()}
            return found
        case PatchFile():
            return fingerprint(source.path)
        case CubeFile():
            # A store is a folder of many files.
            if source.path.is_file():
                return fingerprint(source.path)
            return {"size_bytes": source.size_bytes, "modified_ns": source.mtime_ns}
        case RemoteFile():
            return {"size_bytes": source.size_bytes, "version": source.version}
        case ArraySource():
            return {"content": source.token}


def _reading(scene: Scene) -> str:
    """A hash of how every layer and mask is read, without where their files lie and what is in them."""
    return _hash(repr([_located(each) for each in (*scene.layers, *scene.masks)]))


def _located(value: Any) -> Any:
    """A layer or mask with its files by name only."""
    if isinstance(value, Source):
        return value.name
    if isinstance(value, tuple):
        return tuple(map(_located, value))
    if is_dataclass(value):
        return (type(value).__name__, *(_located(getattr(value, each.name)) for each in fields(value)))
    return value


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=16).hexdigest()
