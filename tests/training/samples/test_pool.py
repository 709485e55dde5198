"""What lies in a pool: labels that claim no more than is known, in the input range, the same every time."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import shapely

from geopanoptic.training.config import FIELDS_CLASSES
from geopanoptic.training.datasets.pool import Pool
from geopanoptic.training.samples import crops, dutch_index, land_cover
from geopanoptic.training.samples.aerials import naip, naip_split
from geopanoptic.training.samples.crops import UNLABELLED, Sample
from geopanoptic.training.samples.dutch_index import netherlands
from geopanoptic.training.samples.generated import generated
from geopanoptic.training.samples.outlines import Outlines
from geopanoptic.training.samples.pool import write_pool
from geopanoptic.training.samples.slovenia import slovenia
from geopanoptic.training.synthetic.landscape import BUILT_UP, PARCEL, WOODLAND, procedural_landscape
from geopanoptic.training.synthetic.spectra import BANDS

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture
def small_crops(monkeypatch):
    monkeypatch.setattr(crops, "CROP_PX", 24)
    monkeypatch.setattr(crops, "SCENE_PX", 60)


def assert_well_formed(sample: Sample, crop_px: int) -> None:
    fine = (2 * crop_px, 2 * crop_px)
    assert sample.image.shape == (10, crop_px, crop_px)
    assert sample.valid.shape == (crop_px, crop_px)
    assert sample.instances.shape == sample.stuff.shape == fine
    assert np.isfinite(sample.image).all()
    assert -1 <= sample.image.min() <= sample.image.max() <= 2
    assert not sample.image[~sample.available].any()
    assert not sample.image[:, ~sample.valid].any()
    np.testing.assert_array_equal(sample.instances > 0, sample.stuff == PARCEL)
    # Where there is no image, nothing is claimed.
    nothing = ~sample.valid.repeat(2, 0).repeat(2, 1)
    assert (sample.instances[nothing] == -1).all()
    assert (sample.stuff[nothing] == UNLABELLED).all()
    assert set(np.unique(sample.stuff)) <= {*range(6), UNLABELLED}


def test_generated_crops_are_the_corners_of_one_scene(small_crops):
    corners_of = list(generated(np.random.default_rng(11)))
    assert len(corners_of) == 4
    scene = procedural_landscape((120, 120), np.random.default_rng(11))
    corners = [np.s_[:48, :48], np.s_[:48, 72:], np.s_[72:, :48], np.s_[72:, 72:]]
    for crop, corner in zip(corners_of, corners, strict=True):
        assert_well_formed(crop, 24)
        assert crop.available.all()
        assert crop.valid.all()
        np.testing.assert_array_equal(crop.instances, scene.instances[corner])
        np.testing.assert_array_equal(crop.stuff, scene.cover[corner])


def test_outlines_of_training_and_validation_lie_apart(small_data):
    train, held_out = (Outlines(small_data.folder, validation=validation) for validation in (False, True))
    assert len(train._geometry) + len(held_out._geometry) == 400
    assert train._xy[:, 0].max() < held_out._xy[:, 0].min()


@pytest.mark.parametrize("seed", range(4))
def test_drawn_outlines_keep_their_shape(small_data, seed):
    outlines = Outlines(small_data.folder, validation=False).draw((90, 120), np.random.default_rng(seed))
    area, length = shapely.area(outlines), shapely.length(outlines)
    whole = np.isclose(length**2 / area, 16)  # squares; the other half are 2 : 1
    assert whole.any()
    assert np.isclose(length[~whole] ** 2 / area[~whole], 18).all()
    assert np.ptp(area[whole]) < 1e-6 * area.max()
    # One factor for all: metres per label pixel, around 5.
    assert 1.5 < small_data.parcel_side_m / math.sqrt(area.max()) < 16
    # One of them lies in the middle.
    away = shapely.distance(shapely.centroid(outlines), shapely.Point(60, 45))
    assert away.min() < 1e-6


def test_every_seventh_aerial_validates(small_data):
    training, validation = naip_split(small_data.folder)
    assert validation == [small_data.names[3]]
    assert sorted(training + validation) == list(small_data.names)


def test_an_aerial_is_known_in_its_fields_and_in_thin_gaps(small_data, monkeypatch):
    sample = naip(
        small_data.folder, small_data.names[0], 4.0, None
    )  # 96 pixels become 24: one label pixel is two of them
    assert_well_formed(sample, 24)
    assert sample.valid.all()
    assert sample.available.tolist() == [True] * 3 + [False] * 7
    assert np.bincount(sample.instances[sample.instances > 0]).tolist() == [0, 21 * 24, 18 * 24]
    # The gap of three label pixels is no parcel, of whatever cover; its open ends are left unsaid.
    assert (sample.instances[6:24, 21:24] == 0).all()
    assert (sample.stuff[:, 21:24] == UNLABELLED).all()
    assert (sample.instances[36:] == -1).all()
    assert sample.instances[0, 0] == -1


def test_a_random_crop_of_a_small_aerial_is_padded(small_data, monkeypatch):
    monkeypatch.setattr(crops, "CROP_PX", 32)
    sample = naip(small_data.folder, small_data.names[0], 4.0, np.random.default_rng(0))
    assert_well_formed(sample, 32)
    assert sample.valid.sum() == 24 * 24


def test_an_aerial_keeps_its_colours(small_data, monkeypatch):
    monkeypatch.setattr(crops, "CROP_PX", 32)
    blue, green, red = naip(small_data.folder, small_data.names[0], 3.0, None).image[:3]
    middle = small_data.aerial_px // 6
    assert blue[middle, 2] > blue[middle, -3]
    assert red[middle, 2] < red[middle, -3]
    assert green[2, middle] < green[-3, middle]
    for band in (blue, green, red):  # 2 % of the pixels lie below 0, 2 % above 1
        assert np.percentile(band, (2, 98)) == pytest.approx((0, 1), abs=1e-5)


def test_a_random_crop_is_a_window_of_the_whole(small_data, monkeypatch):
    monkeypatch.setattr(crops, "CROP_PX", 32)
    whole = naip(small_data.folder, small_data.names[0], 3.0, None)
    monkeypatch.setattr(crops, "CROP_PX", 10)
    crop = naip(small_data.folder, small_data.names[0], 3.0, np.random.default_rng(2))
    assert_well_formed(crop, 10)
    places = [
        (row, col)
        for row in range(23)
        for col in range(23)
        if np.array_equal(whole.image[:, row : row + 10, col : col + 10], crop.image)
    ]
    assert len(places) == 1
    row, col = places[0]
    fine = np.s_[2 * row : 2 * row + 20, 2 * col : 2 * col + 20]
    np.testing.assert_array_equal(whole.instances[fine], crop.instances)
    np.testing.assert_array_equal(whole.stuff[fine], crop.stuff)


def test_the_dutch_scene_is_cut_once_into_training_and_validation(small_data, small_crops, monkeypatch):
    monkeypatch.setattr(dutch_index, "NDVI_VALIDATION_COLUMN", 120)
    train, held_out = (list(netherlands(small_data.folder, validation=each)) for each in (False, True))
    for sample in (*train, *held_out):
        assert_well_formed(sample, 24)
    assert {int(sample.available.sum()) for sample in train} == {3, 4}
    assert {int(sample.available.sum()) for sample in held_out} == {3}
    # Greener to the east: nothing that trains is as green as the greenest of any green crop that validates.
    grey = [sample for sample in train if sample.available.sum() == 3]
    greenest = [[sample.image[0].max() for sample in part] for part in (grey, held_out)]
    assert max(greenest[0]) < min(value for value in greenest[1] if value > 0)


def test_undeclared_green_is_unknown_and_bare_ground_is_none(small_data, small_crops, monkeypatch):
    monkeypatch.setattr(dutch_index, "NDVI_VALIDATION_COLUMN", 200)
    cut = list(netherlands(small_data.folder, validation=False))
    without_parcel = np.concatenate([crop.instances[crop.instances <= 0] for crop in cut])
    assert {-1, 0} == set(np.unique(without_parcel))
    for crop in cut[::2]:
        bright = (crop.image[0] > 0).repeat(2, 0).repeat(2, 1)
        inner = crop.instances == -1
        assert bright[inner].all()


def test_the_patch_says_only_what_its_map_knows(small_data, monkeypatch):
    monkeypatch.setattr(crops, "CROP_PX", 48)
    patches = list(slovenia(small_data.folder))
    assert len(patches) == 2  # the cloudy date is left out
    for patch in patches:
        assert_well_formed(patch, 48)
        assert patch.available.all()
        meaning = {2: (0, WOODLAND), 8: (0, BUILT_UP)}  # code -> parcel?, cover; the rest is unknown
        for row, codes in enumerate(small_data.land_use):
            for col, code in enumerate(codes):
                block = np.s_[20 * row : 20 * row + 20, 20 * col : 20 * col + 20]
                instance, cover = meaning.get(code, (-1, UNLABELLED))
                assert (patch.instances[block] == instance).all()
                assert (patch.stuff[block] == cover).all()


def test_a_stored_sample_is_what_the_trainer_reads(tmp_path, small_crops):
    sample = next(generated(np.random.default_rng(0)))
    sample.save(tmp_path / "0.npz")
    stored = Pool.open(tmp_path, bands=BANDS, classes=FIELDS_CLASSES).draw(
        24, np.random.default_rng(1), sample=0
    )
    np.testing.assert_allclose(stored.image_chw, sample.image, atol=2e-3)
    np.testing.assert_array_equal(stored.instances_hw, sample.instances)
    np.testing.assert_array_equal(stored.classes_hw, sample.stuff)


def test_the_same_seed_writes_the_same_pool(small_data, small_crops, tmp_path, monkeypatch):
    monkeypatch.setattr(land_cover, "virginia_folder", lambda: None)  # its crops take half a minute
    monkeypatch.setattr(dutch_index, "NDVI_VALIDATION_COLUMN", 120)
    for folder in ("first", "again"):
        write_pool(small_data.folder, tmp_path / folder, scenes=2, seed=5)
    first, again = (
        sorted(path.relative_to(tmp_path / folder) for path in (tmp_path / folder).rglob("*.npz"))
        for folder in ("first", "again")
    )
    assert first == again
    count = {folder: sum(path.parts[0] == folder for path in first) for folder in {p.parts[0] for p in first}}
    expected = {"generated": 8, "naip": 18 * 7, "slovenia": 2, "val-generated": 48}
    expected |= {f"val-naip-{pixel}m": 1 for pixel in ("2.5", "5", "10")}
    assert count.pop("ndvi") > 0
    assert count.pop("val-ndvi") > 0
    assert count == expected
    assert not any(path.name.startswith(".") for path in first)
    assert not any(small_data.names[3] in path.name for path in first if path.parts[0] == "naip")
    pictures = set()
    for path in first:
        with np.load(tmp_path / "first" / path) as one, np.load(tmp_path / "again" / path) as other:
            assert one["image"].dtype == np.float16
            for name in one.files:
                np.testing.assert_array_equal(one[name], other[name])
            if "generated" in path.parts[0]:
                pictures.add(one["image"].tobytes())
    assert len(pictures) == 56  # no generated validation crop is a training crop


@pytest.mark.realdata
def test_the_aerials_that_validate_are_these(shared_data):
    training, validation = naip_split(shared_data)
    assert len(training) == 26
    assert validation == [
        "39.6679328199836--95.4287818841267",
        "41.331528--92.025913",
        "42.674515--89.685613",
        "43.4089390406588--83.6679532051476",
    ]
    # Images are at most 2.6 km wide, so that centres 3 km apart share no ground.
    here, there = (
        np.array([[float(part) for part in name.split("--")] for name in names])
        for names in (validation, training)
    )
    km = (here[:, None] - there) * 111.2 * np.stack([np.ones(4), np.cos(np.radians(here[:, 0]))], -1)[:, None]
    assert np.hypot(km[..., 0], km[..., 1]).min() > 3


@pytest.mark.realdata
def test_a_real_aerial_keeps_the_drawn_area(shared_data):
    name = naip_split(shared_data)[1][1]
    sample = naip(shared_data, name, 8.0, None)
    regions = json.loads((shared_data / "fields-naip-midwest" / "annotations.json").read_text())[name][
        "regions"
    ]
    drawn = []
    for region in regions:
        x, y = (np.array(region["shape_attributes"][f"all_points_{axis}"], float) for axis in "xy")
        drawn.append(abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2 / 4**2)
    assert (sample.instances > 0).sum() == pytest.approx(sum(drawn), rel=0.03)
    assert sample.instances.max() == len(regions)


@pytest.mark.realdata
def test_the_real_patch_has_three_clear_dates(shared_data):
    patches = list(slovenia(shared_data))
    assert len(patches) == 3
    for patch in patches:
        assert_well_formed(patch, 192)
        assert (patch.stuff == WOODLAND).sum() == 4 * 7601
