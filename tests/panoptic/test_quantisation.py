"""Quantised layers: rounding, nodata, and independence of what lies beside a pixel."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from geopanoptic.grid import Window
from geopanoptic.panoptic.quantisation import LAYERS, NODATA_CLASS, Quantiser, empty_layers, was_compiled

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
    thing, stuff = exact["semantic"][[0, 3]], exact["semantic"][[1, 2]]
    relief = 0.25 * exact["boundary"][0] + 0.75 * (1 - exact["distance"][0])
    expected = {
        "heat": exact["centre"][0] * 65535,
        "relief": relief * 65535,
        "boundary": exact["boundary"][0] * 255,
        "field": field * 255,
        "thing_score": thing.max(0) / thing.sum(0) * 255,
        "stuff_score": stuff.max(0) / stuff.sum(0) * 255,
    }
    for name, values in expected.items():
        assert np.abs(layers[name] - values).max() <= 0.51, name
    np.testing.assert_array_equal(layers["thing"], thing.argmax(0))
    np.testing.assert_array_equal(layers["stuff"], stuff.argmax(0))
    assert [layers[name].dtype for name in LAYERS] == [np.uint16] * 2 + [np.uint8] * 6


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


@given(
    seed=st.integers(0, 1000),
    rows=st.tuples(st.integers(0, 6), st.integers(1, 7)),
    cols=st.tuples(st.integers(0, 8), st.integers(1, 9)),
)
def test_any_crop_gives_the_layers_of_the_whole(seed, rows, cols):
    part = np.s_[..., rows[0] : rows[0] + rows[1], cols[0] : cols[0] + cols[1]]
    maps = outputs(seed)
    valid = np.random.default_rng(seed).random((7, 9)) < 0.8
    whole = QUANTISE(maps, valid)
    crop = QUANTISE({name: array[part] for name, array in maps.items()}, valid[part])
    for name in LAYERS:
        np.testing.assert_array_equal(crop[name], whole[name][part])


@given(
    seed=st.integers(0, 1000),
    surplus=st.integers(0, 3),
    row=st.integers(1, 6),
    col=st.integers(1, 8),
    on_device=st.booleans(),
)
def test_tiles_fill_a_block_from_outputs_with_a_surplus(seed, surplus, row, col, on_device):
    maps, valid = outputs(seed), np.random.default_rng(seed).random((7, 9)) < 0.8
    block = Window(1, 0, 7, 8)
    layers = empty_layers(block.shape)
    for tile in (
        Window(0, 0, row, col),
        Window(0, col, row, 9),
        Window(row, 0, 7, col),
        Window(row, col, 7, 9),
    ):
        around = [(0, 0), (surplus, surplus), (surplus, surplus)]
        part = {name: np.pad(array[(..., *tile.slices())], around) for name, array in maps.items()}
        if on_device:
            part = QUANTISE(part, np.ones(part["semantic"].shape[1:], bool))
        QUANTISE.fill(layers, block, part, valid[tile.slices()], tile)
    for name, layer in QUANTISE(maps, valid).items():
        np.testing.assert_array_equal(layers[name], layer[block.slices()])


def single(semantic: list[float], centre: float, boundary: float, distance: float) -> dict[str, int]:
    """The layers of one pixel."""
    maps = {"semantic": np.array(semantic, np.float32).reshape(-1, 1, 1)}
    for name, value in {"centre": centre, "boundary": boundary, "distance": distance}.items():
        maps[name] = np.full((1, 1), value, np.float32)
    return {name: int(layer[0, 0]) for name, layer in QUANTISE(maps, np.ones((1, 1), bool)).items()}


def test_the_ends_of_the_range_are_met_exactly():
    low = single([0, 1, 0, 0], centre=0, boundary=0, distance=1)
    assert low == {
        "heat": 0,
        "relief": 0,
        "boundary": 0,
        "field": 0,
        "thing": 0,
        "thing_score": 0,
        "stuff": 0,
        "stuff_score": 255,
    }
    high = single([0, 0, 0, 1], centre=1, boundary=1, distance=0)
    assert high == {
        "heat": 65535,
        "relief": 65535,
        "boundary": 255,
        "field": 255,
        "thing": 1,
        "thing_score": 255,
        "stuff": 0,
        "stuff_score": 0,
    }


def test_equal_probabilities_take_the_first_class():
    layers = single([0.25, 0.25, 0.25, 0.25], centre=0, boundary=0, distance=0)
    assert (layers["thing"], layers["stuff"], layers["stuff_score"]) == (0, 0, 128)


@given(
    weight=st.floats(0, 1, width=32), boundary=st.floats(0, 1, width=32), distance=st.floats(0, 1, width=32)
)
def test_relief_rises_with_boundary_and_falls_with_distance(weight, boundary, distance):
    mix = Quantiser(thing_channels=(0,), stuff_channels=(1,), relief_boundary_weight=weight)

    def relief(boundary: float, distance: float) -> int:
        maps = {name: np.zeros((1, 1), np.float32) for name in ("centre", "boundary", "distance")}
        maps["boundary"][:], maps["distance"][:] = boundary, distance
        maps["semantic"] = np.full((2, 1, 1), 0.5, np.float32)
        return int(mix(maps, np.ones((1, 1), bool))["relief"][0, 0])

    here = relief(boundary, distance)
    assert relief(0, distance) <= here <= relief(1, distance)
    assert relief(boundary, 1) <= here <= relief(boundary, 0)
    assert abs(here - 65535 * (weight * boundary + (1 - weight) * (1 - distance))) <= 0.51


def test_maps_may_come_with_or_without_a_channel_axis():
    maps = outputs(4)
    flat = {name: array[0] for name, array in maps.items() if name != "semantic"} | {
        "semantic": maps["semantic"]
    }
    valid = np.ones((7, 9), bool)
    for name, layer in QUANTISE(maps, valid).items():
        np.testing.assert_array_equal(QUANTISE(flat, valid)[name], layer)


def test_it_is_known_whether_kernels_were_compiled_before(tmp_path):
    command = "from geopanoptic.panoptic.quantisation import was_compiled; print(was_compiled())"
    elsewhere = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    asked = subprocess.run(
        [sys.executable, "-c", command], env=elsewhere, capture_output=True, text=True, check=True
    )
    assert asked.stdout.split() == ["False"]
    QUANTISE(outputs(0), np.ones((7, 9), bool))
    assert was_compiled()
