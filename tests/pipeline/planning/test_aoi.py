"""The area of interest: which pixels it wants, and what it refuses."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import geopandas
import numpy as np
import pandas as pd
import pyogrio
import pyproj
import pytest
import shapely
from affine import Affine
from rasterio.features import rasterize

from geopanoptic.errors import UsageError
from geopanoptic.grid import Grid, Window
from geopanoptic.pipeline.planning.aoi import identity_of_area, name_of_area, read_aoi

GRID = Grid(
    crs_wkt=pyproj.CRS.from_epsg(32632).to_wkt(),
    transform=Affine(5, 0, 500_000, 0, -5, 5_800_000),
    height=1500,
    width=1300,
)
ROUND = shapely.Point(503_000, 5_796_000).buffer(2_000)


@pytest.fixture
def file(tmp_path):
    def write(geometry, crs="EPSG:32632", name="aoi.gpkg"):
        path = tmp_path / name
        geopandas.GeoDataFrame(geometry=[geometry], crs=crs).to_file(path)
        return path

    return write


def test_wanted_pixels_are_those_whose_centre_lies_inside(file):
    aoi = read_aoi(file(ROUND), GRID)
    expected = rasterize([ROUND], out_shape=GRID.shape, transform=GRID.transform) > 0
    np.testing.assert_array_equal(aoi(GRID.window), expected)


def test_windows_agree_with_the_whole(file):
    aoi = read_aoi(file(ROUND), GRID)
    whole = aoi(GRID.window)
    for window in (Window(0, 0, 97, 97), Window(900, 700, 1100, 1290), Window(1023, 1000, 1025, 1030)):
        np.testing.assert_array_equal(aoi(window), whole[window.slices()])


def test_other_crs_is_reprojected(file):
    degrees = geopandas.GeoSeries([ROUND], crs=32632).to_crs(4326).iloc[0]
    here, there = read_aoi(file(ROUND), GRID), read_aoi(file(degrees, "EPSG:4326", "deg.gpkg"), GRID)
    assert np.mean(here(GRID.window) != there(GRID.window)) < 1e-4


def test_any_file_name(file):
    path = file(ROUND, name="aoi.geojson")
    odd = path.rename(path.with_name("a!b;c.geojson"))
    assert read_aoi(odd, GRID)(GRID.window).any()
    assert read_aoi(str(odd), GRID)(GRID.window).any()


WORLD = geopandas.GeoSeries(
    [
        shapely.box(-180, -90, 180, 90),
        shapely.box(-180, -60, 180, 75),
        shapely.box(-60, 10, 80, 70),
        shapely.box(-60, -90, 80, 90),
    ],
    crs=4326,
)


@pytest.mark.parametrize("number", range(4))
@pytest.mark.filterwarnings("error")
def test_areas_of_half_the_world_hold_the_scene(number):
    assert read_aoi(WORLD.iloc[[number]], GRID)(GRID.window).all()


@pytest.mark.filterwarnings("error")
def test_what_lies_far_away_does_not_matter():
    degrees = geopandas.GeoSeries([ROUND], crs=32632).to_crs(4326)
    # The second and the third have no place in a zone of UTM.
    among = geopandas.GeoSeries(
        [shapely.box(0, 0, 10, 10), shapely.box(98, -5, 100, 5), shapely.box(-180, -90, -100, -80), *degrees],
        crs=4326,
    )
    alone = read_aoi(degrees, GRID)(GRID.window)
    assert 0 < alone.mean() < 1
    np.testing.assert_array_equal(read_aoi(among, GRID)(GRID.window), alone)
    with pytest.raises(UsageError, match="does not touch"):
        read_aoi(among.iloc[:3], GRID)


def test_long_edges_follow_the_ground():
    # A parallel is no straight line in UTM: over six degrees it bends by kilometres.
    wide = Grid(
        crs_wkt=GRID.crs_wkt, transform=Affine(300, 0, 300_000, 0, -300, 5_900_000), height=700, width=1300
    )
    aoi = read_aoi(geopandas.GeoSeries([shapely.box(5, 52, 13, 60)], crs=4326), wide)
    rows, cols = np.mgrid[: wide.height, : wide.width]
    east, north = wide.transform @ (cols + 0.5, rows + 0.5)
    to_degrees = pyproj.Transformer.from_crs(32632, 4326, always_xy=True)
    lon, lat = to_degrees.transform(east, north)
    expected = (lon > 5) & (lon < 13) & (lat > 52)
    assert 0.1 < expected.mean() < 0.9
    assert np.mean(aoi(wide.window) != expected) < 1e-3


def test_a_scene_across_the_antimeridian_has_areas_on_both_sides():
    grid = Grid(
        crs_wkt=pyproj.CRS.from_epsg(32760).to_wkt(),
        transform=Affine(1000, 0, 600_000, 0, -1000, 8_100_000),
        height=50,
        width=300,
    )
    both = geopandas.GeoSeries([shapely.box(177, -20, 180, -16), shapely.box(-180, -20, -177, -16)], crs=4326)
    first, second = (read_aoi(both.iloc[[number]], grid)(grid.window) for number in (0, 1))
    assert first.any()
    assert second.any()
    assert not (first & second).any()
    np.testing.assert_array_equal(read_aoi(both, grid)(grid.window), first | second)


@pytest.mark.parametrize(
    ("epsg", "left_m", "area"),
    [
        (32701, 181_000, shapely.box(179, -18, 181, -16)),
        (32701, 240_000, shapely.box(180, -18, 182, -16)),
        (32614, 490_000, shapely.box(260, -18, 262, -16)),
        (32760, 760_000, shapely.box(-181, -18, -179, -16)),
    ],
)
def test_longitudes_may_be_counted_from_anywhere(epsg, left_m, area):
    top_m = -1_880_000 if epsg == 32614 else 8_120_000
    grid = Grid(
        crs_wkt=pyproj.CRS.from_epsg(epsg).to_wkt(),
        transform=Affine(100, 0, left_m, 0, -100, top_m),
        height=30,
        width=30,
    )
    assert read_aoi(geopandas.GeoSeries([area], crs=4326), grid)(grid.window).all()


def test_many_polygons_are_decided_like_few():
    rng = np.random.default_rng(3)
    centres = np.stack([rng.uniform(499_000, 507_000, 3000), rng.uniform(5_792_000, 5_801_000, 3000)], axis=1)
    many = geopandas.GeoSeries([shapely.Point(each).buffer(60) for each in centres], crs=32632)
    expected = rasterize(many, out_shape=GRID.shape, transform=GRID.transform) > 0
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(read_aoi(many, GRID)))(GRID.window), expected)


def test_polygons_in_memory_are_told_apart_by_their_content(file):
    frame = geopandas.GeoDataFrame(geometry=[ROUND], crs="EPSG:32632")
    expected = read_aoi(file(ROUND), GRID)(GRID.window)
    for area in (frame, frame.geometry, str(file(ROUND, name="named.gpkg"))):
        np.testing.assert_array_equal(read_aoi(area, GRID)(GRID.window), expected)
    known = [
        identity_of_area(area) for area in (frame, frame.geometry, frame.translate(1), frame.to_crs(4326))
    ]
    assert known[0] == known[1]
    assert len({each["content"] for each in known}) == 3
    assert name_of_area(file(ROUND)) == "aoi.gpkg"
    with pytest.raises(UsageError, match="Polygons in memory has no CRS"):
        read_aoi(frame.set_crs(None, allow_override=True), GRID)


@pytest.mark.parametrize(
    ("geometry", "crs", "words"),
    [
        (shapely.Point(503_000, 5_796_000), "EPSG:32632", "no polygons"),
        (ROUND, None, "no CRS"),
        (shapely.Point(0, 0).buffer(10), "EPSG:32632", "does not touch the scene: it lies at 4.5"),
    ],
)
@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_useless_areas_are_refused(file, geometry, crs, words):
    with pytest.raises(UsageError, match=words):
        read_aoi(file(geometry, crs), GRID)


@pytest.mark.filterwarnings("ignore:.*geometry")
def test_tables_without_a_geometry_are_refused(tmp_path):
    table = tmp_path / "aoi.gpkg"
    pyogrio.write_dataframe(pd.DataFrame({"name": ["field"]}), table)
    frame = geopandas.GeoDataFrame({"name": ["field"]})
    for refused in (
        lambda: read_aoi(table, GRID),
        lambda: read_aoi(frame, GRID),
        lambda: identity_of_area(frame),
    ):
        with pytest.raises(UsageError, match=r"has no polygons|is a table without geometry"):
            refused()


def test_a_file_that_is_not_there_is_a_wrong_option(tmp_path):
    with pytest.raises(UsageError, match=r"The area of interest .*nowhere.gpkg cannot be read: No such file"):
        identity_of_area(tmp_path / "nowhere.gpkg")


def test_unreadable_files_are_refused(tmp_path):
    (tmp_path / "aoi.gpkg").write_text("no database")
    with pytest.raises(UsageError, match="cannot be read") as told:
        read_aoi(tmp_path / "aoi.gpkg", GRID)
    assert "driver" not in told.value.message
    assert "GeoJSON" in told.value.remedy
    with pytest.raises(UsageError, match="cannot be read"):
        read_aoi(tmp_path / "absent.gpkg", GRID)


def test_threads_that_decide_pixels_warn_of_nothing(file):
    """rasterio swaps the filters of the whole process while it burns, and any thread may be about to warn."""
    wanted = read_aoi(file(ROUND), GRID)
    window = Window(0, 0, 64, 64)
    with ThreadPoolExecutor(4) as threads:
        drawn = list(threads.map(lambda _: wanted(window), range(60)))
    assert all((each == drawn[0]).all() for each in drawn)
