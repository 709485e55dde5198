"""The run store gives back what was written, over any window and any blocks."""

from __future__ import annotations

import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geopanoptic.grid import Window
from geopanoptic.pipeline.store.run_store import RunStore

BLOCK = Window(4, 8, 8, 12)


any_window = given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    block_px=st.integers(1, 17),
    corner=st.tuples(st.integers(-9, 45), st.integers(-9, 45)),
    size=st.tuples(st.integers(1, 30), st.integers(1, 30)),
)


@pytest.fixture
def store(tmp_path) -> RunStore:
    """One block of two sealed layers, others absent."""
    store = RunStore(folder=tmp_path, shape=(12, 16), block_px=4, seal="a run")
    store.write("heat", BLOCK, np.arange(16, dtype=np.uint16).reshape(4, 4))
    store.write("field", BLOCK, np.ones((4, 4), np.uint8))
    return store


@any_window
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


def test_a_block_is_held_once_all_its_layers_are_there(store):
    assert store.holds(["heat", "field"], BLOCK)
    assert not store.holds(["heat", "relief"], BLOCK)
    assert not store.holds(["heat"], Window(0, 0, 4, 4))
    assert pickle.loads(pickle.dumps(store)) == store


@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_rotten_bit_is_noticed(position, bit, tmp_path_factory):
    store = RunStore(folder=tmp_path_factory.mktemp("store"), shape=(12, 16), block_px=4)
    store.write("heat", BLOCK, np.arange(16, dtype=np.uint16).reshape(4, 4))
    path = next(store.folder.rglob("*.npy"))
    content = bytearray(path.read_bytes())
    content[int(position * len(content))] ^= 1 << bit
    path.write_bytes(content)
    assert not store.holds(["heat"], BLOCK)


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_cut_block_is_not_held(share, store):
    path = next((store.folder / "heat").iterdir())
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert not store.holds(["heat"], BLOCK)


def test_blocks_of_another_run_or_place_are_not_held(store):
    assert not replace(store, seal="another run").holds(["heat"], BLOCK)
    path = next((store.folder / "heat").iterdir())
    path.rename(path.with_name("000000000_000000000.npy"))
    assert not store.holds(["heat"], Window(0, 0, 4, 4))


def test_sealed_blocks_are_read_through_a_memory_map(store):
    assert isinstance(store._load("heat", 4, 8), np.memmap)
    np.testing.assert_array_equal(store.read("heat", BLOCK), np.arange(16).reshape(4, 4))


def test_many_writers_of_one_block_do_not_disturb_each_other(store):
    values = np.full((4, 4), 7, np.uint8)

    def work(_: int) -> bool:
        store.write("field", BLOCK, values)
        return store.holds(["field"], BLOCK) and bool((store.read("field", BLOCK) == 7).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(100)))
    assert len(list((store.folder / "field").iterdir())) == 1


def test_a_failed_write_leaves_the_block_as_it_was(store, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(store.folder), "replace", full)
    with pytest.raises(OSError, match="No space"):
        store.write("heat", BLOCK, np.zeros((4, 4), np.uint16))
    assert store.holds(["heat"], BLOCK)
    assert len(list((store.folder / "heat").iterdir())) == 1


@any_window
def test_blocks_in_a_window_are_those_that_intersect_it(shape, block_px, corner, size, tmp_path_factory):
    store = RunStore(folder=tmp_path_factory.getbasetemp(), shape=shape, block_px=block_px)
    window = Window(*corner, corner[0] + size[0], corner[1] + size[1])
    expected = [number for number, each in enumerate(store.blocks()) if each.intersection(window)]
    assert store.numbers_in(window) == expected


def test_a_block_of_another_layer_is_not_held(tmp_path):
    store = RunStore(folder=tmp_path, shape=(12, 16), block_px=4, seal="a run")
    for layer in ("boundary", "field"):
        store.write(layer, BLOCK, np.full((4, 4), len(layer), np.uint8))
    (held,), (other,) = ((store.folder / layer).iterdir() for layer in ("field", "boundary"))
    held.write_bytes(other.read_bytes())
    assert store.holds(["boundary"], BLOCK)
    assert not store.holds(["field"], BLOCK)


def test_a_block_that_is_written_again_has_another_stamp(tmp_path):
    store, block = RunStore(folder=tmp_path, shape=(4, 4), block_px=4), Window(0, 0, 4, 4)
    assert store.stamp("layer", block) is None
    store.write("layer", block, np.zeros((4, 4), np.uint8))
    before = store.stamp("layer", block)
    (path,) = (tmp_path / "layer").iterdir()
    os.utime(path, ns=(1, 1))
    assert store.stamp("layer", block) != before
