"""From arcs to polygons that share their borders vertex by vertex."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from affine import Affine
from numba import njit
from numpy.typing import NDArray

from geopanoptic.panoptic.coverage.arcs import Arcs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outlines:
    """The rings of every label above 0, in integers: polygons can be made of any part of them.

    ``labels`` int32 (n,), ascending; those of label ``k`` are ``first[starts[k] : starts[k + 1]]``, half-edges
    with which they begin, the exterior first. ``following`` int32 (half-edges,) walks them.
    """

    arcs: Arcs
    labels: NDArray[np.int32]
    starts: NDArray[np.int64]
    first: NDArray[np.int32]
    following: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.labels)

    def polygons(self, part: slice, transform: Affine | None = None) -> NDArray[np.object_]:
        """One polygon for each of ``labels[part]``, a slice of step 1, as `rings` draws them."""
        points, *offsets = self.rings(part, transform)
        polygons: NDArray[np.object_] = shapely.from_ragged_array(
            shapely.GeometryType.POLYGON, points, tuple(offsets)
        )
        return polygons

    def rings(
        self, part: slice, transform: Affine | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
        """The polygons of ``labels[part]``, a slice of step 1, in map units and in shapely's ragged format.

        Points float64 (v, 2) of all rings, each closed by its first point; where each ring begins among them,
        and last ends, int64 (rings + 1,); where each polygon begins among the rings, int64 (polygons + 1,).
        ``transform`` takes (col, row) to (x, y); without it polygons are in pixels, with y growing downwards.
        Exteriors run counter-clockwise in the x-y plane and holes clockwise, also where the transform
        mirrors. Raises ValueError where the transform is singular.
        """
        transform = transform or Affine.identity()
        if transform.determinant == 0 or not np.isfinite(transform.determinant):
            raise ValueError(f"the transform {tuple(transform)[:6]} has no inverse")
        begin, end, _ = part.indices(len(self))
        starts = self.starts[begin : max(end, begin) + 1]
        first = self.first[starts[0] : starts[-1]]
        offsets = _ring_offsets(self.arcs.offsets, first, self.following)
        # The raster is seen with y upwards in a map of negative determinant: there left stays left.
        points = _ring_points(
            self.arcs.coordinates,
            self.arcs.offsets,
            first,
            self.following,
            offsets,
            np.array(tuple(transform)[:6], np.float64),
            transform.determinant > 0,
        )
        return points, offsets, starts - starts[0]


def outlines(arcs: Arcs) -> Outlines:
    """The rings of every label above 0. Raises ValueError where a label is not one 4-connected region."""
    rings = arcs.rings()
    labels, areas = arcs.sides[rings.first], arcs.ring_areas(rings)
    # Stable, so holes keep the order of their first half-edges.
    order = np.lexsort((areas < 0, labels))
    order = order[np.searchsorted(labels[order], 1) :]
    labels, is_exterior = labels[order], areas[order] > 0
    starts = np.flatnonzero(np.diff(labels, prepend=0))
    if is_exterior.sum() != len(starts) or not is_exterior[starts].all():
        split = labels[starts][np.add.reduceat(is_exterior, starts, dtype=np.int64) != 1]
        raise ValueError(f"label {split[0]} is not one 4-connected region")
    return Outlines(
        arcs=arcs,
        labels=labels[starts],
        starts=np.append(starts, len(order)),
        first=rings.first[order],
        following=rings.following,
    )


def assemble(arcs: Arcs, transform: Affine | None = None) -> tuple[NDArray[np.int32], NDArray[np.object_]]:
    """One polygon for every label above 0: labels int32 (n,), ascending, and polygons (n,).

    The polygons are those of `Outlines` and form one valid coverage: a node is a vertex of every ring that
    passes it. Raises ValueError where the transform is singular or a label is not one 4-connected region.
    """
    drawn = outlines(arcs)
    return drawn.labels, drawn.polygons(slice(None), transform)


@njit(nogil=True, cache=True)
def _ring_offsets(
    offsets: NDArray[np.int64], first: NDArray[np.int32], following: NDArray[np.int32]
) -> NDArray[np.int64]:
    """Where each ring's points start and end."""
    ring_offsets = np.zeros(len(first) + 1, np.int64)
    for ring in range(len(first)):
        size, half_edge = 1, first[ring]
        while True:
            size += offsets[(half_edge >> 1) + 1] - offsets[half_edge >> 1] - 1
            half_edge = following[half_edge]
            if half_edge == first[ring]:
                break
        ring_offsets[ring + 1] = ring_offsets[ring] + size
    return ring_offsets


@njit(nogil=True, cache=True)
def _ring_points(
    coordinates: NDArray[np.int32],
    offsets: NDArray[np.int64],
    first: NDArray[np.int32],
    following: NDArray[np.int32],
    ring_offsets: NDArray[np.int64],
    transform: NDArray[np.float64],
    mirrored: bool,
) -> NDArray[np.float64]:
    """Map coordinates of all rings, each closed by its first point."""
    a, b, c, d, e, f = transform
    points = np.empty((ring_offsets[-1], 2), np.float64)
    for ring in range(len(first)):
        step = -1 if mirrored else 1
        place = ring_offsets[ring + 1] - 1 if mirrored else ring_offsets[ring]
        half_edge = first[ring]
        while True:
            begin, end = offsets[half_edge >> 1], offsets[(half_edge >> 1) + 1] - 1
            for k in range(end - begin):
                vertex = end - k if half_edge & 1 else begin + k
                col, row = coordinates[vertex, 0], coordinates[vertex, 1]
                points[place, 0] = a * col + b * row + c
                points[place, 1] = d * col + e * row + f
                place += step
            half_edge = following[half_edge]
            if half_edge == first[ring]:
                break
        closing = ring_offsets[ring] if mirrored else ring_offsets[ring + 1] - 1
        opening = ring_offsets[ring + 1] - 1 if mirrored else ring_offsets[ring]
        points[closing] = points[opening]
    return points
