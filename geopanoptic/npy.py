"""Arrays in ``.npy`` files, read from many threads."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

_PARSING = threading.Lock()


def map_npy(path: Path, mode: Literal["r", "c"] = "r") -> NDArray[Any]:
    """The array of a file, mapped into memory in a mode of ``numpy.memmap``; Python objects are refused.

    numpy parses the header with ``ast``, and CPython 3.11 counts the depth of all threads' parsing in one number:
    "SystemError: AST constructor recursion depth mismatch" ended a run of which two threads opened files at the same
    moment (python/cpython#106905). So they are opened one at a time.

    Raises what ``numpy.load`` raises.
    """
    with _PARSING:
        return np.load(path, mmap_mode=mode, allow_pickle=False)  # type: ignore[no-any-return]
