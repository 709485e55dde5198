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
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from geopanoptic.models.bundle import Bundle
from geopanoptic.models.cache_folder import cache_folder, keep

if TYPE_CHECKING:
    from geopanoptic.models.networks.unet import PanopticUNet

GRAPHS = "graphs"

_HASH_BYTES = 32
_KEPT_FILES = 16
_WRITTEN_BY = (
    "networks/building.py",
    "networks/compact.py",
    "networks/heads.py",
    "networks/margins.py",
    "onnx_graph.py",
    "networks/two_scales.py",
    "networks/unet.py",
)
"""Modules of this folder that decide what is in a file."""
_WRITTEN_WITH = ("torch", "segmentation-models-pytorch", "timm", "onnx", "numpy")


def image_graph(
    bundle: Bundle, trained: Callable[[], PanopticUNet], *, bands: Sequence[int] | None, margin_px: int
) -> bytes:
    """``onnx_model`` of a bundle's network of single images, serialised; ``trained`` gives it where it is needed."""
    path = _path(bundle, bands, margin_px)
    if path is not None and (kept := _read(path)) is not None:
        return kept
    from geopanoptic.models.networks.two_scales import network_of_looks
    from geopanoptic.models.onnx_graph import onnx_model

    network = network_of_looks(bundle, trained(), bands=bands, margin_px=margin_px)
    content: bytes = onnx_model(network).SerializeToString()
    if path is not None:
        _write(path, content)
    return content


def _path(bundle: Bundle, bands: Sequence[int] | None, margin_px: int) -> Path | None:
    """None where there is no folder, or nothing says what a file follows from: modules packed into one program."""
    folder = cache_folder()
    with suppress(OSError, importlib.metadata.PackageNotFoundError):
        return None if folder is None else folder / GRAPHS / f"{_key(bundle, bands, margin_px)}.onnx"
    return None


def _key(bundle: Bundle, bands: Sequence[int] | None, margin_px: int) -> str:
    manifest = bundle.manifest
    asked = {
        "weights": bundle.sha256,
        "network": manifest.network.model_dump(mode="json"),
        "shape": [len(manifest.bands), len(manifest.classes)],
        "bands": None if bands is None else list(bands),
        "margin_px": margin_px,
        "second_scale": [str(bundle.second_scale), manifest.reach_px],
        "versions": [importlib.metadata.version(name) for name in _WRITTEN_WITH],
    }
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode())
    for name in _WRITTEN_BY:
        digest.update((Path(__file__).parent / name).read_bytes())
    return digest.hexdigest()


def _read(path: Path) -> bytes | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    graph, stated = content[:-_HASH_BYTES], content[-_HASH_BYTES:]
    return graph if _hash(path, graph) == stated else None


def _write(path: Path, graph: bytes) -> None:
    keep(path, graph + _hash(path, graph))
    with suppress(OSError):
        oldest_first = sorted(path.parent.glob("*.onnx"), key=lambda file: file.stat().st_mtime)
        for file in oldest_first[:-_KEPT_FILES]:
            file.unlink(missing_ok=True)


def _hash(path: Path, graph: bytes) -> bytes:
    return hashlib.sha256(path.name.encode() + graph).digest()
