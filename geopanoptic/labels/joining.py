"""Joining what was cut, so that no trace of the cut is left.

A cut through a slanted edge leaves a corner there, rounded to the last digit: enough to turn the edge away from the
centre of a pixel that it went through. Corners where pieces meet are therefore dropped again if they lie on the
straight line between the corners to either side, and edges run exactly as they ran before.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import KDTree

ROUNDING_PX = 1e-6
"""What cutting, other units and other coordinates may do to a coordinate, in pixels."""


def joined(pieces: Sequence[shapely.Geometry], rounding: float) -> shapely.Geometry:
    """The union of valid polygons or multipolygons that one shape was cut into, without the corners of the cuts.

    ``rounding`` is the distance, in their units, that coordinates may have been moved by.
    """
    if len(pieces) < 2:
        return pieces[0] if len(pieces) else shapely.MultiPolygon()
    whole = shapely.union_all(pieces)
    cuts = _shared_corners(pieces, rounding)
    if not len(cuts):
        return whole
    parts = [
        shapely.Polygon(
            _without_cuts(polygon.exterior, cuts, rounding),
            [_without_cuts(ring, cuts, rounding) for ring in polygon.interiors],
        )
        for polygon in shapely.get_parts(whole)
    ]
    healed = parts[0] if len(parts) == 1 else shapely.multipolygons(parts)
    return healed if healed.is_valid else whole


def _shared_corners(pieces: Sequence[shapely.Geometry], rounding: float) -> NDArray[np.float64]:
    """Corners (n, 2) that two pieces have in common."""
    xy, piece_of = shapely.get_coordinates(pieces, return_index=True)
    near = KDTree(xy).query_pairs(rounding, output_type="ndarray")
    across = near[piece_of[near[:, 0]] != piece_of[near[:, 1]]]
    return xy[np.unique(across)]


def _without_cuts(
    ring: shapely.LinearRing, cuts: NDArray[np.float64], rounding: float
) -> NDArray[np.float64]:
    """The corners (n, 2) of a ring, closed."""
    corners = shapely.get_coordinates(ring)[:-1]
    distance, _ = KDTree(cuts).query(corners, distance_upper_bound=rounding)
    fixed = np.flatnonzero(np.isinf(distance))
    if len(fixed) in (0, len(corners)):
        return shapely.get_coordinates(ring)
    # From a corner that stays round to it again, in spans from one that stays to the next.
    closed = np.roll(np.vstack([corners, corners]), -fixed[0], axis=0)[: len(corners) + 1]
    ends = np.append(fixed - fixed[0], len(corners)).tolist()
    spans = [closed[first : last + 1] for first, last in pairwise(ends)]
    straight = [span if len(span) == 2 else _straightened(span, rounding) for span in spans]
    return np.concatenate([*(span[:-1] for span in straight), closed[-1:]])


def _straightened(line_xy: NDArray[np.float64], rounding: float) -> NDArray[np.float64]:
    line = shapely.simplify(shapely.LineString(line_xy), rounding, preserve_topology=False)
    return shapely.get_coordinates(line)
