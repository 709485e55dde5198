"""The dense stage over several dates: what is shown to the network, in which order, and how much at a time."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import CHANNELS, QUANTISER, Oracle, segment_maps, truth_maps

from geopanoptic.grid import Window
from geopanoptic.panoptic.quantisation import LAYERS, NODATA_CLASS
from geopanoptic.pipeline.execution.executor import NETWORK_TASKS
from geopanoptic.pipeline.network.dense import InferBlock, _readers, network_turn, release_readers, store_for
from geopanoptic.pipeline.network.reading import ArrayDate
from geopanoptic.pipeline.planning.layout import Layout
from geopanoptic.pipeline.store.losses import losses_of
from geopanoptic.pipeline.store.run_store import RunStore
from geopanoptic.scene.files.blocks import UnreadableBlock

SHAPE = (60, 70)


def date(value: float, valid: np.ndarray, *, day: float = 100.0) -> ArrayDate:
    """A date whose every map is ``value`` where it is valid."""
    maps = np.full((CHANNELS, *valid.shape), value, np.float32) * valid
    return ArrayDate(input_chw=maps, valid_hw=valid, day=day)


def patches(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.kron(rng.random((6, 7)) < 0.4, np.ones((10, 10), bool))


@dataclass
class Watched:
    """Counts how far reading runs ahead of the network, and remembers what the network was shown."""

    dates: list[ArrayDate]
    read: int = 0
    ahead: int = 0
    taken: int = 0
    days: list[float] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)
    on_gpu: bool = False

    def each_over(self, dates, take, quantisation=None):
        def watched():
            for tiles, day in dates:
                self.taken += 1
                self.days.append(day)
                yield tiles, day

        Oracle().each_over(watched(), take)

    def readers(self):
        return [_WatchedDate(self, each) for each in self.dates]


@dataclass
class _WatchedDate:
    watched: Watched
    date: ArrayDate

    @property
    def day(self):
        return self.date.day

    @property
    def n_channels(self):
        return self.date.n_channels

    def __call__(self, window, on_unreadable=None, *, into=None):
        self.watched.read += 1
        self.watched.ahead = max(self.watched.ahead, self.watched.read - self.watched.taken)
        self.watched.threads.add(threading.current_thread().name)
        return self.date(window, into=into)


def infer(folder, dates, network, *, tile_px=32, block_px=64, batch=1, **settings) -> RunStore:
    store = RunStore(folder=folder, shape=SHAPE, block_px=block_px)
    layout = Layout(tile_px=tile_px, halo_px=16, stride_px=16, block_px=block_px, batch=batch)
    task = InferBlock(
        store=store,
        layout=layout,
        scale=1,
        dates=dates,
        network=network,
        quantise=QUANTISER,
        **settings,
    )
    for block in store.blocks():
        task(block)
    return store


def test_one_date_is_read_ahead_and_no_more(tmp_path):
    valid = np.ones(SHAPE, bool)
    watched = Watched(dates=[date(0.1, valid, day=float(number)) for number in range(1, 31)])
    infer(tmp_path, watched.readers(), lambda: watched, tile_px=80, block_px=80)
    assert watched.taken == watched.read == 30
    assert watched.ahead <= 2
    assert watched.days == sorted(watched.days)
    assert all(name.startswith("geopanoptic-reader") for name in watched.threads)


def test_dates_without_a_valid_pixel_are_not_shown(tmp_path):
    seen, hidden = np.ones(SHAPE, bool), np.zeros(SHAPE, bool)
    watched = Watched(
        dates=[date(0.1, hidden, day=1.0), date(0.1, seen, day=2.0), date(0.1, hidden, day=3.0)]
    )
    infer(tmp_path, watched.readers(), lambda: watched, tile_px=80, block_px=80)
    assert watched.days == [2.0]


def test_a_network_is_not_asked_where_nothing_is_to_be_seen(tmp_path):
    def refuse():
        raise AssertionError("the network was asked")

    store = infer(tmp_path, [date(0.1, np.zeros(SHAPE, bool))] * 3, refuse)
    assert (store.read("stuff", Window(0, 0, *SHAPE)) == NODATA_CLASS).all()
    store = infer(
        tmp_path, [date(0.1, np.ones(SHAPE, bool))], refuse, wanted=lambda w: np.zeros(w.shape, bool)
    )
    assert (store.read("stuff", Window(0, 0, *SHAPE)) == NODATA_CLASS).all()


@settings(max_examples=15)
@given(
    seeds=st.lists(st.integers(0, 99), min_size=1, max_size=4),
    tile_px=st.sampled_from([16, 32, 80]),
    block_px=st.integers(20, 90),
    batch=st.integers(1, 3),
)
def test_validity_is_that_of_any_date_and_sums_do_not_depend_on_the_layout(
    seeds, tile_px, block_px, batch, tmp_path_factory
):
    valid = [patches(seed) for seed in seeds]
    dates = [date(0.1 * (number + 1), each) for number, each in enumerate(valid)]
    store = infer(
        tmp_path_factory.mktemp("store"), dates, Oracle, tile_px=tile_px, block_px=block_px, batch=batch
    )
    whole = infer(tmp_path_factory.mktemp("whole"), dates, Oracle, tile_px=80, block_px=80)
    for name in LAYERS:
        window = Window(0, 0, *SHAPE)
        np.testing.assert_array_equal(store.read(name, window), whole.read(name, window))
    np.testing.assert_array_equal(
        whole.read("stuff", Window(0, 0, *SHAPE)) != NODATA_CLASS, np.any(valid, axis=0)
    )


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_parcels_that_no_date_shows_whole_are_found(order, tmp_path):
    instances = np.kron(np.arange(1, 13).reshape(3, 4), np.ones((20, 20), np.int32))
    maps = truth_maps(instances, np.zeros(instances.shape, np.int32))
    shown = np.random.default_rng(1).integers(0, 3, instances.shape)
    dates = [ArrayDate(input_chw=maps * (shown == k), valid_hw=shown == k) for k in order]
    found, final = segment_maps(maps, shown >= 0, tmp_path / "series", dates=dates)
    expected, _ = segment_maps(maps, shown >= 0, tmp_path / "whole")
    np.testing.assert_array_equal(found, expected)
    assert final.n_things == 12


def test_a_date_that_shows_one_tile_of_several_counts(tmp_path):
    corner = np.zeros(SHAPE, bool)
    corner[:20, :10] = True
    dates = [date(0.5, np.ones(SHAPE, bool)), date(0.25, corner)]
    several = infer(tmp_path / "several", dates, Oracle, tile_px=16, batch=4)
    alone = infer(tmp_path / "alone", dates, Oracle, tile_px=16, batch=1)
    window = Window(0, 0, *SHAPE)
    for name in LAYERS:
        np.testing.assert_array_equal(several.read(name, window), alone.read(name, window))


def test_within_a_tile_only_the_pixels_that_are_wanted_are_kept(tmp_path):
    wanted = np.pad(patches(3), ((0, 40), (0, 40)))
    seen = [date(0.5, np.ones(SHAPE, bool))]
    store = infer(tmp_path, seen, Oracle, wanted=lambda window: wanted[window.slices()])
    kept = store.read("stuff", Window(0, 0, *SHAPE)) != NODATA_CLASS
    np.testing.assert_array_equal(kept, wanted[: SHAPE[0], : SHAPE[1]])


def test_readers_that_wait_hold_no_memory(tmp_path):
    infer(tmp_path, [date(0.5, np.ones(SHAPE, bool))], Oracle)
    release_readers()
    readers = [_readers().get_nowait() for _ in range(NETWORK_TASKS)]
    for reader in readers:
        _readers().put(reader)
    assert not any(reader.arrays for reader in readers)


def test_what_two_tiles_miss_is_noted_once(tmp_path):
    store, block = RunStore(folder=tmp_path, shape=(8, 8), block_px=8), Window(0, 0, 8, 8)
    lost = [
        UnreadableBlock(file="a.tif", window=Window(0, 0, 4, 4), reason=reason) for reason in ("cut", "short")
    ]
    store_for(store, block, lost)
    assert [each["reason"] for each, _ in losses_of(store, block)] == ["cut"]


def test_pixels_of_a_block_are_counted_in_the_scenes_own(tmp_path):
    store = RunStore(folder=tmp_path, shape=SHAPE, block_px=80)
    layout = Layout(tile_px=80, halo_px=16, stride_px=16, block_px=80, batch=1)
    dates = [date(0.5, np.ones(SHAPE, bool))] * 2
    task = InferBlock(store=store, layout=layout, scale=1, dates=dates, network=Oracle, quantise=QUANTISER)
    (block,) = store.blocks()
    count = task(block)
    assert (count.core_px, count.network_px) == (60 * 70, 2 * (64 + 32) * (80 + 32))
    nothing = replace(task, scale=2, wanted=lambda window: np.zeros(window.shape, bool))(block)
    assert (nothing.core_px, nothing.network_px) == (30 * 35, 0)


class WatchedQuantiser:
    def __init__(self):
        self.in_turn = []

    def fill(self, *given):
        self.in_turn.append(network_turn().locked())
        QUANTISER.fill(*given)


class OracleOnGpu(Oracle):
    on_gpu = True


def test_a_gpu_does_not_wait_until_its_tiles_are_put_away(tmp_path):
    layout = Layout(tile_px=64, halo_px=16, stride_px=16, block_px=80, batch=2)
    dates = [date(0.5, patches(1)), date(0.25, patches(2))]
    stored = {}
    for network in (Oracle, OracleOnGpu):
        quantise = WatchedQuantiser()
        store = RunStore(folder=tmp_path / network.__name__, shape=SHAPE, block_px=80)
        task = InferBlock(
            store=store, layout=layout, scale=1, dates=dates, network=network, quantise=quantise
        )
        (block,) = store.blocks()
        task(block)
        assert set(quantise.in_turn) == {not network.on_gpu}
        stored[network] = [store.read(name, block).tobytes() for name in LAYERS]
    assert stored[Oracle] == stored[OracleOnGpu]


def test_one_block_at_a_time_is_in_the_network(tmp_path):
    inside = threading.Semaphore(1)

    class Alone:
        on_gpu = False

        def each_over(self, dates, take, quantisation=None):
            assert inside.acquire(blocking=False), "two blocks are in the network"
            Oracle().each_over(dates, take)
            time.sleep(0.02)
            inside.release()

    store = RunStore(folder=tmp_path, shape=SHAPE, block_px=20)
    task = InferBlock(
        store=store,
        layout=Layout(tile_px=32, halo_px=16, stride_px=16, block_px=20, batch=1),
        scale=1,
        dates=[date(0.5, np.ones(SHAPE, bool))],
        network=Alone,
        quantise=QUANTISER,
    )
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(task, store.blocks()))
