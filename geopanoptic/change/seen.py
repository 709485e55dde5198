"""Which ground a map says anything of."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray


def is_seen(
    polygons: NDArray[np.object_], parcels: NDArray[np.object_], landcover: NDArray[np.object_]
) -> NDArray[np.bool_]:
    """Whether a map of ``parcels`` and ``landcover``, valid polygons, shows the ground of each polygon (n,).

    A map with land cover shows what either covers, and clouds and what lies outside its area of interest are
    neither: a point inside each polygon is looked up. Without land cover a map shows its bounding box, as far
    as anyone can tell, and a polygon that touches it is seen. An empty map is taken to show everything.
    """
    if not len(parcels) and not len(landcover):
        return np.ones(len(polygons), bool)
    if not len(landcover):
        touches: NDArray[np.bool_] = shapely.intersects(shapely.box(*shapely.total_bounds(parcels)), polygons)
        return touches
    shown = np.concatenate([parcels, landcover])
    points = shapely.point_on_surface(polygons)
    number, of = shapely.STRtree(shown).query(points)
    # One land cover polygon may have a hundred thousand corners and hold thousands of the points.
    shapely.prepare(shown)
    hit = shapely.intersects(shown[of], points[number])
    return np.isin(np.arange(len(polygons)), number[hit])
