"""From patches to batches: numbered, augmented truthfully, the same from everywhere."""

from __future__ import annotations

from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_training import write_pool

from geopanoptic.training.config import FIELDS_CLASSES, AugmentationSettings
from geopanoptic.training.datasets.pool import Pool
from geopanoptic.training.learning.feed import Feed, collate, cropped, with_targets
from geopanoptic.training.patches.augmentation import Sample, altered, turned, zoomed
from geopanoptic.training.patches.patch import Patch, labels_of
from geopanoptic.training.patches.targets import IGNORED
from geopanoptic.training.synthetic import BANDS

N_BANDS = len(BANDS)
DEFAULT = AugmentationSettings()


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return Pool.open(write_pool(tmp_path / "pool"), bands=BANDS, classes=FIELDS_CLASSES)


def feed_of(pool: Pool, part: slice = slice(None), seed: int = 5) -> Feed:
    return Feed(source=pool, augmentation=DEFAULT, crop_px=32, batch=4, seed=seed, part=part)


def quartered(size_px: int = 48) -> Patch:
    half = size_px // 2
    instances = np.kron(np.array([[1, 2], [3, 0]], np.int32), np.ones((2 * half, 2 * half), np.int32))
    image = np.kron(np.arange(4.0).reshape(2, 2) / 4, np.ones((half, half)))
    return Patch(
        image_chw=np.repeat(image[None], N_BANDS, 0).astype(np.float32),
        seen_chw=np.ones((N_BANDS, size_px, size_px), bool),
        instances_hw=instances,
        classes_hw=labels_of(instances),
    )


def test_a_batch_is_the_same_from_any_thread_and_in_parts(pool: Pool) -> None:
    whole = feed_of(pool).batch_number(7)
    with closing(feed_of(pool).batches(6, readers=3)) as batches:
        next(batches)
        later = next(batches)
    halves = [feed_of(pool, part).batch_number(7) for part in (slice(0, 2), slice(2, 4))]
    assert torch.equal(later.input_btchw, whole.input_btchw)
    assert torch.equal(torch.cat([half.input_btchw for half in halves]), whole.input_btchw)
    for entry in fields(whole.targets):
        assert torch.equal(getattr(later.targets, entry.name), getattr(whole.targets, entry.name))
    assert not torch.equal(feed_of(pool).batch_number(8).input_btchw, whole.input_btchw)
    assert not torch.equal(feed_of(pool, seed=6).batch_number(7).input_btchw, whole.input_btchw)


def test_input_is_zero_where_a_band_or_pixel_is_missing(pool: Pool) -> None:
    rng = np.random.default_rng(4)
    sample = with_targets(pool.draw(48, rng, sample=0))
    for _ in range(30):
        batch = collate([altered(cropped(sample, 48, rng), DEFAULT, rng, bands=BANDS)])
        bands, flags = batch.input_btchw[:, 0].split(N_BANDS, dim=1)
        assert set(flags.unique().tolist()) <= {0.0, 1.0}
        assert not bands[flags == 0].any()
        assert bands.min() >= -1
        assert bands.max() <= 2
        blind = (flags.sum(dim=1) == 0).repeat_interleave(2, 1).repeat_interleave(2, 2)
        assert not batch.targets.weight_bhw[blind].any()


def test_augmentation_turns_image_and_labels_together() -> None:
    sample = with_targets(quartered())
    field = sample.labels["field"][::2, ::2] > 0
    marked = replace(
        sample, image_tchw=np.where(field, np.float32(1.5), np.float32(-0.5))[None, None].repeat(10, 1)
    )
    rng = np.random.default_rng(1)
    for _ in range(20):
        laid = altered(turned(marked, rng), DEFAULT, rng, bands=BANDS)
        field = laid.labels["field"][::2, ::2] > 0
        assert laid.image_tchw[0, 6][field].mean() > laid.image_tchw[0, 6][~field].mean()


STEADY = AugmentationSettings(
    gain=0, shift=0, noise=0, grey_chance=0, permute_chance=0, blur_chance=0, nodata_chance=0,
    visible_only=0, visible_and_nir=0,
)  # fmt: skip


