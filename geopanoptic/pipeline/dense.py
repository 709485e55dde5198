"""Stage A: read tiles with halo, run the network, keep the core, quantise, store blocks.

A block is one task. The network takes one batch at a time in a process, so that it has all cores or the GPU
to itself; a second task of the same process reads, quantises and stores in the meantime. The network is
then the only thing a run waits for, and at most two batches are in memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from threading import BoundedSemaphore, Lock
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geopanoptic.grid import Window
from geopanoptic.panoptic.quantisation import LAYERS, NODATA_CLASS, Quantiser
from geopanoptic.pipeline.execution.executor import NETWORK_TASKS
from geopanoptic.pipeline.layout import Layout
from geopanoptic.pipeline.store import RunStore
from geopanoptic.scene.blocks import OnUnreadable, UnreadableBlock, refuse

Outputs = dict[str, NDArray[np.float32]]
Network = Callable[[NDArray[np.float32]], Outputs]
"""From tiles (B, 2K, h, w) to probabilities (B, C, H, W) by name, over the tile or the middle of it."""


class TileReader(Protocol):
    """Gives the network's input (2K, h, w) float32 and validity (h, w) over any window of input pixels.

    ``on_unreadable`` as in ``Scene.read``.
    """

    def __call__(
        self, window: Window, on_unreadable: OnUnreadable = refuse
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]: ...


class Mask(Protocol):
    """Says which output pixels of a window are wanted, (h, w) bool."""

    def __call__(self, window: Window) -> NDArray[np.bool_]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseCount:
    """What became of a block: pixels given to the network (with halo), pixels kept, seconds in the network."""

    network_px: int
    core_px: int
    network_s: float
    unreadable: tuple[UnreadableBlock, ...] = ()
    """Blocks of the scene's files that could not be decoded and are nodata now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InferBlock:
    """Task: fill the store with the layers of one block (output pixels).

    ``network`` gives the network in the process that computes; it is asked for in every task, so it should
    remember. ``scale`` is the number of output pixels per input pixel along an axis. ``skip_unreadable``:
    what cannot be decoded of the scene becomes nodata; the result then carries no hash, so that a run that
    continues this one tries again and says so again.
    """

    store: RunStore
    layout: Layout
    scale: int
    read: TileReader
    network: Callable[[], Network]
    quantise: Quantiser
    wanted: Mask | None = None
    skip_unreadable: bool = False

    def __call__(self, block: Window) -> DenseCount:
        # A cluster may start as many tasks in a process as it has threads; all but two wait, without pixels.
        with _entrance():
            return self._infer(block)

    def _infer(self, block: Window) -> DenseCount:
        layers = _empty_layers(block)
        network_px, network_s = 0, 0.0
        unreadable: list[UnreadableBlock] = []
        on_unreadable = unreadable.append if self.skip_unreadable else refuse
        cores = self.layout.cores(block.covering(self.scale))
        for tiles in _batches((self._load(core, on_unreadable) for core in cores), self.layout.batch):
            inputs = [tile.input_chw for tile in tiles if tile.input_chw is not None]
            if not inputs:
                continue
            input_bchw = np.stack(inputs)
            with _network_turn():
                network = self.network()
                started = time.perf_counter()
                outputs = network(input_bchw)
                network_s += time.perf_counter() - started
            network_px += sum(array[0].size for array in inputs)
            for number, tile in enumerate(tiles):
                self._keep_core(outputs, number, tile, block, layers)
        _write(unsealed(self.store) if unreadable else self.store, block, layers)
        return DenseCount(
            network_px=network_px,
            core_px=block.size_px // self.scale**2,
            network_s=network_s,
            unreadable=tuple(unreadable),
        )

    def _load(self, core: Window, on_unreadable: OnUnreadable) -> _Tile:
        halo = self.layout.halo_px
        input_chw, valid = self.read(core.grown(halo), on_unreadable)
        kept = valid[halo : valid.shape[0] - halo, halo : valid.shape[1] - halo]
        kept = kept.repeat(self.scale, axis=0).repeat(self.scale, axis=1)
        if self.wanted is not None and kept.any():
            kept &= self.wanted(core.scaled(self.scale))
        return _Tile(core=core, input_chw=input_chw if kept.any() else None, valid=kept)

    def _keep_core(
        self,
        outputs: Outputs,
        number: int,
        tile: _Tile,
        block: Window,
        layers: dict[str, NDArray[np.generic]],
    ) -> None:
        core = {name: _middle(array[number], tile.valid.shape) for name, array in outputs.items()}
        quantised = self.quantise(core, tile.valid)
        window = tile.core.scaled(self.scale)
        inside = window.intersection(block)
        if inside is not None:
            for name in LAYERS:
                layers[name][inside.slices(block)] = quantised[name][inside.slices(window)]


def write_nodata(store: RunStore, block: Window) -> None:
    """Store the layers of a block that failed: no valid pixel, and no hash, so that it is tried again."""
    _write(unsealed(store), block, _empty_layers(block))


def unsealed(store: RunStore) -> RunStore:
    """The same store, whose new blocks a later run does not take for computed."""
    return replace(store, sealed=frozenset())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tile:
    core: Window
    input_chw: NDArray[np.float32] | None
    """None where the core has no valid pixel: the network need not look."""
    valid: NDArray[np.bool_]
    """Validity of the core's output pixels."""


@cache
def _entrance() -> BoundedSemaphore:
    """Lets in the tasks of this process that may hold pixels."""
    return BoundedSemaphore(NETWORK_TASKS)


@cache
def _network_turn() -> Lock:
    """Held by the task of this process whose tiles are in the network."""
    return Lock()


def _middle(array_chw: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """What is left of a tile's output without the halo, as far as the network has not left it out itself."""
    height, width = shape
    row0, col0 = (array_chw.shape[1] - height) // 2, (array_chw.shape[2] - width) // 2
    return np.ascontiguousarray(array_chw[:, row0 : row0 + height, col0 : col0 + width])


def _batches(tiles: Iterator[_Tile], batch: int) -> Iterator[list[_Tile]]:
    """Runs of tiles of one shape, all with or all without input, at most ``batch`` long."""
    for _, run in groupby(tiles, key=lambda tile: (tile.core.shape, tile.input_chw is None)):
        chunk: list[_Tile] = []
        for tile in run:
            chunk.append(tile)
            if len(chunk) == batch:
                yield chunk
                chunk = []
        if chunk:
            yield chunk


def _write(store: RunStore, block: Window, layers: dict[str, NDArray[np.generic]]) -> None:
    for name in LAYERS:
        store.write(name, block, layers[name])


def _empty_layers(block: Window) -> dict[str, NDArray[np.generic]]:
    wide = {"heat", "relief"}
    layers: dict[str, NDArray[np.generic]] = {
        name: np.zeros(block.shape, np.uint16 if name in wide else np.uint8) for name in LAYERS
    }
    layers["stuff"] = np.full(block.shape, NODATA_CLASS, np.uint8)
    return layers
