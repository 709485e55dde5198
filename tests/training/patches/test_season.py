"""Dates chosen and weathered: never a date that shows nothing, never more to see than there was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from geopanoptic.training.config import SeasonSettings
from geopanoptic.training.patches.augmentation import zoomed
from geopanoptic.training.patches.season import some_dates, weathered
from geopanoptic.training.patches.series_patch import SeriesPatch

CALM = SeasonSettings(
    gain=0, shift=0, hidden_chance=0, cloud_chance=0, later_days=0, jitter_days=0, dateless_chance=0
)


def season(n_dates: int = 5, size_px: int = 24) -> SeriesPatch:
    """Date t has the value t / 10; the first date is all cloud, the last band is missing on the second."""
    seen = np.ones((n_dates, 3, size_px, size_px), bool)
    seen[0] = False
    seen[1:2, 2] = False
    values = (np.arange(n_dates, dtype=np.float32) / 10)[:, None, None, None]
    return SeriesPatch(
        image_tchw=np.broadcast_to(values, seen.shape) * seen,
        seen_tchw=seen,
        day_t=np.linspace(60, 300, n_dates, dtype=np.float32),
        instances_hw=np.array([[1, 2], [3, 0]], np.int32).repeat(size_px, 0).repeat(size_px, 1),
        classes_hw=np.zeros((2 * size_px, 2 * size_px), np.uint8),
    )


@given(st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_dates_that_show_something_are_chosen_in_order(count: int, seed: int) -> None:
    chosen = some_dates(season(), (count,), np.random.default_rng(seed))
    assert chosen.n_dates == min(count, 4)
    assert (np.diff(chosen.day_t) > 0).all()
    assert chosen.seen_tchw.any(axis=(1, 2, 3)).all()


def test_one_date_stays_of_a_series_that_shows_nothing() -> None:
    dark = season()
    dark = replace(dark, seen_tchw=np.zeros_like(dark.seen_tchw))
    assert some_dates(dark, (3,), np.random.default_rng(0)).n_dates == 1


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_weather_hides_and_never_reveals(seed: int) -> None:
    rough = SeasonSettings(hidden_chance=0.6, cloud_chance=0.9, unmasked_share=0.5, dateless_chance=0.5)
    before = season().at([1, 2, 3])
    after = weathered(before, rough, np.random.default_rng(seed))
    assert 1 <= after.n_dates <= 3
    assert not after.image_tchw[~after.seen_tchw].any()
    assert after.seen_tchw.shape[1:] == before.seen_tchw.shape[1:]
    if after.n_dates == 3:
        assert not (after.seen_tchw & ~before.seen_tchw).any()
    known = after.day_t[~np.isnan(after.day_t)]
    assert len(known) in (0, after.n_dates)
    assert ((known >= 1) & (known < 367)).all()
    np.testing.assert_array_equal(after.instances_hw, before.instances_hw)


def test_calm_weather_changes_nothing() -> None:
    before = season()
    after = weathered(before, CALM, np.random.default_rng(0))
    np.testing.assert_allclose(after.image_tchw, before.image_tchw, atol=1e-6)
    np.testing.assert_array_equal(after.seen_tchw, before.seen_tchw)
    np.testing.assert_allclose(after.day_t, before.day_t, atol=1e-4)


def test_clouds_without_a_mask_are_bright_and_seen() -> None:
    cloudy = CALM.model_copy(update={"cloud_chance": 1.0, "unmasked_share": 1.0})
    before = season()
    after = weathered(before, cloudy, np.random.default_rng(3))
    np.testing.assert_array_equal(after.seen_tchw, before.seen_tchw)
    assert (after.image_tchw >= before.image_tchw - 1e-6).all()
    assert after.image_tchw.max() > 0.8


def test_all_dates_are_zoomed_and_cut_alike() -> None:
    before = season()
    bigger = before.restacked(zoomed(before.stacked(), 1.5))
    assert bigger.image_tchw.shape == (5, 3, 36, 36)
    assert bigger.shape == (36, 36)
    np.testing.assert_allclose(bigger.image_tchw[3], 0.3, atol=1e-6)
    assert not bigger.seen_tchw[0].any()
    window = before.random_window(10, np.random.default_rng(0))
    assert window.image_tchw.shape == (5, 3, 10, 10)
    assert window.instances_hw.shape == (20, 20)
