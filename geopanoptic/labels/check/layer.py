"""The issues as a GeoPackage layer with a style, to open beside the labels in QGIS.

Points, lines and polygons are in one layer: a point becomes a small disc and a line a narrow band, so that every
defect has an area to click on.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import geopandas
import numpy as np
import pyproj
import shapely

from geopanoptic.labels.check.issue import KINDS
from geopanoptic.labels.check.report import Report
from geopanoptic.labels.check.subject import polygons_of
from geopanoptic.labels.taxonomy import LabelClass
from geopanoptic.products.geopackage import (
    LayerStyle,
    add_styles,
    append_layer,
    fixed_clock,
    verify_geopackage,
)
from geopanoptic.products.layers import Layer
from geopanoptic.products.style import categorised_qml, sld

ISSUES = Layer(
    name="issues",
    description="Defects of labels: what, how bad, which objects.",
    columns={
        "kind": "str",
        "severity": "str",
        "objects": "str",
        "message": "str",
        "amount": "float64",
        "image": "str",
    },
    geometry="MultiPolygon",
)

_NOWHERE = pyproj.CRS.from_wkt(
    'ENGCRS["Undefined Cartesian SRS",EDATUM["Unknown"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],'
    'LENGTHUNIT["metre",1]]'
)
"""What a GeoPackage says of layers without a coordinate reference system, such as pixels."""

_FILL_ALPHA = 140
_SIDES = 4


def write_issues(report: Report, path: Path, *, timestamp: datetime | None = None) -> None:
    """Write the issues that have a place as GeoPackage to a new file. Raises ``OutputError`` where it cannot be."""
    frame = report.to_frame()
    if frame.crs is None:
        frame = frame.set_crs(_NOWHERE)
    frame = frame.set_geometry(_with_area(frame, _radius(report)))
    found = [kind for kind in KINDS if (frame["kind"] == kind).any()]
    classes = [
        LabelClass(id=n, name=kind, kind="thing", colour=KINDS[kind].colour)
        for n, kind in enumerate(found, 1)
    ]
    when = timestamp or datetime.now(UTC)
    style = LayerStyle(
        layer=ISSUES.name,
        qml=categorised_qml(classes, fill_alpha=_FILL_ALPHA, outline=True, attribute="kind"),
        sld=sld(ISSUES.name, classes, fill_opacity=_FILL_ALPHA / 255, outline=True, attribute="kind"),
    )
    with fixed_clock(when):
        append_layer(path, ISSUES, frame, {"source": report.source, "format": report.format})
        add_styles(path, [style], when)
    verify_geopackage(path.resolve(), issues=len(frame))


def _radius(report: Report) -> float:
    """Of the disc around a point: a fortieth of the typical object's size, in the report's coordinates."""
    areas = shapely.area(np.asarray(report.outlines, dtype=object))
    solid = areas[areas > 0]
    return float(np.sqrt(np.median(solid))) / 40 if len(solid) else 1.0


def _with_area(frame: geopandas.GeoDataFrame, radius: float) -> geopandas.GeoSeries:
    """Valid multipolygons in place of all geometries."""
    shapes = np.asarray(frame.geometry.array, dtype=object)
    flat = (shapely.get_dimensions(shapes) < 2) | (shapely.area(shapes) == 0)
    shapes[flat] = shapely.buffer(shapes[flat], radius, quad_segs=_SIDES)
    sound = ~shapely.is_valid(shapes)
    shapes[sound] = shapely.make_valid(shapes[sound])
    mixed = shapely.get_type_id(shapes) == shapely.GeometryType.GEOMETRYCOLLECTION
    shapes[mixed] = [polygons_of(each) for each in shapes[mixed]]
    single = shapely.get_type_id(shapes) == shapely.GeometryType.POLYGON
    shapes[single] = [shapely.multipolygons([each]) for each in shapes[single]]
    return geopandas.GeoSeries(shapes, crs=frame.crs)
