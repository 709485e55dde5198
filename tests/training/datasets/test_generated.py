"""Scenes made while training: new ones all the time, the same ones for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from geopanoptic.training.config import TrainingConfig
from geopanoptic.training.datasets.generated import Generated
from geopanoptic.training.datasets.settings import GeneratedData
from geopanoptic.training.patches.patch import Patch
from geopanoptic.training.synthetic import BANDS

CLASSES = TrainingConfig.model_fields["classes"].default


def source(*, seed: int = 0, bands: tuple[str, ...] = BANDS) -> Generated:
    settings = GeneratedData(kind="generated", scene_px=64, crops_per_scene=1, seed=seed)
    return Generated(settings, bands=bands, classes=CLASSES)


def draw(generated: Generated, sample: int) -> Patch:
    return generated.draw(48, np.random.default_rng(9), sample=sample)


def test_the_same_sample_is_the_same_patch_and_later_ones_are_new() -> None:
    first, again = draw(source(), 3), draw(source(), 3)
    np.testing.assert_array_equal(first.image_chw, again.image_chw)
    np.testing.assert_array_equal(first.instances_hw, again.instances_hw)
    assert not np.array_equal(first.image_chw, draw(source(), 40).image_chw)
    assert not np.array_equal(first.image_chw, draw(source(seed=1), 3).image_chw)


def test_every_pixel_is_labelled_and_in_the_networks_range() -> None:
    patch = draw(source(bands=("red", "nir")), 0)
    assert patch.image_chw.shape == (2, 48, 48)
    assert patch.image_chw.min() >= -1
    assert patch.image_chw.max() <= 2
    assert patch.instances_hw.min() >= 0
    assert patch.classes_hw.max() < len(CLASSES)
    assert (patch.classes_hw[patch.instances_hw > 0] == 0).all()


@pytest.mark.parametrize("missing", ["water", "woodland"])
def test_covers_without_a_class_are_unknown(missing: str) -> None:
    classes = [each for each in CLASSES if each.name != missing]
    settings = GeneratedData(kind="generated", scene_px=64)
    patch = Generated(settings, bands=BANDS, classes=classes).draw(64, np.random.default_rng(0), sample=0)
    assert set(np.unique(patch.classes_hw)) <= {*range(len(classes)), 255}
