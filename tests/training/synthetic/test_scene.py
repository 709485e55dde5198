"""`synthesize`: an image on a map with the exact truth about it."""

from __future__ import annotations

import geopandas
import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize

from geopanoptic.errors import UsageError
from geopanoptic.evaluation.evaluate import evaluate
from geopanoptic.training.synthetic import BANDS, CHARACTERS, SyntheticScene, synthesize
from geopanoptic.training.synthetic.truth import COVER_NAMES


@settings(max_examples=8)
@given(
    seed=st.integers(0, 2**40),
    shape=st.tuples(st.integers(1, 45), st.integers(1, 45)),
    pixel_size_m=st.sampled_from([1.0, 2.5, 10.0, 30.0]),
    character=st.sampled_from([None, *CHARACTERS]),
)
def test_truth_as_vectors_is_truth_as_raster(seed, shape, pixel_size_m, character):
    scene = synthesize(shape, pixel_size_m=pixel_size_m, character=character, seed=seed)
    fine = scene.grid.scaled(2)
    assert scene.image.shape == (len(BANDS), *shape)
    assert scene.image.min() > 0
    assert scene.instances.shape == scene.cover.shape == fine.shape
    parcels, cover = scene.parcels(), scene.land_cover()
    assert parcels["parcel_id"].tolist() == list(range(1, scene.instances.max() + 1))
    burnt = np.zeros(fine.shape, np.int32)
    if len(parcels):
        pairs = zip(parcels.geometry, parcels["parcel_id"], strict=True)
        burnt = rasterize(pairs, out_shape=fine.shape, transform=fine.transform, dtype="int32")
    np.testing.assert_array_equal(burnt, scene.instances)
    ground_m2 = scene.image[0].size * pixel_size_m**2
    assert parcels["area_m2"].sum() + cover["area_m2"].sum() == pytest.approx(ground_m2)
    assert set(cover["class_name"]) <= set(COVER_NAMES[1:])


def test_the_same_arguments_give_the_same_scene():
    first, again, other = (synthesize((40, 50), seed=seed, month=6) for seed in (1, 1, 2))
    for name in ("image", "instances", "cover"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert first.grid == again.grid
    assert not np.array_equal(first.image, other.image)


def test_a_scene_is_shown_in_one_line():
    made = synthesize((60, 80), month=6, seed=3)
    parcels = len(made.parcels())
    assert repr(made) == f"<SyntheticScene: 60 x 80 pixels, 10 bands, month 6, {parcels} parcels>"


def test_bands_are_those_asked_for():
    every = synthesize((30, 30), seed=5)
    some = synthesize((30, 30), seed=5, bands=("nir", "blue"))
    np.testing.assert_array_equal(some.image, every.image[[BANDS.index("nir"), 0]])


def test_eight_bits_saturate_as_a_true_colour_product_does():
    fine = synthesize((40, 40), seed=5, bands=("red",))
    coarse = synthesize((40, 40), seed=5, bands=("red",), bits=8)
    assert coarse.image.dtype == np.uint8
    expected = np.clip(np.round(fine.image / 3558 * 255), 1, 255)
    np.testing.assert_allclose(coarse.image, expected, atol=1)


def test_image_and_labels_lie_on_the_same_ground():
    """Where the truth says water the image is dark in the near infrared, beside it not."""
    for seed in range(60):
        scene = synthesize((80, 80), seed=seed, month=7, bands=("nir",), character="polder")
        share = (scene.cover == COVER_NAMES.index("water")).reshape(80, 2, 80, 2).mean((1, 3))
        if 200 < (share == 1).sum() < 5000:
            break
    assert np.median(scene.image[0][share == 1]) < np.median(scene.image[0][share == 0]) / 1.5


@pytest.fixture(scope="module")
def scene() -> SyntheticScene:
    return synthesize((50, 60), seed=4, character="mosaic", bands=("red", "green", "blue", "nir"))


def test_a_geotiff_holds_the_image_and_its_place(scene, tmp_path):
    scene.to_geotiff(tmp_path / "scene.tif")
    with rasterio.open(tmp_path / "scene.tif") as file:
        np.testing.assert_array_equal(file.read(), scene.image)
        assert file.descriptions == scene.bands
        assert file.transform == scene.grid.transform
        assert file.crs.to_epsg() == 32632


def test_a_geopackage_holds_the_truth(scene, tmp_path):
    for _ in range(2):  # it may be there already
        scene.to_gpkg(tmp_path / "truth.gpkg")
    parcels = geopandas.read_file(tmp_path / "truth.gpkg", layer="parcels")
    assert len(parcels) == scene.instances.max()
    assert parcels.crs.to_epsg() == 32632
    # Its layers are those of every map: evaluation finds the ground between parcels, too.
    scored = evaluate(tmp_path / "truth.gpkg", tmp_path / "truth.gpkg").table()
    assert set(scored["class"]) >= {"parcel", *scene.land_cover()["class_name"]}


def test_a_dataarray_knows_its_place(scene):
    array = scene.to_dataarray()
    assert array.dims == ("band", "y", "x")
    assert array.rio.crs.to_epsg() == 32632
    assert array.rio.transform() == scene.grid.transform
    np.testing.assert_array_equal(array.sel(band="nir"), scene.image[3])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"shape": (0, 5)}, "shape"),
        ({"shape": 100}, "shape 100, expected two"),
        ({"pixel_size_m": 0.1}, r"pixel_size_m 0.1, expected 1 to 30"),
        ({"bands": ("red", "purple")}, r"\['purple'\]"),
        ({"bands": ()}, "bands"),
        ({"month": 13}, "month 13, expected 1 to 12"),
        ({"seed": -1}, "seed -1"),
        ({"bits": 12}, "bits 12"),
        ({"character": "moor"}, "moor"),
        ({"character": "plain", "outlines": "parcels.gpkg"}, "both given"),
        ({"outlines": "nowhere.gpkg"}, r"nowhere\.gpkg"),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong, message):
    with pytest.raises(UsageError, match=message):
        synthesize(**{"shape": (20, 20), **wrong})
