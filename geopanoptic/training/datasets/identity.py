"""What the files of data sets are, so that a run does not go on with other ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from geopanoptic.models.weights import sha256_of
from geopanoptic.pipeline.resuming.identity import Identity, files_of
from geopanoptic.scene.containers.pastis import METADATA
from geopanoptic.training.datasets.labelled_scene import scene_of
from geopanoptic.training.datasets.pool import samples_in
from geopanoptic.training.datasets.settings import (
    CocoData,
    DataSettings,
    GeneratedData,
    PastisData,
    PoolData,
    SeasonPoolData,
    VectorData,
)
from geopanoptic.training.datasets.vectors import read_fields


def identity_of(data: Sequence[DataSettings]) -> Identity:
    """An entry per file or folder of ``data``, by content: jobs that are sent elsewhere copy their data anew.

    Outlines are hashed, of scenes pieces, and of folders of thousands the names and sizes. Raises as
    ``open_dataset``.
    """
    found: Identity = {}
    for each in data:
        match each:
            case VectorData():
                scene = scene_of(each)
                # Not the file's bytes, which change where a GeoPackage is only looked at.
                outlines, _ = read_fields(each.labels, scene.grid, layer=each.layer)
                digest = hashlib.blake2b(b"".join(outlines.geometry.to_wkb()), digest_size=8)
                found[f"labels {each.labels}"] = digest.hexdigest()
                found[f"scene {each.scene}"] = _without_times(files_of(scene))
            case PoolData() | SeasonPoolData():
                found[f"folder {each.folder}"] = _listed(samples_in(each.folder, "samples"))
            case CocoData():
                found[f"annotations {each.annotations}"] = _content(each.annotations)
                found[f"folder {each.panoptic}"] = _content(each.panoptic)
            case PastisData():
                found[f"metadata {each.folder / METADATA}"] = _content(each.folder / METADATA)
            case GeneratedData():
                pass
    return found


def _content(path: Path) -> str | Identity:
    """A hash of a file; of a folder, as some vector formats are, its files."""
    return sha256_of(path)[:16] if path.is_file() else _listed(path.rglob("*"))


def _listed(paths: Iterable[Path]) -> Identity:
    entries = sorted((path.name, path.stat().st_size) for path in paths if path.is_file())
    digest = hashlib.blake2b(repr(entries).encode(errors="surrogateescape"), digest_size=8)
    return {"files": len(entries), "names and sizes": digest.hexdigest()}


def _without_times(files: Identity) -> Identity:
    return {
        name: {key: value for key, value in found.items() if not key.endswith("modified")}
        for name, found in files.items()
    }
