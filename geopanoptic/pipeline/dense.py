"""Stage A: read tiles with halo, run the network, keep the core, quantise, store blocks.

Reading ahead and quantising happen on a second thread while the network computes, so the network is the
only thing a run waits for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geopanoptic.grid import Window
from geopanoptic.panoptic.quantisation import LAYERS, NODATA_CLASS, Quantiser
from geopanoptic.pipeline.layout import Layout
from geopanoptic.pipeline.store import RunStore

Outputs = dict[str, NDArray[np.float32]]
Network = Callable[[NDArray[np.float32]], Outputs]


class TileReader(Protocol):
    """Gives the network's input (2K, h, w) float32 and validity (h, w) over any window of input pixels."""

    def __call__(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]: ...


class Mask(Protocol):
    """Says which output pixels of a window are wanted, (h, w) bool."""

    def __call__(self, window: Window) -> NDArray[np.bool_]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseCount:
    """What stage A did: pixels given to the network (with halo), pixels kept, seconds inside the network."""

    network_px: int
    core_px: int
    network_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tile:
    core: Window
    input_chw: NDArray[np.float32] | None
    """None where the core has no valid pixel: the network need not look."""
    valid: NDArray[np.bool_]
    """Validity of the core's output pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Quantised layers of one tile core, at ``window`` (output pixels)."""

    window: Window
    layers: dict[str, NDArray[np.generic]]


def infer_blocks(
    store: RunStore,
    layout: Layout,
    scale: int,
    *,
    read: TileReader,
    network: Network,
    quantise: Quantiser,
    wanted: Mask | None = None,
    clock: Callable[[], float],
) -> Iterator[tuple[Window, DenseCount]]:
    """Fill the store with the layers of every block; yields each block (output pixels) once it is stored."""

    def load(core: Window) -> _Tile:
        input_chw, valid = read(core.grown(layout.halo_px))
        halo = layout.halo_px
        kept = valid[halo : valid.shape[0] - halo, halo : valid.shape[1] - halo]
        kept = kept.repeat(scale, axis=0).repeat(scale, axis=1)
        if wanted is not None and kept.any():
            kept &= wanted(core.scaled(scale))
        return _Tile(core=core, input_chw=input_chw if kept.any() else None, valid=kept)

    def quantised(tile: _Tile, outputs: Outputs, number: int) -> _Part:
        window = tile.core.scaled(scale)
        return _Part(
            window=window, layers=quantise(_core_of(outputs, number, layout.halo_px * scale), tile.valid)
        )

    def finish(block: Window, parts: Sequence[Future[_Part]]) -> Window:
        layers = _empty_layers(block)
        for part in (future.result() for future in parts):
            inside = part.window.intersection(block)
            if inside is not None:
                for name in LAYERS:
                    layers[name][inside.slices(block)] = part.layers[name][inside.slices(part.window)]
        for name in LAYERS:
            store.write(name, block, layers[name])
        return block

    blocks = store.blocks()
    cores = [layout.cores(block.covering(scale)) for block in blocks]
    with (
        ThreadPoolExecutor(1, "geopanoptic-read") as reader,
        ThreadPoolExecutor(1, "geopanoptic-write") as writer,
    ):
        ahead = _read_ahead(reader, load, [core for of_block in cores for core in of_block], layout.batch + 1)
        writing: deque[tuple[Future[Window], DenseCount]] = deque()
        busy: list[Future[_Part]] = []
        for block, of_block in zip(blocks, cores, strict=True):
            parts: list[Future[_Part]] = []
            network_px, network_s = 0, 0.0
            for tiles in _batches((next(ahead) for _ in of_block), layout.batch):
                inputs = [tile.input_chw for tile in tiles if tile.input_chw is not None]
                if not inputs:
                    continue
                started = clock()
                outputs = network(np.stack(inputs))
                network_s += clock() - started
                network_px += sum(array[0].size for array in inputs)
                # At most one batch of float outputs waits to be quantised: 36 bytes an output pixel.
                wait(busy)
                busy = [writer.submit(quantised, tile, outputs, number) for number, tile in enumerate(tiles)]
                parts += busy
            while len(writing) > 1:
                yield _stored(*writing.popleft())
            counted = DenseCount(
                network_px=network_px, core_px=block.size_px // scale**2, network_s=network_s
            )
            writing.append((writer.submit(finish, block, parts), counted))
        while writing:
            yield _stored(*writing.popleft())


def _stored(future: Future[Window], count: DenseCount) -> tuple[Window, DenseCount]:
    return future.result(), count


def _read_ahead(
    pool: ThreadPoolExecutor, load: Callable[[Window], _Tile], cores: Sequence[Window], depth: int
) -> Iterator[_Tile]:
    waiting: list[Future[_Tile]] = []
    for core in cores:
        waiting.append(pool.submit(load, core))
        if len(waiting) > depth:
            yield waiting.pop(0).result()
    for future in waiting:
        yield future.result()


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


def _core_of(outputs: Outputs, number: int, halo_px: int) -> Outputs:
    def cut(array: NDArray[np.float32]) -> NDArray[np.float32]:
        return array[number, :, halo_px : array.shape[2] - halo_px, halo_px : array.shape[3] - halo_px]

    return {name: np.ascontiguousarray(cut(array)) for name, array in outputs.items()}


def _empty_layers(block: Window) -> dict[str, NDArray[np.generic]]:
    wide = {"heat", "relief"}
    layers: dict[str, NDArray[np.generic]] = {
        name: np.zeros(block.shape, np.uint16 if name in wide else np.uint8) for name in LAYERS
    }
    layers["stuff"] = np.full(block.shape, NODATA_CLASS, np.uint8)
    return layers
