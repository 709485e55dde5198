"""Arrays in ``.npy`` and ``.npz`` files, read from many threads.

numpy parses headers with ``ast``, and CPython 3.11 counts the depth of all threads' parsing in one number: "SystemError:
AST constructor recursion depth mismatch" ended a run of which two threads opened files at the same moment
(python/cpython#106905). So they are parsed one at a time.

numpy and zipfile have half a dozen errors for a file that is cut short or was never one, among them ``EOFError``, which
click takes for Ctrl-C. Here such a file is a ``ValueError`` that says what is wrong, one that cannot be opened an
``OSError``; the caller names the file. Python objects are refused.
"""

from __future__ import annotations

import math
import threading
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any, Literal

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

_PARSING = threading.Lock()
_CHUNK_BYTES = 1 << 20
_DAMAGES = (EOFError, KeyError, RuntimeError, SyntaxError, TokenError, zipfile.BadZipFile, zlib.error)


def map_npy(path: Path, mode: Literal["r", "c"] = "r") -> NDArray[Any]:
    """The array of a ``.npy`` file, mapped into memory in a mode of ``numpy.memmap``."""
    with _one_error(), _PARSING:
        return npy.open_memmap(path, mode)


def load_npz(path: Path, names: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """The arrays of a ``.npz`` file, or those of ``names``, each of which it must hold."""
    with _one_error(), zipfile.ZipFile(path) as archive:
        wanted = _names(archive) if names is None else names
        return {name: _unpacked(archive, name) for name in wanted}


def _unpacked(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with archive.open(f"{name}.npy") as file:
        shape, by_column, dtype = read_header(file)
        if dtype.hasobject:
            raise ValueError(f"{name} holds Python objects")
        values = np.empty(math.prod(shape), dtype)
        content, begin = values.view(np.uint8), 0
        while begin < len(content):
            chunk = np.frombuffer(file.read(min(len(content) - begin, _CHUNK_BYTES)), np.uint8)
            if not len(chunk):
                raise ValueError(f"{name} ends after {begin} of {len(content)} bytes")
            content[begin : begin + len(chunk)] = chunk
            begin += len(chunk)
    return values.reshape(shape, order="F" if by_column else "C")


def names_in_npz(path: Path) -> tuple[str, ...]:
    """Names of the arrays of a ``.npz`` file."""
    with _one_error(), zipfile.ZipFile(path) as archive:
        return _names(archive)


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran's order, and dtype of the ``.npy`` file that begins where ``file`` stands."""
    with _one_error(), _PARSING:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, by_column, dtype = read(file)
        return shape, by_column, dtype


def _names(archive: zipfile.ZipFile) -> tuple[str, ...]:
    return tuple(name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy"))


@contextmanager
def _one_error() -> Iterator[None]:
    try:
        yield
    except _DAMAGES as failure:
        raise ValueError(str(failure.args[0] if failure.args else failure)) from failure
