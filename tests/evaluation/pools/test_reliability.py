"""How far a score can be taken at its word."""

from __future__ import annotations

import re

import numpy as np
import pytest

from geopanoptic.evaluation.pools.reliability import calibration_error, draw_reliability


def test_calibration_error_by_hand():
    score = np.array([0.05, 0.05, 0.95, 0.95])
    assert calibration_error(score, np.array([False, False, True, True])) == pytest.approx(0.05)
    assert calibration_error(score, np.array([True, True, False, False])) == pytest.approx(0.95)
    mixed = calibration_error(np.array([0.5, 0.5, 1.0]), np.array([True, False, False]))
    assert mixed == pytest.approx(1 / 3)
    assert np.isnan(calibration_error(np.zeros(0), np.zeros(0, bool)))


def test_the_reliability_picture_is_a_png(tmp_path):
    rng = np.random.default_rng(0)
    score = rng.random(300)
    draw_reliability(tmp_path / "reliability.png", score, rng.random(300) < score)
    assert re.match(rb"\x89PNG", (tmp_path / "reliability.png").read_bytes())
