"""The user's cache folder: what can be computed again is kept there, where there is such a folder."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from geopanoptic.replacing import PARTIAL, replacing

_ABANDONED_S = 86_400
"""A file that is being written for a day belongs to a process that was killed."""


def cache_folder() -> Path | None:
    """Where this user's programs keep what can be computed again; need not exist.

    None where nobody knows of such a folder: a user without a home and a name, as containers have them.
    """
    match sys.platform:
        case "win32":
            base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
        case "darwin":
            base = "~/Library/Caches"
        case _:
            base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    with suppress(RuntimeError):
        return Path(base).expanduser() / "geopanoptic"
    return None


def keep(path: Path, content: bytes) -> None:
    """Write a file of the cache folder, which is the old one or complete. What cannot be kept is computed again."""
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(path) as partial:
            partial.write_bytes(content)
        for file in path.parent.glob(f"*{PARTIAL}"):
            if file.stat().st_mtime < time.time() - _ABANDONED_S:
                file.unlink(missing_ok=True)
