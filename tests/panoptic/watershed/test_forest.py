"""One block's zones and summary."""

from __future__ import annotations

import cc3d
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geopanoptic.grid import Window
from geopanoptic.panoptic.watershed.forest import forest_block

NO_SEEDS = np.array([], np.int64)


@pytest.mark.parametrize("levels", [1, 3, 65536])
@pytest.mark.parametrize("holes", [0, 0.1, 0.4])
def test_a_zone_is_connected_and_holds_one_terminal(levels: int, holes: float) -> None:
    rng = np.random.default_rng(levels)
    window = Window(10, 20, 40, 57)
    relief = rng.integers(0, levels, window.shape).astype(np.uint16)
    domain = rng.random(relief.shape) >= holes
    seeds = 100 * rng.integers(10, 40, 3) + rng.integers(20, 57, 3)
    forest = forest_block(relief, domain, seeds, window, (100, 100))
    zones, terminal, summary = forest.zones, forest.terminal, forest.summary
    n = len(summary.terminal_px)

    rows, cols = np.divmod(summary.terminal_px, 100)
    np.testing.assert_array_equal(zones[rows - 10, cols - 20][terminal[1:]], np.arange(1, n + 1))
    assert zones.max() == n
    assert not zones[~domain].any()
    assert cc3d.connected_components(zones, connectivity=4, return_N=True)[1] == n
    # Whatever of the domain a zone touches is in some zone, too.
    parts = cc3d.connected_components(domain.astype(np.uint8), connectivity=4)
    np.testing.assert_array_equal(zones > 0, domain & np.isin(parts, parts[zones > 0]))

    edges = coo_array((np.ones(len(summary.tree_ends)), summary.tree_ends.T), shape=(n, n))
    tree = connected_components(edges, directed=False)[1]
    seeded = np.isin(tree, tree[summary.terminal_is_seed])
    np.testing.assert_array_equal(seeded[terminal[1:]], np.arange(1, n + 1) <= forest.n_seeded)


def _summary_sizes(window: Window, domain: NDArray[np.bool_], seeds: NDArray[np.int64]) -> tuple[int, int]:
    rng = np.random.default_rng(1)
    relief = rng.integers(0, 65536, domain.shape).astype(np.uint16)
    summary = forest_block(relief, domain, seeds, window, (300, 300)).summary
    return len(summary.terminal_px), len(summary.tree_edge)


def test_the_summary_grows_with_the_perimeter_only() -> None:
    everywhere = np.ones((100, 100), bool)
    assert _summary_sizes(Window(100, 100, 200, 200), everywhere, NO_SEEDS) == (396, 395)
    # Faces on the scene's edge have no neighbour and publish nothing.
    assert _summary_sizes(Window(0, 0, 100, 100), everywhere, NO_SEEDS) == (199, 198)
    # Inside, the forest has one tree per seed: four edges fewer than terminals.
    terminals, edges = _summary_sizes(Window(0, 0, 100, 100), everywhere, np.array([0, 3, 900, 3030]))
    assert terminals == 203
    assert edges == 199
    assert _summary_sizes(Window(100, 100, 200, 200), ~everywhere, NO_SEEDS) == (0, 0)


def test_summary_of_a_hand_made_block() -> None:
    # Faces west and east; the ridge in the middle is all that is undecided.
    relief = np.array([[3, 1, 8, 2, 4]], np.uint16)
    window = Window(0, 10, 1, 15)
    block = forest_block(relief, np.ones((1, 5), bool), np.array([12, 99]), window, (1, 30))
    summary = block.summary
    assert summary.terminal_px.tolist() == [10, 12, 14]
    assert summary.terminal_relief.tolist() == [3, 8, 4]
    assert summary.terminal_is_seed.tolist() == [False, True, False]
    assert block.zones.tolist() == [[1, 1, 2, 3, 3]]
    assert block.terminal.tolist() == [-1, 0, 1, 2]
    assert block.n_seeded == 3
    assert summary.tree_ends.tolist() == [[0, 1], [1, 2]]
    assert summary.tree_weight.tolist() == [8 << 16 | 1, 8 << 16 | 2]
    assert summary.tree_edge.tolist() == [22, 24]


def test_arrays_need_not_be_contiguous() -> None:
    rng = np.random.default_rng(3)
    relief = rng.integers(0, 9, (40, 40)).astype(np.uint16)
    domain = rng.random((40, 40)) < 0.9
    window, seeds = Window(0, 0, 20, 20), np.array([5])
    strided = forest_block(relief[::2, ::2], domain[::2, ::2], seeds, window, (20, 20))
    packed = forest_block(relief[::2, ::2].copy(), domain[::2, ::2].copy(), seeds, window, (20, 20))
    np.testing.assert_array_equal(strided.zones, packed.zones)


def test_refuses_what_does_not_fit() -> None:
    relief, domain, window = np.zeros((4, 4), np.uint16), np.ones((4, 4), bool), Window(0, 0, 4, 4)
    with pytest.raises(ValueError, match="must be"):
        forest_block(relief[1:], domain, NO_SEEDS, window, (4, 4))
    with pytest.raises(ValueError, match="uint16"):
        forest_block(relief.astype(np.int32), domain, NO_SEEDS, window, (4, 4))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="leaves the scene"):
        forest_block(relief, domain, NO_SEEDS, window, (4, 3))
