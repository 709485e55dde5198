"""Polygons as arrays: measured and written without an object for every ring, point or row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow
import shapely
from numba import njit
from numpy.typing import NDArray

from geopanoptic.errors import OutputError
from geopanoptic.products.measures import Rings

_HEADER = np.frombuffer(b"\x01\x03\x00\x00\x00", np.uint8)
"""Of a polygon in well-known binary (OGC 06-103r4): little-endian, geometry type 3."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Polygons:
    """n polygons in shapely's ragged format.

    ``xy`` float64 (v, 2): points of all rings, each closed by its first point; ring ``r`` is
    ``xy[ring_offsets[r] : ring_offsets[r + 1]]``. ``polygon_offsets`` int64 (n + 1,): polygon ``p`` has the
    rings from ``polygon_offsets[p]`` to ``polygon_offsets[p + 1]``, the exterior first.
    """

    xy: NDArray[np.float64]
    ring_offsets: NDArray[np.int64]
    polygon_offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.polygon_offsets) - 1

    def geometries(self) -> NDArray[np.object_]:
        """As shapely Polygons (n,)."""
        polygons: NDArray[np.object_] = shapely.from_ragged_array(
            shapely.GeometryType.POLYGON, self.xy, (self.ring_offsets, self.polygon_offsets)
        )
        return polygons

    def rings(self) -> Rings:
        """What is measured."""
        n_rings = len(self.ring_offsets) - 1
        is_hole = np.ones(n_rings, np.bool_)
        is_hole[self.polygon_offsets[:-1]] = False
        return Rings(
            xy=self.xy,
            ring=np.repeat(np.arange(n_rings), np.diff(self.ring_offsets)),
            polygon=np.repeat(np.arange(len(self)), np.diff(self.polygon_offsets)),
            is_hole=is_hole,
        )

    def wkb(self) -> pyarrow.BinaryArray:
        """As well-known binary (n,), little-endian: the bytes of ``shapely.to_wkb``.

        Raises ``OutputError`` for more than an array of Arrow's holds, 2 GB.
        """
        rings, points = np.diff(self.polygon_offsets), np.diff(self.ring_offsets[self.polygon_offsets])
        sizes = len(_HEADER) + 4 + 4 * rings + 16 * points
        total_bytes = int(sizes.sum())
        if total_bytes > np.iinfo(np.int32).max:
            raise OutputError(
                f"{len(self)} polygons have outlines of {total_bytes / 2**30:.1f} GB, more than is written at once.",
                remedy="Simplify them more (--simplify), or map the scene in parts.",
            )
        offsets = np.concatenate([np.zeros(1, np.int32), np.cumsum(sizes, dtype=np.int32)])
        content = np.empty(offsets[-1], np.uint8)
        points_u8 = np.ascontiguousarray(self.xy, "<f8").view(np.uint8)
        _fill_wkb(content, offsets, points_u8, self.ring_offsets, self.polygon_offsets, _HEADER)
        buffers = [None, pyarrow.py_buffer(offsets), pyarrow.py_buffer(content)]
        return pyarrow.BinaryArray.from_buffers(pyarrow.binary(), len(self), buffers)


@njit(nogil=True, cache=True)
def _fill_wkb(
    content: NDArray[np.uint8],
    offsets: NDArray[np.int32],
    points: NDArray[np.uint8],
    ring_offsets: NDArray[np.int64],
    polygon_offsets: NDArray[np.int64],
    header: NDArray[np.uint8],
) -> None:
    """Write every polygon at its offset; ``points`` (v, 16) are the bytes of x and y."""
    for polygon in range(len(polygon_offsets) - 1):
        place = offsets[polygon]
        content[place : place + len(header)] = header
        begin, end = polygon_offsets[polygon], polygon_offsets[polygon + 1]
        place = _put_count(content, place + len(header), end - begin)
        for ring in range(begin, end):
            place = _put_count(content, place, ring_offsets[ring + 1] - ring_offsets[ring])
            for point in range(ring_offsets[ring], ring_offsets[ring + 1]):
                content[place : place + 16] = points[point]
                place += 16


@njit(nogil=True, cache=True)
def _put_count(content: NDArray[np.uint8], place: int, count: int) -> int:
    """Write an unsigned number of four bytes, least first; returns the place behind it."""
    for k in range(4):
        content[place + k] = (count >> (8 * k)) & 0xFF
    return place + 4
