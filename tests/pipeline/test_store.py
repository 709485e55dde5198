"""The run store gives back what was written, over any window and any blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geopanoptic.grid import Window
from geopanoptic.pipeline.store import RunStore


@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    block_px=st.integers(1, 17),
    corner=st.tuples(st.integers(-9, 45), st.integers(-9, 45)),
    size=st.tuples(st.integers(1, 30), st.integers(1, 30)),
)
def test_any_window_reads_as_from_one_array(shape, block_px, corner, size, tmp_path_factory):
    store = RunStore(folder=tmp_path_factory.mktemp("store"), shape=shape, block_px=block_px)
    whole = np.random.default_rng(0).integers(1, 9, shape).astype(np.uint16)
    for block in store.blocks():
        store.write("layer", block, whole[block.slices()])
    window = Window(*corner, corner[0] + size[0], corner[1] + size[1])
    padded = np.pad(whole, 90)
    expected = padded[window.row0 + 90 : window.row1 + 90, window.col0 + 90 : window.col1 + 90]
    found = store.read("layer", window)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, expected)


def test_a_read_array_is_the_readers_own(tmp_path):
    store = RunStore(folder=tmp_path, shape=(4, 4), block_px=4)
    store.write("layer", Window(0, 0, 4, 4), np.ones((4, 4), np.uint8))
    store.read("layer", Window(0, 0, 4, 4))[:] = 7
    assert (store.read("layer", Window(0, 0, 4, 4)) == 1).all()


def test_dropped_layers_leave_nothing(tmp_path):
    store = RunStore(folder=tmp_path, shape=(4, 4), block_px=2)
    for block in store.blocks():
        store.write("layer", block, np.ones((2, 2), np.uint8))
    store.drop("layer")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        store.read("layer", Window(0, 0, 1, 1))
