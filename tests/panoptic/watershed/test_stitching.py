"""Stitching: independent of order, threads and processes, and of what is missing."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from geopanoptic.grid import Window
from geopanoptic.panoptic.watershed.forest import forest_block
from geopanoptic.panoptic.watershed.stitching import stitch
from geopanoptic.panoptic.watershed.watershed import label_block

NO_SEEDS = np.array([], np.int64)


def test_the_order_of_the_summaries_and_pickling_do_not_matter() -> None:
    rng = np.random.default_rng(5)
    relief = rng.integers(0, 4, (40, 40)).astype(np.uint16)
    domain = rng.random(relief.shape) < 0.9
    seeds = rng.choice(relief.size, 7, replace=False)
    windows = [Window(row, col, row + 8, col + 8) for row in range(0, 40, 8) for col in range(0, 40, 8)]
    with ThreadPoolExecutor(4) as pool:
        summaries = list(
            pool.map(
                lambda w: forest_block(relief[w.slices()], domain[w.slices()], seeds, w, (40, 40)).summary,
                windows,
            )
        )
    expected = stitch(summaries)
    shuffled = stitch(pickle.loads(pickle.dumps(summaries[i])) for i in rng.permutation(len(summaries)))
    assert list(expected) == list(shuffled) == windows
    for window in windows:
        np.testing.assert_array_equal(expected[window], shuffled[window])


def test_indices_beyond_32_bits() -> None:
    # Two blocks in the last corner of a scene of 100,000 x 100,000 pixels.
    side = 100_000
    windows = [Window(side - 2, side - 4, side, side - 2), Window(side - 2, side - 2, side, side)]
    relief, domain = np.zeros((2, 2), np.uint16), np.ones((2, 2), bool)
    seed = np.array([side * side - 1])
    forests = [forest_block(relief, domain, seed, window, (side, side)) for window in windows]
    terminals = stitch(forest.summary for forest in forests)
    for window, forest in zip(windows, forests, strict=True):
        assert (label_block(forest, terminals[window]) == side * side).all()


def test_a_missing_block_counts_as_outside_the_domain() -> None:
    relief, domain = np.zeros((4, 2), np.uint16), np.ones((4, 2), bool)
    west, east = Window(0, 0, 4, 2), Window(0, 4, 4, 6)
    forests = {window: forest_block(relief, domain, np.array([0]), window, (4, 6)) for window in (west, east)}
    terminals = stitch(forest.summary for forest in forests.values())
    assert (label_block(forests[west], terminals[west]) == 1).all()
    assert not label_block(forests[east], terminals[east]).any()


def test_refuses_summaries_that_do_not_fit() -> None:
    relief, domain, window = np.zeros((4, 4), np.uint16), np.ones((4, 4), bool), Window(0, 0, 4, 4)
    of_eight = forest_block(relief, domain, NO_SEEDS, window, (8, 4)).summary
    of_nine = forest_block(relief, domain, NO_SEEDS, window, (9, 4)).summary
    with pytest.raises(ValueError, match="overlap"):
        stitch([of_eight, of_eight])
    with pytest.raises(ValueError, match="agree"):
        stitch([of_eight, of_nine])
    assert stitch([]) == {}
