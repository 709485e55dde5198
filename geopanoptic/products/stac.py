"""A STAC item: what a catalogue says of a map, with its files as assets.

STAC 1.1.0 with the extensions projection 2.0.0, processing 1.2.0 and classification 2.0.0. The same map has the same
item: nothing says when or where it was made.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyproj
import shapely
from pyproj.exceptions import ProjError

from geopanoptic.grid import Grid
from geopanoptic.products.classes import MapClass
from geopanoptic.products.report import redact
from geopanoptic.products.writing import writing

SUFFIX = ".stac.json"

GEOPACKAGE = "application/geopackage+sqlite3"
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
JSON = "application/json"

_EXTENSIONS = (
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
    "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
)
_EDGE_POINTS = 21
"""Of each side of the footprint: a straight line on a map is none in degrees."""
_STRAIGHT_DEG = 1e-5
"""About a metre: the points that a side can do without."""
_DECIMALS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A file of the map; ``more`` are further fields, such as ``classification:classes``."""

    path: Path
    media_type: str
    title: str
    role: str = "data"
    more: Mapping[str, Any] = field(default_factory=dict)


def write_stac_item(
    written_to: Path,
    *,
    item: Path,
    grid: Grid,
    dates: Sequence[date],
    assets: Mapping[str, Asset],
    properties: Mapping[str, Any],
) -> None:
    """Writes the item that is to lie at ``item`` to ``written_to``; links between files are relative to ``item``.

    ``grid`` is that of the map's pixels, ``dates`` (one at least) those of the scene; ``properties`` are added to what
    follows from these. A CRS without a place on Earth gives an item without geometry.
    """
    footprint = footprint_of(grid)
    content = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": list(_EXTENSIONS),
        "id": item.name.removesuffix(SUFFIX),
        "geometry": None if footprint is None else _rounded(shapely.geometry.mapping(footprint)),
        **({} if footprint is None else {"bbox": _bbox(footprint)}),
        "properties": {**_times(dates), **_projection(grid), **properties},
        "links": [],
        "assets": {
            name: {
                "href": quote(os.fsencode(Path(os.path.relpath(each.path, item.parent)).as_posix())),
                "type": each.media_type,
                "title": each.title,
                "roles": [each.role],
                **each.more,
            }
            for name, each in assets.items()
        },
    }
    with writing(written_to):
        written_to.write_text(redact(json.dumps(content, indent=2, ensure_ascii=False)) + "\n", "utf-8")


def classes_of_raster(classes: Sequence[MapClass]) -> dict[str, Any]:
    """What an asset of class ids says of them, 0 for no data."""
    return {
        "data_type": "uint8",
        "nodata": 0,
        "classification:classes": [
            {
                "value": each.id,
                "name": re.sub(r"[^0-9A-Za-z_-]+", "-", each.name).strip("-") or f"class-{each.id}",
                "title": each.name,
                "description": f"{each.name} ({each.kind})",
                "color_hint": each.colour.removeprefix("#").upper(),
            }
            for each in classes
        ],
    }


def footprint_of(grid: Grid) -> shapely.Polygon | shapely.MultiPolygon | None:
    """The grid's outline in degrees (WGS 84), cut at the antimeridian as RFC 7946 asks for; None for a CRS without a
    place on Earth."""
    sides = np.linspace(0, 1, _EDGE_POINTS)[:-1]
    zero, one = np.zeros_like(sides), np.ones_like(sides)
    col = np.concatenate([sides, one, 1 - sides, zero]) * grid.width
    row = np.concatenate([zero, sides, one, 1 - sides]) * grid.height
    try:
        to_degrees = pyproj.Transformer.from_crs(grid.crs, 4326, always_xy=True)
        lon, lat = to_degrees.transform(*(grid.transform @ (col, row)))  # type: ignore[operator]
    except ProjError:
        return None
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        return None
    steps = (np.diff(lon, append=lon[0]) + 180) % 360 - 180
    if abs(steps.sum()) > 180:
        # The outline goes around a pole.
        pole = 90.0 if lat.mean() > 0 else -90.0
        return shapely.box(-180, min(lat.min(), pole), 180, max(lat.max(), pole))
    unrolled = lon[0] + np.concatenate([[0], np.cumsum(steps[:-1])])
    outline = shapely.orient_polygons(shapely.Polygon(np.column_stack([unrolled, lat])))
    worlds = range(int((unrolled.min() + 180) // 360), int((unrolled.max() + 180) // 360) + 1)
    parts = [
        shapely.affinity.translate(
            shapely.intersection(outline, shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90)),
            -360.0 * turn,
        )
        for turn in worlds
    ]
    parts = [shapely.simplify(each, _STRAIGHT_DEG) for each in parts if each.area > 0]
    return shapely.orient_polygons(parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts))


def _bbox(footprint: shapely.Polygon | shapely.MultiPolygon) -> list[float]:
    """West, south, east, north; west is greater than east across the antimeridian."""
    west, south, east, north = footprint.bounds
    if footprint.geom_type == "MultiPolygon":
        west = max(each.bounds[0] for each in footprint.geoms)
        east = min(each.bounds[2] for each in footprint.geoms)
    return [round(value, _DECIMALS) for value in (west, south, east, north)]


def _times(dates: Sequence[date]) -> dict[str, Any]:
    first, last = (f"{when.isoformat()}T00:00:00Z" for when in (min(dates), max(dates)))
    if first == last:
        return {"datetime": first}
    return {"datetime": None, "start_datetime": first, "end_datetime": last}


def _projection(grid: Grid) -> dict[str, Any]:
    authority = grid.crs.to_authority()
    return {
        "proj:code": ":".join(authority) if authority else None,
        **({} if authority else {"proj:wkt2": grid.crs_wkt}),
        "proj:shape": [grid.height, grid.width],
        "proj:transform": list(grid.transform)[:6],
    }


def _rounded(geometry: Any) -> Any:
    if isinstance(geometry, dict):
        return {key: each if key == "type" else _rounded(each) for key, each in geometry.items()}
    return (
        [_rounded(each) for each in geometry]
        if isinstance(geometry, list | tuple)
        else round(geometry, _DECIMALS)
    )
