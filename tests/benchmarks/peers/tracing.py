"""From a label raster to polygons in a GeoPackage: ``python tracing.py coverage|rasterio LABELS.tif OUT.gpkg``."""

from __future__ import annotations

import json
import sys

import geopandas
import rasterio
from dense import polygons_of

from geopanoptic.panoptic.coverage import trace


def main() -> None:
    method, path, out = sys.argv[1:4]
    with rasterio.open(path) as file:
        labels, transform, crs = file.read(1), file.transform, file.crs
    polygons = trace(labels, transform)[1] if method == "coverage" else polygons_of(labels, transform)
    geopandas.GeoDataFrame(geometry=list(polygons), crs=crs).to_file(out, driver="GPKG")
    print(json.dumps({"polygons": len(polygons)}))


if __name__ == "__main__":
    main()
