"""Landscapes: exact labels, real outlines, and characters that differ."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from shapely.affinity import rotate, translate

from geopanoptic.errors import UsageError
from geopanoptic.training.synthetic import GeneratedScene, generate_scene
from geopanoptic.training.synthetic.characters import CHARACTERS
from geopanoptic.training.synthetic.landscape import (
    PARCEL,
    SMALLEST_PARCEL_PX,
    landscape_of_outlines,
    procedural_landscape,
)
from geopanoptic.training.synthetic.partition import border_chance
from geopanoptic.training.synthetic.spectra import BANDS

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
    for seed in range(40):
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


@settings(max_examples=8)
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


@pytest.mark.parametrize("name", CHARACTERS)
def test_parcels_have_the_size_of_their_character(name):
    area_ha = []
    for seed in range(5):
        landscape = procedural_landscape((300, 300), np.random.default_rng(seed), character=name)
        assert_labels_agree(landscape.instances, landscape.cover)
        area_ha += (np.bincount(landscape.instances.ravel())[1:] * landscape.pixel_m**2 / 1e4).tolist()
    assert CHARACTERS[name].parcel_ha / 2.5 < np.median(area_ha) < CHARACTERS[name].parcel_ha * 2
    assert np.quantile(area_ha, 0.9) > 1.8 * np.median(area_ha)  # a long tail


def test_strips_are_narrow_and_parcels_of_a_mosaic_are_not():
    def elongation(name: str) -> float:
        found = []
        for seed in range(4):
            landscape = procedural_landscape((300, 300), np.random.default_rng(seed), character=name)
            for number in range(1, landscape.instances.max() + 1):
                spread = np.linalg.eigvalsh(np.cov(np.nonzero(landscape.instances == number)))
                found.append(np.sqrt(spread[1] / max(spread[0], 0.1)))
        return float(np.median(found))

    assert elongation("strips") > 4 > 2.5 > elongation("mosaic")


def test_every_class_occurs():
    seen = set()
    for seed in range(25):
        seen |= set(np.unique(procedural_landscape((120, 120), np.random.default_rng(seed)).cover))
    assert seen == set(range(6))


@pytest.mark.parametrize("pixel_m", [0.5, 15.0])
def test_other_pixels_show_other_ground(pixel_m):
    landscape = procedural_landscape(
        (120, 120), np.random.default_rng(0), character="mosaic", pixel_m=pixel_m
    )
    assert_labels_agree(landscape.instances, landscape.cover)
    assert (landscape.instances.max() > 60) == (pixel_m > 5)


def test_an_unknown_character_is_named():
    with pytest.raises(UsageError, match=r"'moor' is unknown, expected one of plain, mosaic"):
        procedural_landscape((10, 10), np.random.default_rng(0), character="moor")


@settings(max_examples=10)
@given(seed=seeds, salt=st.integers(0, 2**31))
def test_a_border_has_one_chance_all_along(seed, salt):
    labels = np.random.default_rng(seed).integers(0, 3, (12, 12)).repeat(3, 0).repeat(3, 1).astype(np.int32)
    chance = border_chance(labels, salt)
    differs = np.zeros(labels.shape, bool)
    differs[:, :-1] |= labels[:, 1:] != labels[:, :-1]
    differs[:-1] |= labels[1:] != labels[:-1]
    np.testing.assert_array_equal(chance <= 1, differs)
    assert len(np.unique(chance[differs])) <= 3  # pairs out of three labels
