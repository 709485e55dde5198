"""Real colours in generated outlines."""

from __future__ import annotations

import numpy as np
import pytest

from geopanoptic.training.samples import crops
from geopanoptic.training.samples.collage import Palette, collage
from geopanoptic.training.samples.series import Date
from geopanoptic.training.synthetic.landscape import PARCEL, WOODLAND, Landscape

COLOURS = np.array([[0.1, 0.5, 0.2, 0.9], [0.8, 0.7, 0.6, 0.3]], np.float32)


@pytest.fixture
def palette() -> Palette:
    """Two real fields side by side; unlabelled ground between them has another colour."""
    instances = np.full((80, 120), -1, np.int32)
    instances[:, :50], instances[:, 70:] = 3, 8
    image = np.full((4, 40, 60), 0.45, np.float32)
    image[:, :, :25], image[:, :, 35:] = COLOURS[0][:, None, None], COLOURS[1][:, None, None]
    return Palette.of(Date(image_chw=image, bands=(0, 1, 2, 6), valid_hw=np.ones((40, 60), bool)), instances)


def test_a_palette_holds_the_colours_of_parcels_alone(palette):
    np.testing.assert_allclose(palette.mean_nc, COLOURS, atol=1e-6)
    np.testing.assert_allclose(palette.texture_chw, 0, atol=1e-6)


def test_parcels_are_painted_in_those_colours(palette, monkeypatch):
    monkeypatch.setattr(crops, "SCENE_PX", 60)
    monkeypatch.setattr(crops, "CROP_PX", 30)
    rng = np.random.default_rng(4)
    instances = np.repeat(np.repeat([[1, 2], [3, 0]], 60, 0), 60, 1).astype(np.int32)
    cover = np.where(instances > 0, PARCEL, WOODLAND).astype(np.uint8)
    landscape = Landscape(instances=instances, cover=cover)
    corners = collage(palette, landscape, rng)
    assert [np.unique(crop.instances).tolist() for crop in corners] == [[1], [2], [3], [0]]
    for crop in corners[:3]:
        middle = crop.image[np.flatnonzero(crop.available), 8:22, 8:22].mean((1, 2))
        assert np.abs(COLOURS - middle).max(axis=1).min() < 0.2
    for crop in corners:
        assert np.flatnonzero(crop.available).tolist() == [0, 1, 2, 6]
        assert not crop.image[~crop.available].any()
