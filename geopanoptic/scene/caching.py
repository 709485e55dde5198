"""GDAL's block cache: how much a scene's layout needs, and setting it before the first read.

GDAL decodes whole blocks of a file and keeps what fits in one cache per process, by default 5 % of the
machine's memory whatever the budget is. Tiles overlap by their halos, so a cache that loses a block before
its last tile has been read decodes it again: measured with ``tests/benchmarks/reading.py``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from rasterio.enums import Interleaving
from rasterio.env import get_gdal_config, set_gdal_config

from geopanoptic.scene.files.datasets import GdalSource, dataset_of
from geopanoptic.scene.pixels.reading import Layer
from geopanoptic.scene.scene import Scene

_SPARE = 1.1
"""GDAL counts the headers of its blocks too."""
_FLOOR_BYTES = 16 << 20


def cache_bytes(scene: Scene, window_px: int, bands: Sequence[str] | None = None, *, readers: int = 1) -> int:
    """Bytes of GDAL's block cache that hold every file block under a window of ``window_px`` a side.

    With that much, the tiles of a block of tiles (``window_px``: its side with both halos) decode each
    file block once, in any order, for as many such windows as ``readers`` (threads) read at a time. A strip
    counts with its whole width, a file that keeps its bands together with all its bands. Reads headers only.

    Measured: reading the window whole and cutting the tiles from it takes as long and more memory.
    """
    if scene.reduction is not None:
        window_px *= scene.reduction.factor
    by_file: dict[GdalSource, list[Layer]] = {}
    for layer in scene.layers_of(bands):
        if isinstance(layer.source, GdalSource):
            by_file.setdefault(layer.source, []).append(layer)
    total = sum(_file_bytes(source, layers, window_px) for source, layers in by_file.items())
    return max(_FLOOR_BYTES, int(total * readers * _SPARE))


def _file_bytes(source: GdalSource, layers: Sequence[Layer], window_px: int) -> int:
    dataset, relation = dataset_of(source), layers[0].alignment
    together = dataset.interleaving is Interleaving.pixel
    indexes = set(dataset.indexes) if together else {layer.index for layer in layers}
    if layers[0].alpha_index is not None:
        indexes.add(layers[0].alpha_index)
    lengths = zip(
        (abs(relation.row_scale), abs(relation.col_scale)),
        dataset.block_shapes[layers[0].index - 1],
        dataset.shape,
        strict=True,
    )
    height, width = (_covered(window_px * scale, block, length) for scale, block, length in lengths)
    return height * width * sum(np.dtype(dataset.dtypes[index - 1]).itemsize for index in indexes)


def _covered(span: float, block: int, length: int) -> int:
    """Pixels along one axis in the blocks that a span may touch wherever it begins."""
    blocks = int(np.ceil(span / block)) + 1
    return min(blocks, -(-length // block)) * block


def configure_gdal(cache_bytes: int) -> int:
    """Give GDAL's block cache ``cache_bytes`` in this process; returns the bytes that hold.

    To be called before the first read, in each process that reads. A ``GDAL_CACHEMAX`` that the user has set
    in the environment stays.
    """
    if "GDAL_CACHEMAX" not in os.environ:
        set_gdal_config("GDAL_CACHEMAX", cache_bytes)
    return int(get_gdal_config("GDAL_CACHEMAX"))
