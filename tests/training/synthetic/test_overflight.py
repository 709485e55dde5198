"""What a date brings home: clouds hide, masks know most of them, swaths end, dates lie apart."""

from __future__ import annotations

import numpy as np
import pytest

from geopanoptic.training.synthetic.overflight import CLEAR, MASKS, Habits, fly_over

SIDE_PX = 96
CLOUDY = Habits(mask="good", apart_px=0.0, clear_share=0.0, gain=0.0)


def ground() -> np.ndarray:
    """Dark ground with one bright square, at twice the image's resolution."""
    fine = np.full((10, 2 * SIDE_PX, 2 * SIDE_PX), 0.1, np.float32)
    fine[:, 80:120, 80:120] = 0.3
    return fine


def test_without_weather_everything_is_seen():
    seen = fly_over(ground(), np.random.default_rng(0), habits=CLEAR, pixel_m=10, weather=False)
    assert seen.image_chw.shape == (10, SIDE_PX, SIDE_PX)
    assert seen.swath_hw.all()
    assert not seen.masked_hw.any()
    assert seen.image_chw[:, 20, 20] == pytest.approx(0.1, abs=0.01)
    assert seen.image_chw[:, 50, 50] == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("seed", range(6))
def test_a_good_mask_leaves_only_the_ground(seed):
    seen = fly_over(ground(), np.random.default_rng(seed), habits=CLOUDY, pixel_m=10, weather=True)
    visible = seen.swath_hw & ~seen.masked_hw
    assert (seen.image_chw[:, ~seen.swath_hw] == 0).all()
    # Haze, the faintest rims and shadows remain.
    assert (seen.image_chw[2, visible] < 0.45).all()


def test_faulty_masks_err_to_both_sides():
    cloud = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    cloud[:40, :40] = np.linspace(0.2, 1, 40)
    bright = np.ones_like(cloud)
    taken = {
        name: mask(cloud, np.zeros_like(cloud), bright, np.random.default_rng(1))
        for name, mask in MASKS.items()
    }
    assert taken["good"][:40, :40].all()
    assert not taken["none"].any()
    assert not taken["holey"][:40, :40].all()
    assert taken["eager"].sum() > taken["good"].sum()


def test_dates_lie_up_to_half_a_pixel_apart():
    habits = Habits(mask="none", apart_px=0.5, clear_share=1.0, gain=0.0)
    rows = []
    for seed in range(12):
        image = fly_over(
            ground(), np.random.default_rng(seed), habits=habits, pixel_m=10, weather=False
        ).image_chw
        weight = np.clip(image[3] - 0.15, 0, None)
        rows.append(float((weight.sum(1) * np.arange(SIDE_PX)).sum() / weight.sum()))
    middle = (80 + 120) / 4 - 0.5
    assert max(abs(row - middle) for row in rows) < 0.55
    assert np.std(rows) > 0.1
