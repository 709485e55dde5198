"""A bundle's files: writing weights, and checks that need no torch: where files lie, and of weights size, hash and a header
that is what it claims to be."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from geopanoptic.errors import ModelError, OutputError
from geopanoptic.replacing import replacing

if TYPE_CHECKING:
    from torch import Tensor

_HEADER_LIMIT_BYTES = 4 * 2**20
_PICKLE_STARTS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")
_REFETCH = "Fetch the bundle again from where it came."


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_weights(path: Path, weights: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write contiguous tensors on the CPU; the file is the old one or complete. Raises ``OutputError`` where the disk is full or forbids it."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        with replacing(path) as partial:
            save_file(dict(weights), partial, metadata=metadata)
    except (OSError, SafetensorError) as failure:
        raise OutputError(
            f"{path} could not be written: {failure}.",
            remedy="Check free space, quota and permissions there.",
        ) from failure


def own_file(folder: Path, name: str) -> Path:
    """A file of a bundle, which need not be there; ``ModelError`` for a link to any other file of the machine."""
    path = folder / name
    if Path(os.path.realpath(path)).parent != folder.resolve():
        raise ModelError(
            f"{path} links to a file outside its bundle.", remedy="Put the file itself into the folder."
        )
    return path


def check_weights(path: Path, *, sha256: str, size_bytes: int) -> None:
    """Raise ``ModelError`` unless ``path`` is the intact safetensors file a manifest describes."""
    if not path.is_file():
        raise ModelError(f"{path.parent} has no {path.name}.", remedy=_REFETCH)
    found_bytes = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        if start.startswith(_PICKLE_STARTS):
            raise ModelError(
                f"{path} is a pickle, which runs code when read; it is never opened.",
                remedy="Ask for the weights as safetensors.",
            )
        # Before the header: that of a file which is cut short is whole, and its tensors reach past the end.
        if found_bytes != size_bytes:
            raise ModelError(
                f"{path} has {found_bytes:,} bytes, bundle.json says {size_bytes:,}: cut short or replaced.",
                remedy=_REFETCH,
            )
        header = file.read(_checked_header_length(path, start, found_bytes))
    _check_spans(path, header, found_bytes - 8 - len(header))
    if sha256_of(path) != sha256:
        raise ModelError(f"{path} does not have the sha256 that bundle.json states.", remedy=_REFETCH)


def _checked_header_length(path: Path, start: bytes, found_bytes: int) -> int:
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > min(found_bytes - 8, _HEADER_LIMIT_BYTES):
        raise ModelError(
            f"{path} is no safetensors file: a header of {length:,} bytes in {found_bytes:,}.",
            remedy=_REFETCH,
        )
    return length


def _check_spans(path: Path, header: bytes, data_bytes: int) -> None:
    """The tensors' byte ranges follow one another without gap or overlap and fill the file."""
    try:
        entries = json.loads(header)
        spans = sorted(
            tuple(entry["data_offsets"]) for name, entry in entries.items() if name != "__metadata__"
        )
        ends = [0, *(end for _, end in spans)]
        fits = all(begin == before <= end for (begin, end), before in zip(spans, ends, strict=False))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ModelError(f"{path} has a damaged header.", remedy=_REFETCH) from None
    if not fits or ends[-1] != data_bytes:
        raise ModelError(f"{path}: tensors overlap, leave gaps or reach past the file.", remedy=_REFETCH)