@pytest.mark.parametrize("permuted", [False, True])
def test_colours_are_mixed_by_the_names_of_bands(permuted: bool) -> None:
    values = np.array([0.9, 0.1, 0.2, 0.3], np.float32)
    image = np.broadcast_to(values[:, None, None], (1, 4, 8, 8))
    sample = Sample(image_tchw=image, seen_tchw=image > 0, day_t=np.zeros(1, np.float32), labels={})
    asked = STEADY.model_copy(update={"permute_chance" if permuted else "grey_chance": 1.0})
    bands = ("nir", "red", "green", "blue")
    mixed = altered(sample, asked, np.random.default_rng(3), bands=bands).image_tchw[0, :, 0, 0]
    assert mixed[0] == pytest.approx(0.9)
    np.testing.assert_allclose(sorted(mixed[1:]), values[1:] if permuted else 0.2, atol=1e-6)


@pytest.mark.parametrize(
    ("bands", "kept"),
    [
        (BANDS, {"blue", "green", "red", "nir"}),
        (("nir", "nir08", "swir16", "swir22", "red", "green", "blue"), {"blue", "green", "red", "nir"}),
        (("green", "red", "nir"), {"green", "red", "nir"}),
    ],
)
def test_bands_are_left_out_by_their_names(bands: tuple[str, ...], kept: set[str]) -> None:
    image = np.zeros((1, len(bands), 8, 8), np.float32)
    sample = Sample(image_tchw=image, seen_tchw=image == 0, day_t=np.zeros(1, np.float32), labels={})
    asked = STEADY.model_copy(update={"visible_and_nir": 1.0})
    seen = altered(sample, asked, np.random.default_rng(0), bands=bands).seen_tchw[0, :, 0, 0]
    assert {band for band, shown in zip(bands, seen, strict=True) if shown} == kept


@settings(max_examples=30)
@given(st.floats(0.5, 2.5), st.integers(16, 50))
def test_zooming_keeps_image_and_instances_together(factor: float, size_px: int) -> None:
    patch = quartered(size_px // 2 * 2)
    changed = zoomed(patch, factor)
    height, width = changed.shape
    assert height == round(patch.shape[0] * factor)
    assert changed.instances_hw.shape == changed.classes_hw.shape == (2 * height, 2 * width)
    assert changed.seen_chw.all()
    # Each quarter keeps its value and its number, away from the seams.
    for row, col in ((0, 0), (0, 1), (1, 0), (1, 1)):
        r, c = (int((2 * place + 1) * length / 4) for place, length in ((row, height), (col, width)))
        assert changed.image_chw[0, r, c] == pytest.approx((2 * row + col) / 4, abs=1e-3)
        assert changed.instances_hw[2 * r, 2 * c] == [[1, 2], [3, 0]][row][col]


def test_zooming_leaves_nothing_made_of_missing_pixels() -> None:
    patch = quartered()
    seen = patch.seen_chw.copy()
    seen[:, :, 20:30] = False
    changed = zoomed(replace(patch, seen_chw=seen), 1.5)
    assert not changed.seen_chw[:, :, 30:45].any()
    assert changed.seen_chw[:, :, :28].all()
    assert not changed.image_chw[~changed.seen_chw].any()


def test_a_parcel_cut_by_the_crop_keeps_its_true_centre() -> None:
    whole = with_targets(quartered(96))
    crop = cropped(whole, 48)
    np.testing.assert_array_equal(crop.labels["centre"], whole.labels["centre"][48:144, 48:144])


def test_crops_larger_than_a_sample_are_filled_with_nothing(pool: Pool) -> None:
    crop = cropped(with_targets(pool.draw(48, np.random.default_rng(0), sample=0)), 64)
    assert crop.image_tchw.shape == (1, N_BANDS, 64, 64)
    assert not crop.seen_tchw[:, :, 48:].any()
    assert (crop.labels["class"][96:] == IGNORED).all()
    assert not crop.labels["weight"][96:].any()
