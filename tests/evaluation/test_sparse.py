"""Drawn fields against parcels: pixel counts as an independent measure, and the real drawn fields."""

from __future__ import annotations

import json
import math

import geopandas
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely import Polygon, box
from shapely.geometry import shape

from geopanoptic.errors import UsageError
from geopanoptic.evaluation import sparse
from geopanoptic.evaluation.sparse import compare, read_drawn_fields

UTM = "EPSG:32632"
SIDE = 12

corners = st.tuples(*[st.integers(0, SIDE - 1)] * 2)
rectangles = st.builds(
    lambda at, size: (at[0], at[1], at[0] + size[0], at[1] + size[1]),
    corners,
    st.tuples(*[st.integers(1, 6)] * 2),
)


def table(boxes, crs=UTM) -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame(geometry=[box(*each) for each in boxes], crs=crs)


def covered(rectangle) -> np.ndarray:
    x0, y0, x1, y1 = rectangle
    pixels = np.zeros((2 * SIDE, 2 * SIDE), bool)
    pixels[y0:y1, x0:x1] = True
    return pixels


@given(parcels=st.lists(rectangles, max_size=6), fields=st.lists(rectangles, min_size=1, max_size=4))
def test_equals_counting_pixels(parcels, fields):
    agreement = compare(table(parcels), table(fields))
    for index, field in enumerate(fields):
        iou = [
            (covered(field) & covered(each)).sum() / (covered(field) | covered(each)).sum()
            for each in parcels
        ]
        best = max(iou, default=0.0)
        assert agreement.best_iou[index] == pytest.approx(best)
        chosen = agreement.best_parcel[index]
        assert (chosen == -1) == (best == 0)
        if best:
            assert iou[chosen] == pytest.approx(best)


def test_worked_example():
    parcels = table([(0, 0, 10, 10), (10, 0, 30, 10), (50, 50, 60, 60)])
    fields = table([(0, 0, 10, 8), (0, 0, 20, 10), (80, 0, 90, 10)])
    agreement = compare(parcels, fields)
    np.testing.assert_allclose(agreement.best_iou, [0.8, 0.5, 0.0])
    # A parcel that only touches a field does not meet it, and of equals the first counts.
    assert agreement.best_parcel.tolist() == [0, 0, -1]
    assert agreement.mean_best_iou == pytest.approx(1.3 / 3)
    # 0.5 is not above 0.5.
    assert agreement.recall() == pytest.approx(1 / 3)
    assert agreement.recall(0.49) == pytest.approx(2 / 3)


def test_a_neighbour_that_touches_is_no_parcel_of_the_field():
    assert compare(table([(10, 0, 20, 10)]), table([(0, 0, 10, 10)])).best_parcel.tolist() == [-1]


def test_nothing_drawn_says_nothing():
    agreement = compare(table([(0, 0, 1, 1)]), table([]))
    assert math.isnan(agreement.mean_best_iou)
    assert math.isnan(agreement.recall())


def test_drawn_fields_may_lie_in_another_crs():
    parcels = table([(650_000, 5_780_000, 650_300, 5_780_200)])
    agreement = compare(parcels, parcels.to_crs("EPSG:4326"))
    assert agreement.best_iou[0] > 0.999


def test_a_missing_crs_is_refused_unless_both_miss_it():
    here, nowhere = table([(0, 0, 1, 1)]), table([(0, 0, 1, 1)], crs=None)
    with pytest.raises(UsageError, match="coordinate reference system"):
        compare(here, nowhere)
    assert compare(nowhere, nowhere).best_iou.tolist() == [1.0]


def test_a_drawing_that_crosses_itself_is_measured():
    bow_tie = Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    drawn = geopandas.GeoDataFrame(geometry=[bow_tie], crs=UTM)
    assert compare(table([(0, 0, 2, 2)]), drawn).best_iou[0] == pytest.approx(0.5)


def test_a_field_in_two_files_counts_once(tmp_path):
    few, more = [(0, 0, 5, 5)], [(9, 0, 12, 5), (0, 0, 5, 5)]
    paths = [tmp_path / "few.gpkg", tmp_path / "more.gpkg"]
    for path, boxes in zip(paths, (few, more), strict=True):
        table(boxes).to_file(path)
    fields = read_drawn_fields(paths)
    assert [each.bounds for each in fields.geometry] == [(0, 0, 5, 5), (9, 0, 12, 5)]
    with pytest.raises(UsageError, match="No file"):
        read_drawn_fields([])


def test_command_prints_figures(tmp_path, monkeypatch, capsys):
    parcels, fields = tmp_path / "map.gpkg", tmp_path / "fields.gpkg"
    table([(0, 0, 10, 10)]).to_file(parcels, layer="parcels")
    table([(0, 0, 10, 8), (20, 0, 30, 10)]).to_file(fields)
    command = ["sparse", str(parcels), str(fields)]
    monkeypatch.setattr("sys.argv", [*command, "--json"])
    assert sparse.main() == 0
    assert json.loads(capsys.readouterr().out) == {
        "fields": 2,
        "mean_best_iou": 0.4,
        "recall_at_0.5": 0.5,
        "best_iou": [0.8, 0.0],
    }
    monkeypatch.setattr("sys.argv", command)
    assert sparse.main() == 0
    assert "recall at 0.5   0.500" in capsys.readouterr().out


def test_command_refuses_in_words(tmp_path, monkeypatch, capsys):
    parcels, fields = tmp_path / "map.geojson", tmp_path / "fields.gpkg"
    table([(0, 0, 1, 1)], crs="EPSG:4326").to_file(parcels)
    with pytest.warns(UserWarning, match="crs"):
        table([(0, 0, 1, 1)], crs=None).to_file(fields)
    monkeypatch.setattr("sys.argv", ["sparse", str(parcels), str(fields)])
    assert sparse.main() == UsageError.exit_code
    assert "coordinate reference system" in capsys.readouterr().err


@pytest.mark.realdata
def test_boerde_fields_redrawn_on_pixels(shared_data):
    """The drawn fields, cut along the pixel edges of the 10 m image, are found again almost exactly."""
    rasterio = pytest.importorskip("rasterio")
    from rasterio.features import rasterize, shapes

    series = shared_data / "s2-series-boerde"
    paths = sorted((series / "fields").glob("*.shp"))
    fields = read_drawn_fields(paths)
    # The ten fields of one file are all among the twenty of the other.
    assert [len(geopandas.read_file(path)) for path in paths] == [10, 20]
    assert len(fields) == 20
    with rasterio.open(series / "images" / "s2_l3a_20210615_nir.tif") as image:
        labels = rasterize(
            [(geometry, number) for number, geometry in enumerate(fields.geometry, 1)],
            out_shape=image.shape,
            transform=image.transform,
            dtype="int32",
        )
        traced = [shape(each) for each, value in shapes(labels, transform=image.transform) if value]
        parcels = geopandas.GeoDataFrame(geometry=traced, crs=image.crs)
    agreement = compare(parcels, fields)
    assert agreement.recall(0.8) == 1.0
    assert agreement.mean_best_iou > 0.93
