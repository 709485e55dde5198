"""``labels next``: likely wrong ones that are unlike each other, and nothing that is labelled already."""

import json

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from test_prelabel import country  # noqa: F401

from geopanoptic.cli.main import invoke
from geopanoptic.errors import UsageError
from geopanoptic.labels.choosing.choose import _covered, next_labels
from geopanoptic.labels.choosing.coreset import choose_diverse
from geopanoptic.labels.choosing.features import _shape, parcel_features


@given(
    features=arrays(
        np.float64, st.tuples(st.integers(1, 30), st.integers(1, 3)), elements=st.floats(-5, 5, width=16)
    ),
    count=st.integers(1, 40),
    data=st.data(),
)
def test_every_choice_has_the_greatest_gain_of_those_left(features, count, data):
    weight = data.draw(arrays(np.float64, len(features), elements=st.floats(0, 1, width=16)))
    known = data.draw(
        arrays(
            np.float64, (data.draw(st.integers(0, 3)), features.shape[1]), elements=st.floats(-5, 5, width=16)
        )
    )
    chosen = choose_diverse(features, weight, count, known_mf=known)
    assert len(set(chosen.index_k.tolist())) == len(chosen.index_k) == min(count, (weight > 0).sum())
    assert (weight[chosen.index_k] > 0).all()
    for k, row in enumerate(chosen.index_k.tolist()):
        near = [*known, *features[chosen.index_k[:k]]]
        gains = [
            weight[i] * (min(np.linalg.norm(features[i] - each) for each in near) if near else 1.0)
            for i in range(len(features))
            if i not in chosen.index_k[:k]
        ]
        distance = chosen.distance_k[k] if near else 1.0
        assert weight[row] * distance == pytest.approx(max(gains), abs=1e-9)


def test_choices_spread_over_groups_before_they_repeat():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(5) * 10.0, 40)
    features = groups[:, None] + rng.uniform(0, 1, (200, 2))
    chosen = choose_diverse(features, np.ones(200), 5)
    assert sorted(groups[chosen.index_k].tolist()) == [0, 10, 20, 30, 40]


@pytest.mark.parametrize("groups", [7, 20_000])
def test_what_is_nearest_to_much_that_is_labelled_is_known(groups):
    known = np.random.default_rng(0).normal(size=(groups, 4))[np.arange(20_000) % groups]
    chosen = choose_diverse(known + 0.001, np.ones(20_000), 3, known_mf=known)
    assert chosen.distance_k.max() <= 0.0021


def test_features_do_not_depend_on_place_and_know_shape():
    box = shapely.box(0, 0, 100, 100)
    long = shapely.box(0, 0, 1000, 10)
    far = shapely.box(5000, 5000, 5100, 5100)
    frame = geopandas.GeoDataFrame({"object_id": [1, 2, 3]}, geometry=[box, long, far], crs="EPSG:32633")
    features = parcel_features(frame, None)
    np.testing.assert_array_equal(features[0], features[2])
    assert np.abs(features[0] - features[1]).max() > 0.5


def test_parcels_are_listed_with_reasons_and_labelled_ones_left_out(country, tmp_path):  # noqa: F811
    found = next_labels(country / "map.gpkg", country / "scene.tif", tmp_path / "next.gpkg", count=10)
    listed = geopandas.read_file(tmp_path / "next.gpkg", layer="next")
    assert listed["rank"].tolist() == list(range(1, 11))
    assert found.labelled == 0
    everything = geopandas.read_file(country / "map.gpkg", layer="parcels")
    assert listed["score"].iloc[0] == everything["score"].min()
    assert listed["score"].mean() < everything["score"].mean()
    assert listed["reason"].str.startswith("score 0.").all()
    # Those ten are labelled now.
    listed[["geometry"]].to_file(tmp_path / "mine.gpkg")
    again = next_labels(
        country / "map.gpkg", country / "scene.tif", count=10, labelled=tmp_path / "mine.gpkg"
    )
    assert again.labelled == 10
    assert not set(again.listed["object_id"]) & set(listed["object_id"])
    assert np.isfinite(again.listed["distance"]).all()


def test_tiles_are_those_of_the_pictures(country, tmp_path, capsys):  # noqa: F811
    arguments = ["labels", "next", str(country / "map.gpkg")]
    told = [*arguments, str(country / "scene.tif"), "--of", "tiles", "--tile", "64", "--json"]
    assert invoke([*told, "--out", str(tmp_path / "tiles.gpkg")]) == 0
    listed = json.loads(capsys.readouterr().out)["listed"]
    assert len(listed) == 6
    parcels = geopandas.read_file(country / "map.gpkg", layer="parcels")
    expected = sum(each["expected_wrong"] for each in listed)
    assert expected == pytest.approx((1 - parcels["score"]).sum())
    assert listed[0]["expected_wrong"] == max(each["expected_wrong"] for each in listed)
    assert listed[0]["tile"].startswith("scene_r0000")
    assert listed[0]["distance"] is None
    assert invoke([*arguments, "--of", "tiles"]) == 2
    assert invoke([*arguments, "--min-area", "nan"]) == invoke([*arguments, "--min-area", "-5"]) == 2
    assert invoke(arguments) == 0
    assert "1  parcel" in capsys.readouterr().out


def test_a_map_without_scores_is_refused(country):  # noqa: F811
    with pytest.raises(UsageError, match="no scores"):
        next_labels(country / "truth.gpkg")


def test_a_map_without_parcels_has_none_to_list(country, tmp_path, capsys):  # noqa: F811
    empty = geopandas.read_file(country / "map.gpkg", layer="parcels").iloc[:0]
    empty.to_file(tmp_path / "empty.gpkg", layer="parcels")
    assert invoke(["labels", "next", str(tmp_path / "empty.gpkg")]) == 0
    assert "empty.gpkg holds no parcels" in capsys.readouterr().out


def test_small_parcels_can_be_left_out(country):  # noqa: F811
    whole = geopandas.read_file(country / "map.gpkg", layer="parcels")
    least = float(whole["area_m2"].median())
    found = next_labels(country / "map.gpkg", min_area_m2=least)
    assert found.candidates == int((whole["area_m2"] >= least).sum()) < len(whole)


def test_what_is_labelled_by_less_than_half_is_listed(tmp_path):
    def objects(*shapes):
        table = {"object_id": np.arange(1, len(shapes) + 1), "class_name": "corn"}
        return geopandas.GeoDataFrame(table, geometry=list(shapes), crs="EPSG:32632")

    objects(shapely.box(0, 0, 4, 10)).to_file(tmp_path / "mine.gpkg", layer="objects")
    candidates = objects(shapely.box(0, 0, 10, 10), shapely.box(0, 0, 5, 10))
    assert _covered(candidates, tmp_path / "mine.gpkg").tolist() == [False, True]


def test_compactness_does_not_depend_on_size():
    small, large = _shape(np.array([shapely.box(0, 0, side, side) for side in (10, 1000)], dtype=object))
    assert small[1] == large[1] == pytest.approx(np.pi / 4)
