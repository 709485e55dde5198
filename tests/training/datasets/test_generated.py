"""Scenes made while training: new ones all the time, the same ones for the same seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geopanoptic.training.config import TrainingConfig
from geopanoptic.training.datasets.generated import Generated
from geopanoptic.training.datasets.settings import GeneratedData
from geopanoptic.training.patches.patch import Patch
from geopanoptic.training.synthetic import BANDS, generate_scene

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


def test_by_default_scenes_are_those_of_the_public_generator() -> None:
    patch = Generated(
        GeneratedData(kind="generated", scene_px=64, seed=4), bands=BANDS, classes=CLASSES
    )._build(7)
    scene = generate_scene((64, 64), seed=int(np.random.default_rng([4, 7]).integers(2**62)))
    np.testing.assert_array_equal(patch.instances_hw, scene.instances)


@pytest.mark.parametrize(
    "settings",
    [
        {"characters": ("strips",)},
        {"pixel_size_m": (2.5,)},
        {"alike_edges": (0.0, 0.0)},
        {"outlines": "parcels.npy"},
        {"characters": ("smallholders", "strips"), "pixel_size_m": (5.0, 20.0), "alike_edges": (0.2, 0.8)},
    ],
)
def test_scenes_may_be_of_any_country_and_pixel(settings: dict[str, Any], tmp_path: Path) -> None:
    if "outlines" in settings:
        np.save(tmp_path / "parcels.npy", np.kron(np.arange(1, 37).reshape(6, 6), np.ones((9, 9), np.int32)))
        settings = {"outlines": (tmp_path / "parcels.npy",)}
    asked = GeneratedData.model_validate({"kind": "generated", "scene_px": 64, **settings}, strict=False)
    made = [Generated(asked, bands=BANDS, classes=CLASSES)._build(7) for _ in range(2)]
    usual = Generated(GeneratedData(kind="generated", scene_px=64), bands=BANDS, classes=CLASSES)._build(7)
    np.testing.assert_array_equal(made[0].image_chw, made[1].image_chw)
    assert not np.array_equal(made[0].image_chw, usual.image_chw)
    assert made[0].instances_hw.max() >= 1


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"characters": ["strip"]}, "no character 'strip', only"),
        ({"characters": ["strips"], "outlines": ["a.gpkg"]}, "either characters or outlines"),
        ({"alike_edges": [0.9, 0.1]}, "is a range"),
        ({"pixel_size_m": [100]}, "less than or equal to 30"),
    ],
)
def test_scenes_that_cannot_be_meant_are_refused(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        GeneratedData.model_validate({"kind": "generated", **settings})
