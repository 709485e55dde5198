"""A NetCDF file or Zarr store as a place that pixels are read from, window by window and date by date."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from geopanoptic.errors import SceneError
from geopanoptic.grid import Window
from geopanoptic.scene.files.blocks import OnUnreadable, Stored, UnreadableBlock, refuse
from geopanoptic.scene.files.resampling import nearest_positions
from geopanoptic.scene.files.sources import OnDisk, is_file, is_folder, shown

if TYPE_CHECKING:
    import xarray

Engine = Literal["h5netcdf", "scipy", "zarr"]
"""What xarray opens a cube with."""

_ENGINES: tuple[tuple[bytes, Engine], ...] = (
    (b"\x89HDF\r\n\x1a\n", "h5netcdf"),
    (b"CDF\x01", "scipy"),
    (b"CDF\x02", "scipy"),
)
_IMAGE_SUFFIXES = (".tif", ".tiff", ".jp2", ".png", ".jpg", ".jpeg", ".vrt")
_ZARR = ("zarr.json", ".zgroup", ".zmetadata")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """What is read of one date: a variable, at fixed positions along dimensions that are no place or time."""

    variable: str
    at: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CubeFile(OnDisk):
    """One cube. The plane ``p`` (from 0) of date ``t`` has the index ``t * len(planes) + p + 1``.

    ``axes``: names of the dimensions of rows and of columns. ``size_bytes`` and ``mtime_ns`` (the newest) count
    all files of a store. Holds no handle.
    """

    path: Path
    name: str
    engine: Engine
    planes: tuple[Plane, ...]
    time: str | None
    axes: tuple[str, str]
    block_shape: tuple[int, int]
    size_bytes: int
    mtime_ns: int

    @property
    def driver(self) -> str:
        """No driver of GDAL's."""
        return ""

    def read(
        self, indexes: tuple[int, ...], window: Window, dtype: str, on_unreadable: OnUnreadable = refuse
    ) -> Stored:
        """The numbers (C, H, W) of planes ``indexes``, decoded as CF says: scaled, NaN where they are missing.

        Asked for as integers, NaN becomes 0. Chunk by chunk only where the window cannot be read as one; a
        chunk that cannot be decoded goes to ``on_unreadable``.
        """
        stored = np.zeros((len(indexes), *window.shape), dtype)
        valid = np.ones(window.shape, np.bool_)
        for index, plane in zip(indexes, stored, strict=True):
            try:
                plane[...] = self._numbers(index, window, plane.dtype)
            except _UndecodableError:
                self._read_by_blocks(index, window, plane, valid, on_unreadable)
        return stored, valid

    def decimated(self, index: int, shape: tuple[int, int]) -> NDArray[Any]:
        """Nearest pixels (H, W) of one plane at ``shape``."""
        plane = self._plane(index)
        rows, cols = nearest_positions([plane.sizes[axis] for axis in self.axes], shape)
        return np.asarray(plane.isel({self.axes[0]: rows, self.axes[1]: cols}).values)

    def _read_by_blocks(
        self,
        index: int,
        window: Window,
        plane: NDArray[Any],
        valid: NDArray[np.bool_],
        on_unreadable: OnUnreadable,
    ) -> None:
        sizes = self._plane(index).sizes
        whole = Window(0, 0, *(sizes[axis] for axis in self.axes))
        height, width = self.block_shape
        for row in range(window.row0 // height * height, window.row1, height):
            for col in range(window.col0 // width * width, window.col1, width):
                block = Window(row, col, row + height, col + width).intersection(whole)
                part = window.intersection(block) if block else None
                if block is None or part is None:
                    continue
                try:
                    # The whole block: whether a pixel can be read must not depend on the window.
                    plane[part.slices(window)] = self._numbers(index, block, plane.dtype)[part.slices(block)]
                except _UndecodableError as error:
                    valid[part.slices(window)] = False
                    reason = f"{self.planes[(index - 1) % len(self.planes)].variable}: {error}"
                    on_unreadable(UnreadableBlock(file=shown(self.path), window=block, reason=reason))

    def _numbers(self, index: int, window: Window, dtype: np.dtype[Any]) -> NDArray[Any]:
        rows, cols = window.slices()
        part = self._plane(index).isel({self.axes[0]: rows, self.axes[1]: cols})
        try:
            numbers = part.values
        except Exception as error:  # Each codec raises its own class.
            raise _UndecodableError(" ".join(str(error).split()) or type(error).__name__) from None
        if dtype.kind in "iu" and numbers.dtype.kind == "f":
            numbers = np.nan_to_num(numbers, nan=0.0)
        with np.errstate(over="ignore"):
            return numbers.astype(dtype, copy=False)

    def _plane(self, index: int) -> xarray.DataArray:
        when, number = divmod(index - 1, len(self.planes))
        plane = self.planes[number]
        variable = open_cube(self.path, self.engine, (self.size_bytes, self.mtime_ns))[plane.variable]
        at = dict(plane.at) if self.time is None else {**dict(plane.at), self.time: when}
        return variable.isel({dim: at[dim] for dim in at if dim in variable.dims}).transpose(*self.axes)


class _UndecodableError(Exception):
    pass


def open_cube(path: Path, engine: Engine, state: tuple[int, int]) -> xarray.Dataset:
    """The lazy Dataset of a cube in a ``state`` (:func:`state_of`); nothing that is read from it is kept.

    Raises SceneError where the package that reads it is missing, and for a damaged cube.
    """
    try:
        return _opened(path, engine, state, os.getpid())
    except ImportError:
        raise not_installed(path, engine) from None
    except Exception as error:  # Each engine raises its own classes.
        raise SceneError(
            f"{shown(path)} is damaged or no cube that can be opened: {' '.join(str(error).split())}",
            remedy="Download or export it again.",
        ) from None


@functools.lru_cache(maxsize=8)
def _opened(path: Path, engine: Engine, state: tuple[int, int], process: int) -> xarray.Dataset:
    """``state`` and ``process`` tell apart what must not share a handle."""
    import xarray

    where: Any = path
    if engine == "zarr":
        from zarr.storage import LocalStore

        # Not a text: that may be an address. Not the consolidated metadata: others than those checked.
        where = LocalStore(path, read_only=True)
    settings: dict[str, Any] = {"consolidated": False} if engine == "zarr" else {}
    settings |= {"engine": engine, "chunks": None, "cache": False, "decode_timedelta": False}
    try:
        cube = xarray.open_dataset(where, **settings)
    except ValueError:
        # Perhaps only for its days, of a calendar without leap years: they count as none.
        cube = xarray.open_dataset(where, decode_times=False, **settings)
    # A CRS is kept in a variable without dimensions, and follows a selected band only as a coordinate.
    return cube.set_coords([name for name, variable in cube.data_vars.items() if variable.ndim == 0])


def not_installed(path: Path, engine: Engine) -> SceneError:
    """The refusal of a cube whose package is missing."""
    return SceneError(
        f"{shown(path)} is a {'Zarr' if engine == 'zarr' else 'NetCDF'} cube, and the package that reads it "
        f"({engine}) is not installed.",
        remedy="Install it: `pip install 'geopanoptic[cubes]'`.",
    )


def engine_of(path: Path) -> Engine | None:
    """What opens a cube (a NetCDF file by its first bytes, or a Zarr folder), or None where it is none."""
    if is_folder(path):
        return "zarr" if any(is_file(path / name) for name in _ZARR) else None
    if not is_file(path) or path.suffix.lower() in _IMAGE_SUFFIXES:
        # What calls itself an image is refused where it is none.
        return None
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError:
        return None
    return next((engine for magic, engine in _ENGINES if head.startswith(magic)), None)
