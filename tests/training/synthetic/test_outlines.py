"""Real parcel geometry under generated scenes."""

from __future__ import annotations

import geopandas
import numpy as np
import pytest
import shapely

from geopanoptic.errors import UsageError
from geopanoptic.training.synthetic import synthesize
from geopanoptic.training.synthetic.outlines import RealParcels


def squares(side: float, n: int, x0: float = 0, y0: float = 0) -> list[shapely.Polygon]:
    return [
        shapely.box(x0 + side * i, y0 + side * j, x0 + side * (i + 0.9), y0 + side * (j + 0.9))
        for i in range(n)
        for j in range(n)
    ]


@pytest.mark.parametrize(("name", "crs"), [("parcels.gpkg", "EPSG:28992"), ("parcels.parquet", "EPSG:4326")])
def test_areas_survive_turning_and_projecting(tmp_path, name, crs):
    frame = geopandas.GeoDataFrame(geometry=squares(100, 12, 150_000, 450_000), crs="EPSG:28992").to_crs(crs)
    frame.to_parquet(tmp_path / name) if name.endswith("parquet") else frame.to_file(tmp_path / name)
    drawn = RealParcels.read(tmp_path / name).draw((60, 60), np.random.default_rng(3), pixel_m=5)
    assert drawn
    np.testing.assert_allclose(shapely.area(drawn) * 25, 8100, rtol=2e-3)
    # The parcel in the middle is in the middle.
    assert shapely.STRtree(drawn).query(shapely.Point(30, 30), "intersects").size == 1


def test_a_scene_has_the_parcels_of_its_file(tmp_path):
    path = tmp_path / "parcels.gpkg"
    geopandas.GeoDataFrame(geometry=squares(100, 40), crs="EPSG:32632").to_file(path)
    scene = synthesize((60, 60), outlines=path, seed=1)
    inner = scene.parcels()
    frame = shapely.box(*inner.total_bounds).buffer(-11)
    whole = inner[inner.within(frame)]
    assert len(whole) > 9
    np.testing.assert_allclose(whole["area_m2"], 8100, rtol=0.06)


def test_parcel_numbers_of_pastis(tmp_path):
    numbers = np.zeros((30, 30), np.int64)
    numbers[2:12, 2:12], numbers[12:20, 2:12] = 7, 9
    np.save(tmp_path / "ParcelIDs_1.npy", numbers)
    parcels = RealParcels.read(tmp_path / "ParcelIDs_1.npy")
    assert sorted(shapely.area(parcels.outlines)) == [8000, 10_000]


def test_a_file_without_parcels_is_refused(tmp_path):
    geopandas.GeoDataFrame(geometry=[shapely.Point(1, 2)], crs="EPSG:32632").to_file(tmp_path / "points.gpkg")
    with pytest.raises(UsageError, match="has no polygons"):
        RealParcels.read(tmp_path / "points.gpkg")
    np.save(tmp_path / "cube.npy", np.zeros((2, 2, 2), np.int32))
    with pytest.raises(UsageError, match="3 dimensions"):
        RealParcels.read(tmp_path / "cube.npy")


@pytest.mark.realdata
def test_official_parcels(shared_data):
    parcels = RealParcels.read(shared_data / "ndvi-brp-netherlands" / "fields_cropped.zip")
    assert len(parcels.outlines) > 4000
    scene = synthesize(
        (100, 100), outlines=shared_data / "ndvi-brp-netherlands" / "fields_cropped.zip", seed=2
    )
    assert scene.instances.max() > 20
