"""A map's item for catalogues, against the schema and against GDAL's reprojection."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
import rasterio.warp
import shapely
from affine import Affine
from rasterio.crs import CRS
from small_maps import CLASSES

from geopanoptic.grid import Grid
from geopanoptic.products.stac import COG, GEOPACKAGE, Asset, classes_of_raster, footprint_of, write_stac_item


def grid(epsg: int, transform: Affine, height: int = 400, width: int = 600) -> Grid:
    return Grid(crs_wkt=CRS.from_epsg(epsg).to_wkt(), transform=transform, height=height, width=width)


UTM = grid(32632, Affine(10, 0, 600_000, 0, -10, 5_800_000))


def item_of(folder: Path, place: Grid = UTM, *days: date) -> dict:
    item = folder / "a map.stac.json"
    write_stac_item(
        folder / "staged",
        item=item,
        grid=place,
        dates=days or (date(2021, 6, 15),),
        assets={
            "parcels": Asset(path=folder / "a map.gpkg", media_type=GEOPACKAGE, title="Parcels"),
            "class": Asset(
                path=folder / "rasters" / "class.tif",
                media_type=COG,
                title="Class",
                more=classes_of_raster(CLASSES),
            ),
        },
        properties={"title": "A map"},
    )
    return json.loads((folder / "staged").read_text("utf-8"))


def test_links_are_relative_and_times_are_those_of_the_scene(tmp_path: Path) -> None:
    one = item_of(tmp_path)
    assert one["id"] == "a map"
    assert [each["href"] for each in one["assets"].values()] == ["a%20map.gpkg", "rasters/class.tif"]
    assert one["properties"]["datetime"] == "2021-06-15T00:00:00Z"
    assert one["properties"]["proj:code"] == "EPSG:32632"
    season = item_of(tmp_path, UTM, date(2021, 8, 1), date(2021, 4, 1))["properties"]
    assert season["datetime"] is None
    assert (season["start_datetime"], season["end_datetime"]) == (
        "2021-04-01T00:00:00Z",
        "2021-08-01T00:00:00Z",
    )


def test_the_item_is_valid_stac(tmp_path: Path) -> None:
    pystac = pytest.importorskip("pystac", reason="pystac, which brings STAC's schema, is not installed")
    pytest.importorskip("jsonschema", reason="jsonschema, which checks against it, is not installed")
    nowhere = Grid(
        crs_wkt='LOCAL_CS["site",UNIT["metre",1]]', transform=Affine(1, 0, 0, 0, -1, 0), height=9, width=9
    )
    far = grid(32601, Affine(10, 0, 298_000, 0, -10, 5_800_000), 1000, 2000)
    for place in (UTM, nowhere, far):
        # The extensions' schemas lie in the network.
        item = pystac.Item.from_dict(item_of(tmp_path, place) | {"stac_extensions": []})
        assert item.validate()


@pytest.mark.parametrize(
    "place",
    [
        UTM,
        grid(32733, Affine(8, 6, 300_000, 6, -8, 7_000_000)),
        grid(4326, Affine(1e-4, 0, 5, 0, -1e-4, 50)),
        grid(3035, Affine(1000, 0, 3_000_000, 0, -1000, 3_000_000)),
    ],
)
def test_the_footprint_is_where_gdal_has_it(place: Grid) -> None:
    found = footprint_of(place)
    corners = [place.transform @ corner for corner in ((0, 0), (600, 0), (600, 400), (0, 400))]
    outline = shapely.segmentize(shapely.Polygon(corners), max(shapely.Polygon(corners).bounds[2:]) / 1e4)
    expected = shapely.geometry.shape(
        rasterio.warp.transform_geom(
            CRS.from_wkt(place.crs_wkt), "EPSG:4326", shapely.geometry.mapping(outline)
        )
    )
    assert shapely.is_valid(found)
    assert found.exterior.is_ccw
    assert shapely.symmetric_difference(found, expected).area < 2e-3 * expected.area


def test_the_footprint_is_cut_at_the_antimeridian(tmp_path: Path) -> None:
    # Zone 1 begins at 180 degrees west; at 52 degrees north that is 294,000 m east.
    far = grid(32601, Affine(10, 0, 284_000, 0, -10, 5_800_000), 1000, 2000)
    found = footprint_of(far)
    assert isinstance(found, shapely.MultiPolygon)
    west, east = sorted(found.geoms, key=lambda part: part.bounds[0])
    assert west.bounds[0] == -180
    assert east.bounds[2] == 180
    inside = grid(32601, Affine(10, 0, 384_000, 0, -10, 5_800_000), 1000, 2000)
    assert found.area == pytest.approx(footprint_of(inside).area, rel=0.01)
    lon_west, south, lon_east, north = item_of(tmp_path, far)["bbox"]
    assert 179 < lon_west < 180
    assert -180 < lon_east < -179
    assert south < north


def test_the_footprint_of_a_pole_goes_around_it() -> None:
    arctic = grid(3995, Affine(1000, 0, -300_000, 0, -1000, 200_000))
    west, south, east, north = footprint_of(arctic).bounds
    assert (west, east, north) == (-180, 180, 90)
    assert 86 < south < 87
    antarctic = grid(3031, Affine(1000, 0, -300_000, 0, -1000, 200_000))
    assert footprint_of(antarctic).bounds[1] == -90
