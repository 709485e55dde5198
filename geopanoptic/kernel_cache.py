"""Where numba keeps compiled kernels when neither this package's folder nor the user's can be written, as for service
accounts and users of containers: numba itself would refuse to be imported."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_VARIABLE = "NUMBA_CACHE_DIR"


def ensure_kernel_cache() -> None:
    """Name a folder for numba where it would find none; to be called before numba is imported."""
    if os.environ.get(_VARIABLE) or sys.platform == "win32":
        return
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111  where there is no home it is left as it is
    if not (_may_write(Path(__file__).parent) or _may_write(Path(base) / "numba")):
        os.environ[_VARIABLE] = _temporary()


def _may_write(folder: Path) -> bool:
    """Whether files can be made in a folder, which may be missing."""
    existing = next((each for each in (folder, *folder.parents) if each.exists()), folder)
    return folder.is_absolute() and os.access(existing, os.W_OK | os.X_OK)


def _temporary() -> str:
    """A folder of this user, and of nobody else: what lies in it is run."""
    import tempfile

    folder = Path(tempfile.gettempdir()) / f"geopanoptic-kernels-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        state = folder.lstat()
        if state.st_uid == os.getuid() and not state.st_mode & 0o077 and not folder.is_symlink():
            return str(folder)
    except OSError:
        pass
    return tempfile.mkdtemp(prefix="geopanoptic-kernels-")
