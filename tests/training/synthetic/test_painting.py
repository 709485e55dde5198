"""Pictures follow their labels, as a sensor would see them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geopanoptic.training.synthetic.landscape import OTHER_VEGETATION, WATER, WOODLAND, Landscape
from geopanoptic.training.synthetic.noise import smooth_noise
from geopanoptic.training.synthetic.painting import COARSE_BANDS, normalise, paint
from geopanoptic.training.synthetic.spectra import BANDS

GREEN, NIR = BANDS.index("green"), BANDS.index("nir")

seeds = st.integers(0, 2**32 - 1)


def half_and_half(left: int, right: int, edge_px: int = 40) -> Landscape:
    cover = np.full((80, 80), left, np.uint8)
    cover[:, edge_px:] = right
    return Landscape(instances=np.zeros(cover.shape, np.int32), cover=cover)


@settings(max_examples=15)
@given(seed=seeds)
def test_the_picture_follows_its_labels(seed):
    image = paint(half_and_half(WOODLAND, WATER), np.random.default_rng(seed), month=6, weather=False)
    assert image.shape == (len(BANDS), 40, 40)
    wood, water = image[:, :, :16].mean((1, 2)), image[:, :, 24:].mean((1, 2))
    wetness = [(each[GREEN] - each[NIR]) / (each[GREEN] + each[NIR]) for each in (wood, water)]
    assert wetness[0] < wetness[1]
    # The step lies where the labels change, column 20 of the image, within a pixel of shade or blur.
    profile = image[NIR].mean(0)
    assert abs(int(np.abs(np.diff(profile)).argmax()) + 1 - 20) <= 1


def test_pixels_on_a_border_are_mixed():
    """An edge through the middle of an image pixel: that pixel lies between its neighbours."""
    image = paint(half_and_half(WOODLAND, WATER, edge_px=41), np.random.default_rng(5), month=6)
    before, on, after = image[NIR].mean(0)[[16, 20, 24]]
    assert after < on < before


def test_bands_of_20_m_are_softer():
    sharp, soft = [], []
    for seed in range(6):
        image = paint(half_and_half(OTHER_VEGETATION, WATER), np.random.default_rng(seed), month=6)
        step = np.abs(np.diff(image.mean(1), axis=1))
        share = step.max(1) / step[:, 14:26].sum(1)
        soft.append(share[list(COARSE_BANDS)][[2, 3]].mean())  # rededge3 and nir08 beside nir
        sharp.append(share[NIR])
    assert np.mean(soft) < np.mean(sharp)


def twins() -> Landscape:
    """Two parcels side by side."""
    instances = np.ones((80, 80), np.int32)
    instances[:, 40:] = 2
    return Landscape(instances=instances, cover=np.zeros(instances.shape, np.uint8))


def test_parcels_that_touch_can_be_told_apart():
    """Either their colours differ, or a furrow runs between them: no border is invisible."""
    for seed in range(40):
        image = np.log(paint(twins(), np.random.default_rng(seed), weather=False)).mean(1)
        left, right = image[:, 8:17].mean(1), image[:, 23:32].mean(1)
        step = np.abs(left - right).max()
        line = np.abs(image[:, 19:21].mean(1) - (left + right) / 2).max()
        assert max(step, line) > 0.03


@settings(max_examples=10)
@given(seed=seeds, month=st.integers(1, 12))
def test_crops_stay_within_what_was_measured(seed, month):
    """Reflectance of fields, not of snow or of nothing: 0.4 to 80 per cent in any band, red below 50."""
    image = paint(twins(), np.random.default_rng(seed), month=month, weather=False)
    median = np.median(image.reshape(len(BANDS), -1), axis=1)
    assert 0.004 < median.min() <= median.max() < 0.8
    assert median[BANDS.index("red")] < 0.5


@given(
    seed=seeds,
    gain=st.lists(st.floats(0.2, 50), min_size=3, max_size=3),
    offset=st.lists(st.floats(-5, 5), min_size=3, max_size=3),
)
def test_normalisation_forgets_gain_and_offset(seed, gain, offset):
    image = np.random.default_rng(seed).gamma(2, size=(3, 20, 20))
    changed = image * np.reshape(gain, (3, 1, 1)) + np.reshape(offset, (3, 1, 1))
    plain = normalise(image)
    np.testing.assert_allclose(normalise(changed), plain, atol=1e-4)
    assert plain.dtype == np.float32
    assert -1 <= plain.min() <= plain.max() <= 2
    np.testing.assert_allclose(np.percentile(plain, 2, axis=(1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(np.percentile(plain, 98, axis=(1, 2)), 1, atol=1e-5)


@pytest.mark.parametrize("scale_px", [3, 8, 30])
def test_noise_has_unit_variance_and_its_scale(scale_px):
    noise = smooth_noise((400, 300), scale_px, np.random.default_rng(1))
    assert noise.shape == (400, 300)
    assert noise.std() == pytest.approx(1, abs=0.2)

    def likeness(lag_px: int) -> float:
        return float(np.corrcoef(noise[:-lag_px].ravel(), noise[lag_px:].ravel())[0, 1])

    assert likeness(max(scale_px // 4, 1)) > 0.7
    assert abs(likeness(4 * scale_px)) < 0.4


def test_a_band_without_contrast_stays_finite():
    assert np.isfinite(normalise(np.full((2, 5, 5), 0.3, np.float32))).all()
