"""Reads the stored numbers of one file, and names the file's blocks that cannot be decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioIOError
from rasterio.windows import Window as RasterWindow

from geopanoptic.errors import SceneError
from geopanoptic.grid import Window
from geopanoptic.scene.files.datasets import GdalSource, dataset_of, gdal_environment, reason_of
from geopanoptic.scene.files.remote import RemoteFile, refusal
from geopanoptic.scene.files.sources import shown

Stored = tuple[NDArray[Any], NDArray[np.bool_]]
"""Numbers (C, H, W), and validity (H, W) by alpha, mask bands and blocks that could be decoded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableBlock:
    """A block of a file that cannot be decoded: ``window`` in the file's own pixels."""

    file: str
    window: Window
    reason: str = field(compare=False)

    @property
    def message(self) -> str:
        """File, place and GDAL's reason."""
        rows, cols = (self.window.row0, self.window.row1), (self.window.col0, self.window.col1)
        return (
            f"{self.file}: the block of rows {rows[0]} to {rows[1]} and columns {cols[0]} to {cols[1]} "
            f"cannot be decoded: {self.reason}"
        )

    def to_json(self) -> dict[str, Any]:
        """File, ``window`` [row0, col0, row1, col1] in the file's pixels, and reason, for ``run.json``."""
        place = [self.window.row0, self.window.col0, self.window.row1, self.window.col1]
        return {"file": self.file, "window": place, "reason": self.reason}


OnUnreadable = Callable[[UnreadableBlock], object]
"""Is told of each block that cannot be decoded; unless it raises, the block's pixels become invalid."""


def refuse(block: UnreadableBlock) -> None:
    """Raises SceneError: an unreadable block ends the reading."""
    raise SceneError(block.message, remedy="The file is damaged or cut short; download or export it again.")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileWindow:
    """A request to one file: ``indexes`` (from 1) over ``window`` (file pixels, within the file).

    ``dtype``: what the numbers are given as. ``alpha_index`` and ``mask_indexes``: bands whose alpha or mask
    decides on validity.
    """

    source: GdalSource
    indexes: tuple[int, ...]
    window: Window
    dtype: str
    alpha_index: int | None
    mask_indexes: tuple[int, ...]

    def read(self, on_unreadable: OnUnreadable = refuse) -> Stored:
        """The stored numbers; block by block only where the window cannot be read as one.

        Raises SceneError where a remote file's server refuses.
        """
        with gdal_environment(self.source):
            try:
                return self._decode(self.window)
            except RasterioIOError as error:
                self._raise_if_refused(error)
            stored = np.zeros((len(self.indexes), *self.window.shape), self.dtype)
            valid = np.zeros(self.window.shape, np.bool_)
            for block in self._file_blocks():
                part = self.window.intersection(block)
                if part is None:
                    continue
                where = part.slices(self.window)
                try:
                    stored[:, *where], valid[where] = self._decode(part)
                except RasterioIOError as error:
                    on_unreadable(
                        UnreadableBlock(
                            file=shown(self.source.path),
                            window=block,
                            reason=reason_of(error, self.source),
                        )
                    )
            return stored, valid

    def _decode(self, window: Window) -> Stored:
        dataset, where = dataset_of(self.source), raster_window(window)
        # The bands of a VRT may be of several types, which rasterio does not read at once.
        if len({dataset.dtypes[index - 1] for index in self.indexes}) > 1:
            stored = np.stack(
                [dataset.read(each, window=where, out_dtype=self.dtype) for each in self.indexes]
            )
        else:
            stored = dataset.read(list(self.indexes), window=where, out_dtype=self.dtype)
        valid = np.ones(window.shape, np.bool_)
        if self.alpha_index is not None:
            valid &= dataset.read(self.alpha_index, window=where) > 0
        for index in self.mask_indexes:
            valid &= dataset.read_masks(index, window=where) > 0
        return stored, valid

    def _file_blocks(self) -> Iterator[Window]:
        """The file's blocks under the window, row by row."""
        dataset = dataset_of(self.source)
        height, width = dataset.block_shapes[self.indexes[0] - 1]
        whole = Window(0, 0, dataset.height, dataset.width)
        for row in range(self.window.row0 // height * height, self.window.row1, height):
            for col in range(self.window.col0 // width * width, self.window.col1, width):
                block = Window(row, col, row + height, col + width).intersection(whole)
                if block is not None:
                    yield block

    def _raise_if_refused(self, error: RasterioIOError) -> None:
        # A server that refuses or does not answer says nothing about the file's blocks.
        if isinstance(self.source, RemoteFile):
            refused = refusal(self.source, reason_of(error, self.source))
            if refused is not None:
                raise refused from None


def read_decimated(
    source: GdalSource, index: int, shape: tuple[int, int], *, alpha_index: int | None, has_mask_band: bool
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """One band of a whole file at ``shape``, nearest pixels, by overviews where there are any.

    Raises SceneError where it cannot be decoded.
    """
    dataset = dataset_of(source)
    try:
        with gdal_environment(source):
            stored = dataset.read(index, out_shape=shape)
            valid = np.ones(shape, np.bool_)
            if alpha_index is not None:
                valid &= dataset.read(alpha_index, out_shape=shape) > 0
            if has_mask_band:
                valid &= dataset.read_masks(index, out_shape=shape) > 0
    except RasterioIOError as error:
        whole = Window(0, 0, dataset.height, dataset.width)
        refuse(UnreadableBlock(file=shown(source.path), window=whole, reason=reason_of(error, source)))
    return stored, valid


def raster_window(window: Window) -> RasterWindow:
    """The same window in rasterio's terms."""
    return RasterWindow(window.col0, window.row0, window.width, window.height)
