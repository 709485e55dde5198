"""Samples of seasons: normalised like a scene of their dates, stored and read back, real ones hide validation."""

from __future__ import annotations

import numpy as np
import pytest

from geopanoptic.npy import load_npz
from geopanoptic.scene import open_scene
from geopanoptic.scene.radiometry import measure
from geopanoptic.training.samples import real_seasons, season_pool, series
from geopanoptic.training.samples.crops import UNLABELLED
from geopanoptic.training.samples.generated_seasons import SCENE_PX, generated_season
from geopanoptic.training.samples.season_crops import CROP_PX, SeasonScene, SeriesSample, wandered
from geopanoptic.training.synthetic import synthesize_series


@pytest.fixture(scope="module")
def season() -> SeasonScene:
    return of(synthesize_series((150, 140), n_dates=4, bands=("blue", "green", "red", "nir"), seed=5))


def of(generated) -> SeasonScene:
    return SeasonScene(
        values_tchw=generated.images_tchw,
        bands=generated.bands,
        valid_thw=generated.valid_thw,
        day_t=np.array(generated.days, np.float32),
        instances=generated.instances,
        stuff=generated.classes,
    )


def test_the_normalisation_is_that_of_the_scene(tmp_path):
    generated = synthesize_series((150, 140), n_dates=4, seed=5)
    generated.to_geotiffs(tmp_path)
    measured, scene = of(generated).normalisation(), measure(open_scene(tmp_path))
    assert measured.bands == scene.bands
    assert measured.low == scene.low
    assert measured.high == scene.high


def test_a_crop_has_ten_bands_and_labels_of_twice_its_size(season):
    sample = season.crop(10, 5, season.normalisation())
    assert sample.image_tchw.shape == (4, 10, CROP_PX, CROP_PX)
    assert sample.instances.shape == sample.stuff.shape == (2 * CROP_PX, 2 * CROP_PX)
    assert sample.available_tc.sum(1).tolist() == [4] * 4
    assert (sample.image_tchw[~sample.available_tc] == 0).all()
    assert (np.moveaxis(sample.image_tchw, 1, -1)[~sample.valid_thw] == 0).all()
    np.testing.assert_array_equal(sample.instances, season.instances[20 : 20 + 256, 10 : 10 + 256])


def test_a_sample_is_read_back_as_it_was_but_for_steps(season, tmp_path):
    sample = season.crop(0, 0, season.normalisation(), dates=[2, 0])
    assert sample.day_t.tolist() == season.day_t[[2, 0]].tolist()
    sample.save(tmp_path / "sample.npz")
    again = SeriesSample(**load_npz(tmp_path / "sample.npz"))
    assert np.abs(again.image_tchw - sample.image_tchw).max() <= 1 / 256
    for name in ("available_tc", "valid_thw", "day_t", "instances", "stuff"):
        np.testing.assert_array_equal(getattr(again, name), getattr(sample, name))
        assert getattr(again, name).dtype == getattr(sample, name).dtype


def test_wandering_keeps_the_range_a_range(season):
    normalisation = season.normalisation()
    for seed in range(20):
        moved = wandered(normalisation, np.random.default_rng(seed))
        assert all(low < high for low, high in zip(moved.low, moved.high, strict=True))


def test_a_generated_season_gives_its_four_corners():
    samples = list(generated_season(np.random.default_rng(2), n_dates=3, wander=False))
    assert len(samples) == 4
    assert SCENE_PX >= 2 * CROP_PX
    for sample in samples:
        assert sample.image_tchw.shape[0] == 3
        assert sample.available_tc.all()
        assert ((sample.stuff < 4) == (sample.instances > 0)).all()
        assert sample.stuff.max() < 9


def test_reduced_pixels_are_means_and_valid_where_all_are(season):
    fewer = real_seasons.reduced(season, 2)
    assert fewer.values_tchw.shape[2:] == (75, 70)
    assert fewer.values_tchw[1, 2, 3, 4] == pytest.approx(season.values_tchw[1, 2, 6:8, 8:10].mean())
    assert fewer.valid_thw[1, 3, 4] == season.valid_thw[1, 6:8, 8:10].all()
    assert fewer.instances.shape == (150, 140)


def test_real_seasons_know_outlines_but_no_kinds(shared_data):
    height, width = series.austria_values(shared_data).shape[2:]
    instances = np.arange(4 * height * width, dtype=np.int32).reshape(2 * height, 2 * width) // 5000
    instances[:, ::2] = 0
    season = real_seasons.austria(shared_data, instances)
    assert np.isnan(season.day_t).all()
    assert (season.stuff[season.instances > 0] == UNLABELLED).all()
    assert {4, 5, 6} <= set(np.unique(season.stuff).tolist())
    samples = list(real_seasons.crops_of(season, (1, 2)))
    assert samples
    assert all(sample.image_tchw.shape == (2, 10, CROP_PX, CROP_PX) for sample in samples)


def test_the_german_season_has_its_days_and_gaps(shared_data):
    season = real_seasons.boerde(shared_data, np.ones((2 * 1023, 2 * 1016), np.int32))
    assert season.day_t.tolist() == [74, 105, 135, 166, 227, 258, 288]
    assert (season.values_tchw.min(1)[~season.valid_thw] == -10000).all()
    assert 0.9 < season.valid_thw.mean() < 1
    assert (season.stuff == UNLABELLED).all()


def test_a_pool_is_the_same_for_the_same_seed(shared_data, tmp_path):
    for name in ("one", "other"):
        season_pool.write_generated(
            tmp_path / name, shared_data, range(7, 8), seed=1, n_dates=1, held_out=True
        )
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == [f"0007_{corner}.npz" for corner in range(4)]
    for file in files:
        one, other = (SeriesSample(**load_npz(tmp_path / name / file)) for name in ("one", "other"))
        np.testing.assert_array_equal(one.image_tchw, other.image_tchw)
        np.testing.assert_array_equal(one.stuff, other.stuff)
