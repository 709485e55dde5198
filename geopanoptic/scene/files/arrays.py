"""An xarray DataArray as a place that pixels are read from; lazy chunks are computed window by window."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geopanoptic.grid import Window
from geopanoptic.scene.files.blocks import OnUnreadable, Stored, refuse
from geopanoptic.scene.files.resampling import nearest_positions

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True, slots=True, kw_only=True)
class ArraySource:
    """A DataArray (band, row, column) as a scene's source; ``token`` stands for its content.

    Picklable as far as the array is.
    """

    token: str
    name: str
    array: xarray.DataArray = field(repr=False, compare=False)

    @property
    def driver(self) -> str:
        """No driver of GDAL's."""
        return ""

    @property
    def path(self) -> str:
        """What messages show."""
        return self.name

    @property
    def parts(self) -> tuple[str, ...]:
        """A place in no folder."""
        return (self.name,)

    @property
    def size_bytes(self) -> int:
        """Of the numbers, computed or not."""
        return int(self.array.nbytes)

    def has_changed(self) -> bool:
        """Never: whoever holds the array in this process knows."""
        return False

    def read(
        self, indexes: tuple[int, ...], window: Window, dtype: str, on_unreadable: OnUnreadable = refuse
    ) -> Stored:
        """The numbers (C, H, W) of bands ``indexes`` (from 1); computes the chunks under the window."""
        rows, cols = window.slices()
        part = self.array[[index - 1 for index in indexes], rows, cols]
        # Computed here: the reading thread is one of several, and each has its share of the processor.
        # A copy, because pixels are scaled in place.
        stored = np.array(part.compute(scheduler="synchronous").values, dtype)
        return stored, np.ones(window.shape, np.bool_)

    def decimated(self, index: int, shape: tuple[int, int]) -> NDArray[Any]:
        """Nearest pixels (H, W) of one band at ``shape``."""
        rows, cols = nearest_positions(self.array.shape[1:], shape)
        return np.asarray(self.array[index - 1, rows, cols].compute(scheduler="synchronous").values)


def is_array(source: object) -> bool:
    """True for a DataArray or Dataset; says so without importing xarray."""
    kind = type(source)
    return kind.__module__.partition(".")[0] == "xarray" and kind.__name__ in ("DataArray", "Dataset")
