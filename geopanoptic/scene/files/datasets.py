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
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from geopanoptic.errors import SceneError
from geopanoptic.scene.files.remote import RemoteFile, gdal_options, refusal
from geopanoptic.scene.files.sources import SourceFile, shown

MAX_OPEN_PER_THREAD = 28
"""Enough for thirteen bands and a mask of two dates. With 32 threads below the usual limit of 1024 open files; a
season's files come and go, at about a millisecond each."""

GdalSource = SourceFile | RemoteFile

_Key = tuple[int, GdalSource, str]
_thread = threading.local()
_warning_filters = threading.Lock()


def gdal_environment(source: GdalSource) -> rasterio.Env:
    """The settings under which a file is opened and read.

    Within an environment GDAL reports to logging; without one it writes to the terminal.
    """
    return rasterio.Env(**gdal_options()) if isinstance(source, RemoteFile) else rasterio.Env()


def open_dataset(source: GdalSource) -> DatasetReader:
    """A freshly opened dataset, by the driver found when the scene was opened. The caller closes it.

    Raises SceneError where GDAL cannot read the header.
    """
    with unplaced_is_no_news(), gdal_environment(source), refused_if_damaged(source):
        return rasterio.open(source.opened_as, driver=source.driver)


@contextmanager
def unplaced_is_no_news() -> Iterator[None]:
    """rasterio does not warn of data without a place on the ground; for threads that may open or burn at once.

    warnings.catch_warnings swaps process-wide filters, so two threads must not be inside it at once, and
    rasterio's own `rasterize` is inside it for a moment.
    """
    with _warning_filters, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


@contextmanager
def refused_if_damaged(source: GdalSource) -> Iterator[None]:
    """Raises SceneError where GDAL cannot answer a question about a file: it reads some headers only when asked."""
    try:
        yield
    except UnicodeEncodeError:
        raise SceneError(
            f"The name {shown(source.path)} is not in UTF-8, and GDAL opens no other.", remedy="Rename it."
        ) from None
    except (RasterioError, CPLE_BaseError, UnicodeError, ValueError) as error:
        raise _cannot_open(source, error) from None


def dataset_of(source: GdalSource) -> DatasetReader:
    """This thread's open dataset of a file; it stays open for the next read."""
    opened: OrderedDict[_Key, DatasetReader] | None = getattr(_thread, "opened", None)
    if opened is None:
        opened = _thread.opened = OrderedDict()
    # The process is part of the key: a dataset must not be used on both sides of a fork. So is what GDAL
    # opens: a remote file's address may have been signed anew.
    key = (os.getpid(), source, os.fspath(source.opened_as))
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


def reason_of(error: Exception, source: GdalSource) -> str:
    """GDAL's own reason in one line, without a remote file's secrets."""
    text = " ".join(str(error.__cause__ or error).split())
    text = source.redacted(text) if isinstance(source, RemoteFile) else text
    return text if text.endswith(".") else text + "."


def _cannot_open(source: GdalSource, error: Exception) -> SceneError:
    reason = reason_of(error, source)
    refused = refusal(source, reason) if isinstance(source, RemoteFile) else None
    return refused or SceneError(
        f"{shown(source.path)} is damaged or cut short: {reason}",
        remedy="Download or export it again."
        if isinstance(source, SourceFile)
        else "Only GeoTIFFs are read remotely; download others, and replace a damaged one.",
    )
