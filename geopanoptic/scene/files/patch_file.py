"""A NumPy file of shape (dates, bands, rows, columns) as a place that pixels are read from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopanoptic.errors import SceneError
from geopanoptic.grid import Window
from geopanoptic.npy import map_npy
from geopanoptic.scene.files.blocks import OnUnreadable, Stored, refuse
from geopanoptic.scene.files.resampling import nearest_positions
from geopanoptic.scene.files.sources import OnDisk, shown

MAGIC = b"\x93NUMPY"


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchFile(OnDisk):
    """One ``.npy`` file of ``shape_tchw``; the band ``c`` (from 0) of date ``t`` has the index ``t * C + c + 1``.

    Mapped into memory, never unpickled.
    """

    path: Path
    name: str
    shape_tchw: tuple[int, int, int, int]
    dtype: str
    size_bytes: int
    mtime_ns: int

    @property
    def driver(self) -> str:
        """No driver of GDAL's."""
        return ""

    def read(
        self, indexes: tuple[int, ...], window: Window, dtype: str, on_unreadable: OnUnreadable = refuse
    ) -> Stored:
        """The numbers (C, H, W) of planes ``indexes``; every pixel of the file can be read."""
        rows, cols = window.slices()
        planes = [index - 1 for index in indexes]
        return np.array(self._planes()[planes, rows, cols], dtype), np.ones(window.shape, np.bool_)

    def decimated(self, index: int, shape: tuple[int, int]) -> NDArray[Any]:
        """Nearest pixels (H, W) of one plane at ``shape``."""
        return np.asarray(self._planes()[index - 1][np.ix_(*nearest_positions(self.shape_tchw[2:], shape))])

    def _planes(self) -> NDArray[Any]:
        numbers = mapped(self.path)
        if numbers.shape != self.shape_tchw or numbers.dtype.name != self.dtype:
            raise SceneError(f"{shown(self.path)} was changed since it was opened.", remedy="Run again.")
        return numbers.reshape(-1, *self.shape_tchw[2:])


def mapped(path: Path) -> NDArray[Any]:
    """The array of a ``.npy`` file, mapped into memory.

    Raises SceneError for a damaged file, and for one of Python objects, which would have to be unpickled.
    """
    try:
        numbers = map_npy(path)
    except (OSError, ValueError) as error:
        raise SceneError(
            f"{shown(path)} is damaged, cut short or no array of numbers: {' '.join(str(error).split())}",
            remedy="Download or export it again.",
        ) from None
    # A file in Fortran's order would be copied whole when it is reshaped.
    if not numbers.flags.c_contiguous:
        raise SceneError(
            f"{shown(path)} is stored in Fortran's order.",
            remedy="Write it again: `np.save(path, np.ascontiguousarray(array))`.",
        )
    return numbers
