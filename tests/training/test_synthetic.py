"""Generated scenes: exact truth, real outlines, pictures that follow their labels, spectra that are real."""

from __future__ import annotations

import json

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from shapely.affinity import rotate, translate

from geopanoptic.training.synthetic import BANDS, GeneratedScene, generate_scene
from geopanoptic.training.synthetic.landscape import (
    OTHER_VEGETATION,
    PARCEL,
    SMALLEST_PARCEL_PX,
    WATER,
    WOODLAND,
    Landscape,
    landscape_of_outlines,
    procedural_landscape,
    smooth_noise,
)
from geopanoptic.training.synthetic.painting import COARSE_BANDS, normalise, paint
from geopanoptic.training.synthetic.spectra import TABLE, fit, mixtures

GREEN, RED, NIR, SWIR = (BANDS.index(name) for name in ("green", "red", "nir", "swir16"))

seeds = st.integers(0, 2**32 - 1)


def assert_labels_agree(instances: np.ndarray, cover: np.ndarray) -> None:
    """Parcels are numbered 1..n, each is one 4-connected piece, and the cover says parcel just there."""
    assert (instances.dtype, cover.dtype) == (np.int32, np.uint8)
    assert cover.max() < 6
    np.testing.assert_array_equal(instances > 0, cover == PARCEL)
    size = np.bincount(instances.ravel())[1:]
    assert (size >= SMALLEST_PARCEL_PX).all()
    for number, window in enumerate(ndimage.find_objects(instances), 1):
        assert ndimage.label(instances[window] == number)[1] == 1


@settings(max_examples=20)
@given(seed=seeds, shape=st.tuples(*[st.integers(1, 70)] * 2))
def test_a_scene_of_any_size_has_exact_truth(seed, shape):
    scene = generate_scene(shape, seed=seed)
    assert scene.image.shape == (len(BANDS), *shape)
    assert scene.image.dtype == np.float32
    assert 0 < scene.image.min() <= scene.image.max() <= 1.2
    assert scene.instances.shape == scene.cover.shape == (2 * shape[0], 2 * shape[1])
    assert_labels_agree(scene.instances, scene.cover)


def test_a_seed_is_a_scene():
    first, again, other = (generate_scene((50, 40), seed=seed) for seed in (3, 3, 4))
    for name in GeneratedScene.__slots__:
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.image, other.image)


def test_landscapes_differ_and_neighbours_touch():
    parcel_share, touching, area_px = [], [], []
    for seed in range(30):
        landscape = procedural_landscape((160, 160), np.random.default_rng(seed))
        left, right = landscape.instances[:, :-1], landscape.instances[:, 1:]
        edge = left != right
        parcel_share.append((landscape.cover == PARCEL).mean())
        touching.append((edge & (left > 0) & (right > 0)).sum() / max(edge.sum(), 1))
        area_px += np.bincount(landscape.instances.ravel())[1:].tolist()
    # Some have no parcel at all, some little else; in some, borders are mostly shared without a gap.
    assert min(parcel_share) < 0.02
    assert max(parcel_share) > 0.95
    assert max(touching) > 0.8
    # From 20 px of 10 m to a thousand and more.
    assert np.quantile(area_px, 0.05) < 80
    assert max(area_px) > 4000


def mosaic(angle: float) -> list[shapely.Polygon]:
    """Touching rectangles of 30 x 20 label pixels, turned, over more than a 120 x 100 px landscape."""
    grid = [shapely.box(30 * i, 20 * j, 30 * i + 30, 20 * j + 20) for i in range(-8, 9) for j in range(-8, 9)]
    return [translate(rotate(each, angle, (0, 0), use_radians=True), 60, 50) for each in grid]


@settings(max_examples=12)
@given(seed=seeds)
def test_no_parcel_reaches_over_two_real_outlines(seed):
    rng = np.random.default_rng(seed)
    outlines = mosaic(rng.uniform(0, np.pi))
    landscape = landscape_of_outlines(outlines, (100, 120), rng)
    assert_labels_agree(landscape.instances, landscape.cover)
    rows, cols = np.nonzero(landscape.instances)
    pixel, outline = shapely.STRtree(outlines).query(shapely.points(cols + 0.5, rows + 0.5), "within")
    parcel = landscape.instances[rows, cols][pixel]
    pairs = np.unique(np.stack([parcel, outline]), axis=1)
    assert (np.bincount(pairs[0])[1:] == 1).all()


