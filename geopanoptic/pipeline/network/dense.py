"""Stage A: read tiles with halo, run the network, keep the core, quantise, store blocks.

A block is one task. The network takes one batch of tiles at a time in a process, so that it has all cores or
the GPU to itself, and sees it date by date; it keeps sums over the dates, so neither the number of dates nor
the size of a scene is felt in memory. While it looks at one date the next one is read; a second task of the
same process reads its first date and stores in the meantime. The network is then the only thing a run waits for.
A tile is quantised by the thread that computed it, from where the runtime left it: floats are never copied.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import groupby, islice
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from geopanoptic.grid import Window
from geopanoptic.panoptic.quantisation import LAYERS, Quantiser, empty_layers
from geopanoptic.pipeline.execution.executor import NETWORK_TASKS
from geopanoptic.pipeline.network.reading import DateReader
from geopanoptic.pipeline.planning.layout import Layout
from geopanoptic.pipeline.store.losses import in_part, note_losses
from geopanoptic.pipeline.store.run_store import RunStore
from geopanoptic.scene.files.blocks import OnUnreadable, UnreadableBlock, refuse

Outputs = Mapping[str, NDArray[Any]]
Take = Callable[[int, Outputs], None]
DatedTiles = tuple[NDArray[np.float32], float]
"""Tiles (B, C, h, w) of one date, and its day of the year, see ``season_day``. Valid until the date after the next."""


class Network(Protocol):
    """What is asked of a runtime."""

    @property
    def on_gpu(self) -> bool:
        """Whether what it gives with a quantisation stays valid after the call."""

    def each_over(
        self, dates: Iterable[DatedTiles], take: Take, quantisation: Quantiser | None = None
    ) -> None:
        """Give ``take`` the number of every tile and its probabilities (C, H, W) by name, seen on all dates, or the layers
        (H, W) that ``quantisation`` would make of them.

        They cover the tile or the middle of it and are valid during the call; calls may come from several threads
        at once. Dates are taken one at a time; one on which a tile has no flag changes nothing for it.
        """


class Mask(Protocol):
    """Says which output pixels of a window are wanted, (h, w) bool."""

    def __call__(self, window: Window) -> NDArray[np.bool_]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseCount:
    """What became of a block: pixels given to the network (with halo, on every date), pixels kept, seconds in
    the network."""

    network_px: int
    core_px: int
    network_s: float
    unreadable: tuple[UnreadableBlock, ...] = ()
    """Blocks of the scene's files that could not be decoded and are nodata now, on their date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InferBlock:
    """Task: fill the store with the layers of one block (output pixels).

    ``dates`` are read in their order, which is the order of the network's sums; an output pixel is valid where
    it is valid on any of them. ``network`` gives the network in the process that computes; it is asked for in
    every task, so it should remember. ``scale`` is the number of output pixels per input pixel along an axis.
    ``skip_unreadable``: what cannot be decoded of the scene becomes nodata; the block is then stored in part, so
    that a run that continues this one tries again and says so again.
    """

    store: RunStore
    layout: Layout
    scale: int
    dates: Sequence[DateReader]
    network: Callable[[], Network]
    quantise: Quantiser
    wanted: Mask | None = None
    skip_unreadable: bool = False

    def __call__(self, block: Window) -> DenseCount:
        # A cluster may start as many tasks in a process as it has threads; all but two wait, without pixels.
        with _a_reader() as reader:
            return self._infer(block, reader)

    def _infer(self, block: Window, reader: _Reader) -> DenseCount:
        layers = empty_layers(block.shape)
        network_px, network_s = 0, 0.0
        unreadable: list[UnreadableBlock] = []
        on_unreadable = unreadable.append if self.skip_unreadable else refuse
        for tiles in _batches(self._tiles(block), self.layout.batch):
            sight = _Ahead(reader.thread, self._look(tiles, reader, on_unreadable))
            if sight.is_empty:
                continue
            keep = partial(self._keep_core, tiles, block, layers)
            left: list[tuple[int, Outputs]] = []
            with network_turn():
                network = self.network()
                # A GPU does not wait until the processor has put away what it gave.
                take = partial(_leave, left) if network.on_gpu else keep
                started, waited_s = time.perf_counter(), sight.waited_s
                network.each_over(sight, take, self.quantise)
                network_s += time.perf_counter() - started - (sight.waited_s - waited_s)
            for given in left:
                keep(*given)
            network_px += sight.given_px
        _write(store_for(self.store, block, unreadable), block, layers)
        return DenseCount(
            network_px=network_px,
            core_px=block.size_px // self.scale**2,
            network_s=network_s,
            unreadable=tuple(unreadable),
        )

    def _tiles(self, block: Window) -> Iterator[_Tile]:
        """The tiles of which anything is wanted."""
        for core in self.layout.cores(block.covering(self.scale)):
            wanted = None if self.wanted is None else self.wanted(core.scaled(self.scale))
            if wanted is None or wanted.any():
                yield _Tile(core=core, wanted=wanted, valid=np.zeros(core.shape, np.bool_))

    def _look(
        self, tiles: Sequence[_Tile], reader: _Reader, on_unreadable: OnUnreadable
    ) -> Iterator[DatedTiles]:
        """The tiles on each date that shows anything of them; gathers their validity on the way."""
        given = 0
        for date in self.dates:
            shape = tiles[0].core.grown(self.layout.halo_px).shape
            # In the network is the one before, at most.
            input_bchw = reader.array(given % 2, (len(tiles), date.n_channels, *shape))
            if self._show(tiles, date, on_unreadable, input_bchw):
                given += 1
                yield input_bchw, date.day

    def _show(
        self,
        tiles: Sequence[_Tile],
        date: DateReader,
        on_unreadable: OnUnreadable,
        input_bchw: NDArray[np.float32],
    ) -> bool:
        """Whether the date shows anything of the tiles."""
        halo = self.layout.halo_px
        shows_anything = False
        for tile, input_chw in zip(tiles, input_bchw, strict=True):
            _, valid = date(tile.core.grown(halo), on_unreadable, into=input_chw)
            core = np.s_[halo : valid.shape[0] - halo, halo : valid.shape[1] - halo]
            np.logical_or(tile.valid, valid[core], out=tile.valid)
            shows_anything = shows_anything or bool(valid.any())
        return shows_anything

    def _keep_core(
        self,
        tiles: Sequence[_Tile],
        block: Window,
        layers: Mapping[str, NDArray[np.generic]],
        number: int,
        outputs: Outputs,
    ) -> None:
        tile = tiles[number]
        valid = tile.valid.repeat(self.scale, axis=0).repeat(self.scale, axis=1)
        if tile.wanted is not None:
            valid &= tile.wanted
        if valid.any():
            self.quantise.fill(layers, block, outputs, valid, tile.core.scaled(self.scale))


