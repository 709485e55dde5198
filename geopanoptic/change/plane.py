"""One plane in metres for two maps in any CRS."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from geopanoptic.change.parcelmap import ParcelMap
from geopanoptic.errors import UsageError
from geopanoptic.evaluation.maps.vector_source import is_projected_in_metres
from geopanoptic.products.measures import measure
from geopanoptic.reprojection import reprojected

_TRUE_SCALE = 0.02
"""A projection whose areas are off by more is not measured in: Web Mercator at 52 N is off by 160 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """Both maps in ``crs``, in metres on the ground: ``earlier`` (n,) and ``later`` (m,) valid polygons, beside them
    their land cover, where they have any.
    ``home`` is the earlier map's CRS, in which results are written."""

    crs: pyproj.CRS
    home: pyproj.CRS
    earlier: NDArray[np.object_]
    later: NDArray[np.object_]
    earlier_landcover: NDArray[np.object_]
    later_landcover: NDArray[np.object_]
    notes: tuple[str, ...]

    def at_home(self, polygons: NDArray[np.object_]) -> NDArray[np.object_]:
        """Polygons of the plane in the earlier map's CRS."""
        return valid_areas(reprojected(polygons, self.crs, self.home))


def common_plane(earlier: ParcelMap, later: ParcelMap) -> tuple[ParcelMap, ParcelMap, Plane]:
    """The earlier map's own CRS where it is true to scale, else an equal-area plane around that map.

    Before it both maps without the parcels that it does not reach, or the earlier map's CRS, with a note.
    Raises UsageError where the maps share no ground at all: their bounding boxes are apart.
    """
    crs = _plane_crs(earlier)
    notes = []
    if crs != earlier.crs:
        notes.append(
            f"Both maps are compared in an equal-area plane: {_name(earlier.crs)} is not true to scale."
        )
    if later.crs != earlier.crs:
        notes.append(f"{later.name} is reprojected from {_name(later.crs)} to {_name(earlier.crs)}.")
    earlier, later = (_reached(each, crs, earlier.crs) for each in (earlier, later))
    plane = Plane(
        crs=crs,
        home=earlier.crs,
        earlier=valid_areas(reprojected(earlier.polygons, earlier.crs, crs)),
        later=valid_areas(reprojected(later.polygons, later.crs, crs)),
        earlier_landcover=valid_areas(reprojected(earlier.landcover, earlier.crs, crs)),
        later_landcover=valid_areas(reprojected(later.landcover, later.crs, crs)),
        notes=tuple(notes),
    )
    if len(earlier) and len(later):
        boxes = [shapely.box(*shapely.total_bounds(each)) for each in (plane.earlier, plane.later)]
        if not boxes[0].intersects(boxes[1]):
            away_km = boxes[0].distance(boxes[1]) / 1000
            raise UsageError(
                f"{earlier.name} and {later.name} do not overlap: they lie {away_km:,.1f} km apart.",
                remedy="Check that both maps show the same place, and that each has its right CRS.",
            )
    return earlier, later, plane


def _reached(parcels: ParcelMap, plane: pyproj.CRS, home: pyproj.CRS) -> ParcelMap:
    beyond = np.zeros(len(parcels), bool)
    for crs in {plane, home}:
        beyond |= shapely.is_empty(reprojected(parcels.polygons, parcels.crs, crs))
    if not beyond.any():
        return parcels
    note = f"{parcels.name}: {int(beyond.sum())} parcels that {_name(home)} has no place for are left out."
    return replace(
        parcels,
        polygons=parcels.polygons[~beyond],
        ids=parcels.ids[~beyond],
        class_names=parcels.class_names[~beyond],
        table=parcels.table[~beyond].reset_index(drop=True),
        notes=(*parcels.notes, note),
    )


def _plane_crs(parcels: ParcelMap) -> pyproj.CRS:
    crs = parcels.crs
    if not len(parcels) or crs.geodetic_crs is None:
        return crs
    bounds = shapely.total_bounds(parcels.polygons)
    if is_projected_in_metres(crs):
        outline = np.array([shapely.box(*bounds)], dtype=object)
        if abs(measure(outline, crs).area_m2[0] / shapely.area(outline)[0] - 1) < _TRUE_SCALE:
            return crs
    to_degrees = pyproj.Transformer.from_crs(crs, 4326, always_xy=True)
    lon, lat = to_degrees.transform((bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2)
    return pyproj.CRS.from_dict({"proj": "laea", "lon_0": lon, "lat_0": lat, "datum": "WGS84"})


def valid_areas(polygons: NDArray[np.object_]) -> NDArray[np.object_]:
    """Polygons made valid where they are not, without the lines and points this may leave."""
    broken = ~shapely.is_valid(polygons)
    if broken.any():
        polygons = polygons.copy()
        polygons[broken] = shapely.make_valid(polygons[broken], method="structure", keep_collapsed=False)
    return polygons


def _name(crs: pyproj.CRS) -> str:
    return ":".join(crs.to_authority() or (crs.name,))
