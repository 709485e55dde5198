"""From what the user gave (path, paths, folder, addresses) to files, each a picklable value."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geopanoptic.arguments import path_text
from geopanoptic.errors import SceneError

SceneSource = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""One path, several paths, or a folder of files."""

ADDRESS = re.compile(r"^(?:[A-Za-z][A-Za-z0-9+.-]+://|/vsi)")
"""What GDAL would not take for a local file."""
READ_REMOTELY = re.compile(r"^(?:https?|s3)://[^/]")


class OnDisk:
    """What all sources share that lie in a local file or folder, as it was when the scene was opened."""

    __slots__ = ()
    path: Path
    size_bytes: int
    mtime_ns: int

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the folders and of the file."""
        return self.path.parts

    def has_changed(self) -> bool:
        """True where a file was replaced, edited, added or removed since the scene was opened."""
        return state_of(self.path) != (self.size_bytes, self.mtime_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile(OnDisk):
    """One local file as it was found: ``path`` with symbolic links resolved, ``name`` as the user sees it.

    ``besides``: the files that are read with it, its mask and the images of a VRT, each with its ``state_of``.
    """

    path: Path
    name: str
    driver: str
    size_bytes: int
    mtime_ns: int
    besides: tuple[tuple[Path, tuple[int, int]], ...] = ()

    @property
    def opened_as(self) -> Path:
        """What GDAL opens. A Path, not a string: rasterio would parse '#', '?' and '!' as parts of a URL."""
        return self.path

    def has_changed(self) -> bool:
        """As of every ``OnDisk``, and where one of ``besides`` was."""
        return OnDisk.has_changed(self) or any(state_of(path) != state for path, state in self.besides)


def shown(path: str | os.PathLike[str]) -> str:
    """A path for a message: as it is where printable, else quoted with escapes."""
    text = os.fspath(path)
    return text if text.isprintable() else repr(text)


def named_files(names: Iterable[str]) -> str:
    """The first of several files for a message, and how many more: a season has hundreds."""
    first, *others = names
    return f"{shown(first)} and {len(others)} more" if others else shown(first)


def named_sources(text: str) -> str | tuple[str, ...]:
    """What one option names: a path, or several joined by commas where nothing has the whole name."""
    return text if "," not in text or os.path.exists(text) else tuple(text.split(","))  # noqa: PTH110


def as_list(source: SceneSource, *, allow_remote: bool = False) -> list[Path | str]:
    """The given paths; http, https and s3 addresses stay text.

    Raises SceneError for nothing, for other kinds of address, and for any unless ``allow_remote``; UsageError for what
    is no path.
    """
    is_one = isinstance(source, str | bytes | os.PathLike) or not isinstance(source, Iterable)
    given: list[Any] = [source] if is_one else list(source)  # type: ignore[arg-type]
    if not given:
        raise SceneError("No scene was given.", remedy="Name a file, several files or a folder.")
    remedy = "Name a file, several files or a folder, or give an xarray.DataArray with coordinates and a CRS."
    return [
        _local_or_remote(path_text(item, "A scene", remedy=remedy), allow_remote=allow_remote)
        for item in given
    ]


def _local_or_remote(text: str, *, allow_remote: bool) -> Path | str:
    if not text:
        raise SceneError("A scene has an empty name.", remedy="Name a file, several files or a folder.")
    if not ADDRESS.match(text):
        return Path(text)
    scheme, mark, rest = text.partition("://")
    text = f"{scheme.lower()}{mark}{rest}" if mark else text
    if not READ_REMOTELY.match(text):
        raise SceneError(
            f"{shown(without_secrets(text))} is not a local file, and not an http, https or s3 address.",
            remedy="Download it and give the local path.",
        )
    if not allow_remote:
        raise SceneError(
            f"{shown(without_secrets(text))} is not a local file; nothing is read from the network unless "
            "that is allowed.",
            remedy="Allow it with --allow-remote (allow_remote=True), or download it and give the local path.",
        )
    return text


def resolve(path: Path) -> Path:
    """An existing path with symbolic links resolved. Raises SceneError where it is missing or loops."""
    try:
        return path.resolve(strict=True)
    except FileNotFoundError:
        if path.is_symlink():
            raise SceneError(
                f"{shown(path)} is a symbolic link to a file that is not there.", remedy="Repair the link."
            ) from None
        raise SceneError(
            f"{shown(path)} does not exist.", remedy="Check the spelling and the working folder."
        ) from None
    except PermissionError:
        raise SceneError(f"{shown(path)} cannot be reached.", remedy="Check the permissions.") from None
    # ValueError: no name holds a NUL.
    except (OSError, RuntimeError, ValueError) as error:
        raise SceneError(
            f"{shown(path)} cannot be followed to a file: {error}.",
            remedy="Repair the path or the symbolic link.",
        ) from None


def is_file(path: Path) -> bool:
    """Whether a plain file is there; False, unlike ``Path.is_file``, where that cannot be told (names that are
    too long, folders that may not be entered)."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: Path) -> bool:
    """Whether a folder is there; False where that cannot be told."""
    return os.path.isdir(path)  # noqa: PTH112


def state_of(path: Path) -> tuple[int, int]:
    """Bytes of a file, or of all files below a folder, and the newest time of change in nanoseconds.

    (0, 0) where it is gone.
    """
    try:
        status = path.stat()
        if path.is_file():
            return status.st_size, status.st_mtime_ns
        size_bytes, newest_ns = 0, status.st_mtime_ns
        for folder, _, names in os.walk(path):
            for name in names:
                status = os.stat(os.path.join(folder, name))  # noqa: PTH116, PTH118  (a store may hold millions)
                size_bytes, newest_ns = size_bytes + status.st_size, max(newest_ns, status.st_mtime_ns)
    except OSError:
        return 0, 0
    return size_bytes, newest_ns


def files_in(folder: Path) -> list[Path]:
    """The plain files of a folder (not of its subfolders), by name, numbers by value. Raises SceneError if unreadable."""
    return [item for item in _items_in(folder) if item.is_file()]


def folders_in(folder: Path) -> list[Path]:
    """The subfolders of a folder, by name, numbers by value. Raises SceneError if unreadable."""
    return [item for item in _items_in(folder) if item.is_dir()]


def _items_in(folder: Path) -> list[Path]:
    try:
        return sorted((item for item in folder.iterdir() if not item.name.startswith(".")), key=_in_order)
    except OSError as error:
        raise SceneError(
            f"The folder {shown(folder)} cannot be listed: {error.strerror}.",
            remedy="Check the permissions.",
        ) from None


def _in_order(path: Path) -> tuple[list[str | int], str]:
    """Undated images are dated in this order, and people count 2 before 10."""
    parts = re.split(r"([0-9]+)", path.name)
    return [int(part) if number % 2 else part for number, part in enumerate(parts)], path.name


def without_secrets(address: str) -> str:
    """An address without user, password, query and fragment, which may hold tokens."""
    return re.split(r"[?#]", re.sub(r"//[^/]*@", "//", address), maxsplit=1)[0]