def _leave(left: list[tuple[int, Outputs]], number: int, outputs: Outputs) -> None:
    left.append((number, outputs))


def write_nodata(store: RunStore, block: Window) -> None:
    """Store the layers of a block that shows nothing."""
    _write(store, block, empty_layers(block.shape))


def store_for(store: RunStore, block: Window, unreadable: Sequence[UnreadableBlock]) -> RunStore:
    """Where a block goes, some blocks of files of which could not be decoded or none; it is noted which."""
    if not unreadable:
        return store
    note_losses(store, block, [(lost.to_json(), lost.message) for lost in dict.fromkeys(unreadable)])
    return in_part(store)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Tile:
    core: Window
    wanted: NDArray[np.bool_] | None
    """The core's output pixels that are asked for; None: all."""
    valid: NDArray[np.bool_]
    """The core's input pixels that were valid on any date so far."""


class _Ahead(Iterator[DatedTiles]):
    """``dates``, of which the next one is made on ``reader`` while the caller works on one."""

    def __init__(self, reader: ThreadPoolExecutor, dates: Iterator[DatedTiles]) -> None:
        self._reader, self._dates = reader, dates
        self._next = reader.submit(next, dates, None)
        self.waited_s = 0.0
        self.given_px = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is no date at all; waits for the first."""
        return self._next.result() is None

    def __next__(self) -> DatedTiles:
        started = time.perf_counter()
        dated = self._next.result()
        self.waited_s += time.perf_counter() - started
        if dated is None:
            raise StopIteration
        self._next = self._reader.submit(next, self._dates, None)
        self.given_px += dated[0][:, 0].size
        return dated


@dataclass(slots=True, kw_only=True, eq=False)
class _Reader:
    """A thread to read in, and what it reads into: memory that is new costs more than what is put there."""

    thread: ThreadPoolExecutor
    arrays: dict[int, NDArray[np.float32]] = field(default_factory=dict)

    def array(self, number: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """One of its arrays, with whatever it holds."""
        if number not in self.arrays or self.arrays[number].shape != shape:
            self.arrays.pop(number, None)
            self.arrays[number] = np.empty(shape, np.float32)
        return self.arrays[number]


def release_readers() -> None:
    """Give back the memory of those that read for no task at the moment."""
    waiting: list[_Reader] = []
    with suppress(Empty):
        while True:
            waiting.append(_readers().get_nowait())
    for reader in waiting:
        reader.arrays.clear()
        _readers().put(reader)


@contextmanager
def _a_reader() -> Iterator[_Reader]:
    """Lets in the tasks of this process that may hold pixels, and gives each what it reads with."""
    reader = _readers().get()
    try:
        yield reader
    finally:
        _readers().put(reader)


@cache
def _readers() -> SimpleQueue[_Reader]:
    # Kept from task to task: a thread has its files open, and their decoded blocks cached.
    readers: SimpleQueue[_Reader] = SimpleQueue()
    for number in range(NETWORK_TASKS):
        readers.put(_Reader(thread=ThreadPoolExecutor(1, f"geopanoptic-reader-{number}")))
    return readers


@cache
def network_turn() -> Lock:
    """Held by the task of this process whose tiles are in the network."""
    return Lock()


def _batches(tiles: Iterator[_Tile], batch: int) -> Iterator[list[_Tile]]:
    """Runs of tiles of one shape, at most ``batch`` long."""
    for _, run in groupby(tiles, key=lambda tile: tile.core.shape):
        while chunk := list(islice(run, batch)):
            yield chunk


def _write(store: RunStore, block: Window, layers: Mapping[str, NDArray[np.generic]]) -> None:
    for name in LAYERS:
        store.write(name, block, layers[name])