def test_real_outlines_become_parcels():
    taken = [
        landscape_of_outlines(mosaic(0.3), (100, 120), np.random.default_rng(seed)).instances
        for seed in range(8)
    ]
    # Water and woods lie over some of them; where nothing does, all ground is parcelled.
    assert max((instances > 0).mean() for instances in taken) > 0.95
    assert np.median([(instances > 0).mean() for instances in taken]) > 0.6


def half_and_half(left: int, right: int, edge_px: int = 40) -> Landscape:
    cover = np.full((80, 80), left, np.uint8)
    cover[:, edge_px:] = right
    return Landscape(instances=np.zeros(cover.shape, np.int32), cover=cover)


@settings(max_examples=15)
@given(seed=seeds)
def test_the_picture_follows_its_labels(seed):
    image = paint(half_and_half(WOODLAND, WATER), np.random.default_rng(seed))
    assert image.shape == (len(BANDS), 40, 40)
    wood, water = image[:, :, :16].mean((1, 2)), image[:, :, 24:].mean((1, 2))
    wetness = [(each[GREEN] - each[NIR]) / (each[GREEN] + each[NIR]) for each in (wood, water)]
    assert wetness[0] < wetness[1]
    # The step lies where the labels change, column 20 of the image, within a pixel of shade or blur.
    profile = image[NIR].mean(0)
    assert abs(int(np.abs(np.diff(profile)).argmax()) + 1 - 20) <= 1


def test_pixels_on_a_border_are_mixed():
    """An edge through the middle of an image pixel: that pixel lies between its neighbours."""
    image = paint(half_and_half(WOODLAND, WATER, edge_px=41), np.random.default_rng(5))
    before, on, after = image[NIR].mean(0)[[16, 20, 24]]
    assert after < on < before


def test_bands_of_20_m_are_softer():
    sharp, soft = [], []
    for seed in range(6):
        image = paint(half_and_half(OTHER_VEGETATION, WATER), np.random.default_rng(seed))
        step = np.abs(np.diff(image.mean(1), axis=1))
        share = step.max(1) / step[:, 14:26].sum(1)
        soft.append(share[list(COARSE_BANDS)][[2, 3]].mean())  # rededge3 and nir08 beside nir
        sharp.append(share[NIR])
    assert np.mean(soft) < np.mean(sharp)


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


def test_spectra_are_those_of_land():
    rng = np.random.default_rng(0)
    typical = {cover: np.median(mixture.draw(rng, 3000), 0) for cover, mixture in mixtures().items()}
    ndvi = {cover: (s[NIR] - s[RED]) / (s[NIR] + s[RED]) for cover, s in typical.items()}
    assert ndvi["water"] < 0 < ndvi["bare"] < ndvi["crop"] < ndvi["woodland"]
    assert all(typical["water"][SWIR] < typical[cover][SWIR] / 3 for cover in ("bare", "crop", "built-up"))
    assert typical["woodland"][RED] == min(typical[cover][RED] for cover in set(typical) - {"water"})


def test_draws_without_spread_are_the_component_means():
    crop = mixtures()["crop"]
    drawn = crop.draw(np.random.default_rng(0), 4, components=np.array([2]), spread=0)
    np.testing.assert_allclose(drawn, np.tile(np.exp(crop.mean[2]), (4, 1)))


def test_draws_keep_the_correlation_between_bands():
    crop = mixtures()["crop"]
    drawn = np.log(crop.draw(np.random.default_rng(0), 20_000, components=np.array([0])))
    inside = (drawn > np.log(2e-3)).all(1) & (drawn < -1e-6).all(1)  # reflectance is clipped to 0.001..1
    assert inside.mean() > 0.9
    expected = crop.factor[0] @ crop.factor[0].T
    np.testing.assert_allclose(np.cov(drawn.T), expected, atol=0.05 * expected.max())


@pytest.mark.realdata
def test_the_table_is_the_fit_of_its_source(shared_data):
    pytest.importorskip("pyarrow")
    fitted = fit(shared_data / "spectra-points" / "global-500.parquet")
    stored = json.loads(TABLE.read_text())
    assert fitted["source"] == stored["source"]
    for cover, parts in stored["covers"].items():
        for name, values in parts.items():
            np.testing.assert_allclose(fitted["covers"][cover][name], values, atol=2e-3)


def test_a_band_without_contrast_stays_finite():
    assert np.isfinite(normalise(np.full((2, 5, 5), 0.3, np.float32))).all()
