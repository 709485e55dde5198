"""Quantised layers: rounding, nodata, and independence of what lies beside a pixel."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from geopanoptic.panoptic.quantisation import LAYERS, NODATA_CLASS, Quantiser

QUANTISE = Quantiser(thing_channels=(0, 3), stuff_channels=(1, 2), relief_boundary_weight=0.25)


def outputs(seed: int, shape: tuple[int, int] = (7, 9)) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    maps = {name: rng.random((1, *shape), np.float32) for name in ("centre", "boundary", "distance")}
    semantic = rng.random((4, *shape), np.float32)
    return maps | {"semantic": semantic / semantic.sum(0)}


@given(seed=st.integers(0, 1000))
def test_equals_the_formula_in_double_precision(seed):
    maps = outputs(seed)
    layers = QUANTISE(maps, np.ones((7, 9), bool))
    exact = {name: array.astype(np.float64) for name, array in maps.items()}
    field = exact["semantic"][[0, 3]].sum(0)
    stuff = exact["semantic"][[1, 2]]
    relief = 0.25 * exact["boundary"][0] + 0.75 * (1 - exact["distance"][0])
    expected = {
        "heat": exact["centre"][0] * 65535,
        "relief": relief * 65535,
        "boundary": exact["boundary"][0] * 255,
        "field": field * 255,
        "stuff_score": stuff.max(0) / stuff.sum(0) * 255,
    }
    for name, values in expected.items():
        assert np.abs(layers[name] - values).max() <= 0.51, name
    np.testing.assert_array_equal(layers["thing"], exact["semantic"][[0, 3]].argmax(0))
    np.testing.assert_array_equal(layers["stuff"], stuff.argmax(0))
    assert [layers[name].dtype for name in LAYERS] == [np.uint16] * 2 + [np.uint8] * 5


def test_invalid_pixels_hold_nothing():
    valid = np.zeros((7, 9), bool)
    valid[2, 3] = True
    layers = QUANTISE(outputs(1), valid)
    for name in LAYERS:
        assert (layers[name][~valid] == (NODATA_CLASS if name == "stuff" else 0)).all()
    assert layers["stuff"][2, 3] != NODATA_CLASS


def test_probabilities_outside_the_range_are_clipped():
    maps = {name: np.full((1, 1, 1), 1.5, np.float32) for name in ("centre", "boundary", "distance")}
    maps["semantic"] = np.full((4, 1, 1), 0.9, np.float32)
    layers = QUANTISE(maps, np.ones((1, 1), bool))
    assert (layers["heat"][0, 0], layers["field"][0, 0]) == (65535, 255)
