"""Compact networks as ONNX models kept in the user's cache folder: torch is loaded only where one is missing.

Loading torch and building a network takes ten times as long as everything else before the first tile. A file goes by
the hash of all it follows from, the code that wrote it included, and ends in the hash of its content; one that is
damaged is written again, and a folder that cannot be used is done without. Nothing but numbers and names of
operations is read from it.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from geopanoptic.models.bundle import Bundle

if TYPE_CHECKING:
    from geopanoptic.models.unet import PanopticUNet

_HASH_BYTES = 32
_KEPT_FILES = 16
_WRITTEN_BY = ("compact.py", "heads.py", "margins.py", "onnx_graph.py", "unet.py")
"""Modules of this folder that decide what is in a file."""


def image_graph(
    bundle: Bundle, trained: Callable[[], PanopticUNet], *, bands: Sequence[int] | None, margin_px: int
) -> bytes:
    """``onnx_model`` of a bundle's network of single images, serialised; ``trained`` gives it where it is needed."""
    path = cache_folder() / f"{_key(bundle, bands, margin_px)}.onnx"
    kept = _read(path)
    if kept is not None:
        return kept
    from geopanoptic.models.compact import compact
    from geopanoptic.models.onnx_graph import onnx_model

    network = compact(trained(), bands=bands, margin_px=margin_px)
    content: bytes = onnx_model(network).SerializeToString()
    # What cannot be kept is computed again.
    with suppress(OSError):
        _write(path, content)
    return content


def cache_folder() -> Path:
    """Where this user's programs keep what can be computed again; need not exist."""
    match sys.platform:
        case "win32":
            base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
        case "darwin":
            base = "~/Library/Caches"
        case _:
            base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "geopanoptic" / "graphs"


def _key(bundle: Bundle, bands: Sequence[int] | None, margin_px: int) -> str:
    manifest = bundle.manifest
    asked = {
        "weights": bundle.sha256,
        "network": manifest.network.model_dump(mode="json"),
        "shape": [len(manifest.bands), len(manifest.classes)],
        "bands": None if bands is None else list(bands),
        "margin_px": margin_px,
        "versions": [importlib.metadata.version(name) for name in ("torch", "onnx", "numpy")],
    }
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode())
    for name in _WRITTEN_BY:
        digest.update(Path(__file__).with_name(name).read_bytes())
    return digest.hexdigest()


def _read(path: Path) -> bytes | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    graph, stated = content[:-_HASH_BYTES], content[-_HASH_BYTES:]
    return graph if _hash(path, graph) == stated else None


def _write(path: Path, graph: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f"{uuid4().hex}.partial")
    try:
        partial.write_bytes(graph + _hash(path, graph))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    oldest_first = sorted(path.parent.glob("*.onnx"), key=lambda file: file.stat().st_mtime)
    for file in oldest_first[:-_KEPT_FILES]:
        file.unlink(missing_ok=True)


def _hash(path: Path, graph: bytes) -> bytes:
    return hashlib.sha256(path.name.encode() + graph).digest()
