"""Open rasterio datasets, one set per thread.

A Scene holds no handle, so it can be pickled and shared between threads; GDAL datasets may only be used by
the thread that opened them. Each thread therefore keeps its own few datasets open and closes the ones it
has not used for longest.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterWindow

from geopanoptic.errors import SceneError
from geopanoptic.grid import Window
from geopanoptic.scene.sources import SourceFile, shown

MAX_OPEN_PER_THREAD = 48
"""Enough for thirteen bands of three dates, well below the usual limit of open files."""

_Key = tuple[int, str, int, int]
_thread = threading.local()
_warning_filters = threading.Lock()


def open_dataset(source: SourceFile) -> DatasetReader:
    """A freshly opened dataset, by the driver found when the scene was opened. The caller closes it.

    Raises SceneError where GDAL cannot read the header.
    """
    # warnings.catch_warnings swaps process-wide filters, so two threads must not be inside it at once.
    with _warning_filters, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            # A Path, not a string: rasterio would parse '#', '?' and '!' in a string as parts of an URL.
            return rasterio.open(source.path, driver=source.driver)
        except (RasterioError, UnicodeError, ValueError) as error:
            raise SceneError(
                f"{shown(source.path)} is damaged or cut short: {_one_line(error)}",
                remedy="Download or export it again.",
            ) from None


def dataset_of(source: SourceFile) -> DatasetReader:
    """This thread's open dataset of a file; it stays open for the next read."""
    opened: OrderedDict[_Key, DatasetReader] | None = getattr(_thread, "opened", None)
    if opened is None:
        opened = _thread.opened = OrderedDict()
    # The process is part of the key: a dataset must not be used on both sides of a fork.
    key = (os.getpid(), os.fspath(source.path), source.size_bytes, source.mtime_ns)
    if key in opened:
        opened.move_to_end(key)
        return opened[key]
    while len(opened) >= MAX_OPEN_PER_THREAD:
        opened.popitem(last=False)[1].close()
    opened[key] = open_dataset(source)
    return opened[key]


def close_datasets() -> None:
    """Close every dataset that this thread holds open."""
    opened: OrderedDict[_Key, DatasetReader] | None = getattr(_thread, "opened", None)
    while opened:
        opened.popitem()[1].close()


@contextmanager
def named_read_errors(source: SourceFile, indexes: list[int], window: Window) -> Iterator[None]:
    """Turns a failed read of ``window`` (in the file's pixels) into a SceneError that names the block."""
    try:
        # Within an environment GDAL reports to logging; without one it writes to the terminal.
        with rasterio.Env():
            yield
    except RasterioIOError as error:
        block = _first_unreadable_block(source, indexes, window)
        raise SceneError(
            f"{shown(source.path)}: the block of rows {block.row0} to {block.row1} and columns "
            f"{block.col0} to {block.col1} cannot be decoded: {_one_line(error)}",
            remedy="The file is damaged or cut short; download or export it again.",
        ) from None


def _first_unreadable_block(source: SourceFile, indexes: list[int], window: Window) -> Window:
    dataset = dataset_of(source)
    height, width = dataset.block_shapes[indexes[0] - 1]
    whole = Window(0, 0, dataset.height, dataset.width)
    for row in range(window.row0 // height * height, window.row1, height):
        for col in range(window.col0 // width * width, window.col1, width):
            block = Window(row, col, row + height, col + width).intersection(whole)
            if block is None:
                continue
            try:
                dataset.read(indexes, window=raster_window(block))
            except RasterioIOError:
                return block
    return window


def raster_window(window: Window) -> RasterWindow:
    """The same window in rasterio's terms."""
    return RasterWindow(window.col0, window.row0, window.width, window.height)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error.__cause__ or error).split())
    return text if text.endswith(".") else text + "."
