"""The block-wise watershed against the whole-array forest, and against its own definition."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree
from whole_array_forest import whole_array_forest

from geopanoptic.grid import Window
from geopanoptic.panoptic.forest import DOWN_BIT, RIGHT_BIT, BlockForest, forest_block
from geopanoptic.panoptic.watershed import label_block, stitch, watershed

FOUR_NEIGHBOURS = [[0, 1, 0], [1, 1, 1], [0, 1, 0]]

Relief = NDArray[np.uint16]
Domain = NDArray[np.bool_]
Seeds = NDArray[np.int64]


def random_case(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Relief, Domain, Seeds]:
    """Few or many relief levels, smooth or not, holes in the domain, 0 to 7 seeds, some of them in holes."""
    levels = int(rng.choice([1, 2, 3, 6, 40, 65536]))
    relief = rng.integers(0, levels, shape)
    if levels > 6 and rng.random() < 0.5:
        smooth = gaussian_filter(rng.normal(size=shape), 2)
        relief = (smooth - smooth.min()) / (np.ptp(smooth) or 1) * (levels - 1)
    domain = rng.random(shape) >= rng.choice([0, 0.05, 0.3, 0.5])
    size = shape[0] * shape[1]
    seeds = rng.choice(size, min(int(rng.integers(0, 8)), size), replace=False)
    return relief.astype(np.uint16), domain, seeds.astype(np.int64)


@pytest.mark.parametrize("batch", range(10))
def test_equals_the_whole_array_forest_on_random_reliefs(batch: int) -> None:
    rng = np.random.default_rng(batch)
    for _ in range(120):
        shape = int(rng.integers(1, 41)), int(rng.integers(1, 41))
        relief, domain, seeds = random_case(rng, shape)
        expected = whole_array_forest(relief, domain, seeds)
        for block_px in {1, int(rng.integers(2, 12)), int(rng.integers(2, 65)), 64}:
            np.testing.assert_array_equal(watershed(relief, domain, seeds, block_px), expected)


@pytest.mark.parametrize("block_px", [1, 13, 64, 97, 2048])
@pytest.mark.parametrize("levels", [3, 300, 65536])
def test_equals_the_whole_array_forest_on_a_larger_scene(block_px: int, levels: int) -> None:
    rng = np.random.default_rng(levels)
    smooth = gaussian_filter(rng.normal(size=(331, 420)), 3)
    relief = ((smooth - smooth.min()) / np.ptp(smooth) * (levels - 1)).astype(np.uint16)
    domain = gaussian_filter(rng.normal(size=relief.shape), 6) > -0.04
    seeds = rng.choice(relief.size, 150, replace=False)
    expected = whole_array_forest(relief, domain, seeds)
    np.testing.assert_array_equal(watershed(relief, domain, seeds, block_px), expected)


def test_a_region_may_span_many_blocks() -> None:
    # A serpentine corridor, 1 pixel wide, whose walls are outside the domain: one path through all blocks.
    domain = np.zeros((39, 40), bool)
    domain[::2] = True
    domain[1::4, -1] = domain[3::4, 0] = True
    relief = np.random.default_rng(0).integers(0, 9, domain.shape).astype(np.uint16)
    labels = watershed(relief, domain, np.array([0]), block_px=5)
    np.testing.assert_array_equal(labels, domain.astype(np.int64))


@pytest.mark.parametrize("block_px", [1, 4, 50])
def test_a_plateau_is_shared_by_edge_index(block_px: int) -> None:
    relief, domain = np.full((11, 12), 7, np.uint16), np.ones((11, 12), bool)
    seeds = np.array([5, 77, 130])
    labels = watershed(relief, domain, seeds, block_px)
    np.testing.assert_array_equal(labels, whole_array_forest(relief, domain, seeds))


@pytest.mark.parametrize("block_px", [3, 50])
@pytest.mark.parametrize("seeds", [[], [20]])
def test_no_seed_and_no_domain_give_zero(seeds: list[int], block_px: int) -> None:
    relief, everywhere = np.zeros((7, 9), np.uint16), np.ones((7, 9), bool)
    seeds_px = np.array(seeds, np.int64)
    assert not watershed(relief, ~everywhere, seeds_px, block_px).any()
    assert (watershed(relief, everywhere, seeds_px, block_px) == (21 if seeds else 0)).all()


def test_the_highest_relief_is_a_path_and_nodata_is_not() -> None:
    relief = np.array([[0, 65535, 65535, 0]], np.uint16)
    domain = np.array([[True, True, False, True]])
    np.testing.assert_array_equal(watershed(relief, domain, np.array([0]), 2), [[1, 1, 0, 0]])


sides = st.integers(1, 24)


@settings(max_examples=60, deadline=None)
@given(height=sides, width=sides, first=st.data())
def test_any_partition_gives_the_same_labels(height: int, width: int, first: st.DataObject) -> None:
    levels = first.draw(st.sampled_from([1, 2, 5, 65536]), "levels")
    rng = np.random.default_rng(first.draw(st.integers(0, 2**32 - 1), "relief seed"))
    relief = rng.integers(0, levels, (height, width)).astype(np.uint16)
    domain = rng.random((height, width)) < first.draw(st.sampled_from([0.5, 0.9, 1.0]), "inside")
    seeds = np.array(first.draw(st.lists(st.integers(0, height * width - 1), max_size=7)), np.int64)
    layouts = []
    for _ in range(2):
        row_cuts = sorted(first.draw(st.sets(st.integers(1, height))) | {0, height})
        col_cuts = sorted(first.draw(st.sets(st.integers(1, width))) | {0, width})
        layouts.append([Window(r0, c0, r1, c1) for r0, r1 in pairwise(row_cuts) for c0, c1 in pairwise(col_cuts)])
    results = [in_windows(relief, domain, seeds, windows) for windows in layouts]
    np.testing.assert_array_equal(*results)
    assert_regions(results[0], domain, seeds)


def in_windows(relief: Relief, domain: Domain, seeds: Seeds, windows: list[Window]) -> NDArray[np.int64]:
    forests = [build(relief, domain, seeds, window) for window in windows]
    terminals = stitch(forest.summary for forest in forests)
    labels = np.full(relief.shape, -1)
    for window, forest in zip(windows, forests, strict=True):
        labels[window.slices()] = label_block(forest.zones, terminals[window], window, relief.shape[1])
    return labels


def build(relief: Relief, domain: Domain, seeds: Seeds, window: Window) -> BlockForest:
    return forest_block(relief[window.slices()], domain[window.slices()], seeds, window, relief.shape)


def assert_regions(labels: NDArray[np.int64], domain: Domain, seeds: Seeds) -> None:
    """Each region is 4-connected, holds its seed, and stops only at others and at the domain's edge."""
    inside = seeds[domain.ravel()[seeds]]
    assert set(np.unique(labels[labels != 0])) == set(inside + 1)
    np.testing.assert_array_equal(labels.ravel()[inside], inside + 1)
    for seed in inside:
        assert label(labels == seed + 1, FOUR_NEIGHBOURS)[1] == 1
    parts = label(domain, FOUR_NEIGHBOURS)[0]
    np.testing.assert_array_equal(labels > 0, np.isin(parts, parts.ravel()[inside]) & domain)


@pytest.mark.parametrize("case", range(8))
def test_the_forest_has_the_least_total_weight(case: int) -> None:
    rng = np.random.default_rng(case)
    relief, domain, seeds = random_case(rng, (30, 37))
    seeds = seeds[domain.ravel()[seeds]]
    zones = build(relief, domain, seeds, Window(0, 0, 30, 37)).zones

    def weights(axis: int) -> NDArray[np.int64]:
        near, far = (slice(None, -1), slice(1, None))
        index = [(near, slice(None)), (far, slice(None))] if axis == 0 else [(slice(None), near), (slice(None), far)]
        return np.maximum(relief[index[0]], relief[index[1]]).astype(np.int64) + 1

    chosen = [(zones[:-1] & DOWN_BIT) > 0, (zones[:, :-1] & RIGHT_BIT) > 0]
    total = sum(int(weights(axis)[chosen[axis]].sum()) for axis in (0, 1))

    pixels, root = np.arange(relief.size).reshape(relief.shape), relief.size
    down, right = domain[1:] & domain[:-1], domain[:, 1:] & domain[:, :-1]
    near = np.concatenate([pixels[:-1][down], pixels[:, :-1][right], seeds])
    far = np.concatenate([pixels[1:][down], pixels[:, 1:][right], np.full(len(seeds), root)])
    # Edges to the virtual root are lighter than all others, so every tree has them.
    cost = np.concatenate([weights(0)[down], weights(1)[right], np.full(len(seeds), 0.5)])
    reference = minimum_spanning_tree(coo_array((cost, (near, far)), shape=(root + 1, root + 1)))
    assert total == reference.sum() - 0.5 * len(seeds)


def test_stitching_ignores_the_order_and_survives_pickling() -> None:
    rng = np.random.default_rng(5)
    relief, domain, seeds = random_case(rng, (40, 40))
    windows = [Window(r, c, r + 8, c + 8) for r in range(0, 40, 8) for c in range(0, 40, 8)]
    with ThreadPoolExecutor(4) as pool:
        summaries = list(pool.map(lambda window: build(relief, domain, seeds, window).summary, windows))
    expected = stitch(summaries)
    shuffled = stitch(pickle.loads(pickle.dumps(summaries[i])) for i in rng.permutation(len(summaries)))
    assert list(expected) == list(shuffled) == windows
    for window in windows:
        np.testing.assert_array_equal(expected[window].terminal_px, shuffled[window].terminal_px)
        np.testing.assert_array_equal(expected[window].label, shuffled[window].label)


def test_indices_beyond_32_bits() -> None:
    # Two blocks in the last corner of a scene of 100,000 x 100,000 pixels.
    side = 100_000
    windows = [Window(side - 2, side - 4, side, side - 2), Window(side - 2, side - 2, side, side)]
    relief, domain = np.zeros((2, 2), np.uint16), np.ones((2, 2), bool)
    seed = np.array([(side - 1) * side + side - 1])
    forests = [forest_block(relief, domain, seed, window, (side, side)) for window in windows]
    terminals = stitch(forest.summary for forest in forests)
    for window, forest in zip(windows, forests, strict=True):
        assert (label_block(forest.zones, terminals[window], window, side) == side * side).all()


def test_a_missing_block_counts_as_outside_the_domain() -> None:
    relief, domain = np.zeros((4, 6), np.uint16), np.ones((4, 6), bool)
    west, east = Window(0, 0, 4, 2), Window(0, 4, 4, 6)
    forests = {window: build(relief, domain, np.array([0]), window) for window in (west, east)}
    terminals = stitch(forest.summary for forest in forests.values())
    assert (label_block(forests[west].zones, terminals[west], west, 6) == 1).all()
    assert not label_block(forests[east].zones, terminals[east], east, 6).any()


def test_refuses_what_does_not_fit() -> None:
    relief, domain, none = np.zeros((4, 4), np.uint16), np.ones((4, 4), bool), np.array([], np.int64)
    window = Window(0, 0, 4, 4)
    with pytest.raises(ValueError, match="must be"):
        forest_block(relief[1:], domain, none, window, (4, 4))
    with pytest.raises(ValueError, match="uint16"):
        forest_block(relief.astype(np.int32), domain, none, window, (4, 4))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="leaves the scene"):
        forest_block(relief, domain, none, window, (4, 3))
    summary = forest_block(relief, domain, none, window, (8, 4)).summary
    other = forest_block(relief, domain, none, window, (9, 4)).summary
    with pytest.raises(ValueError, match="overlap"):
        stitch([summary, summary])
    with pytest.raises(ValueError, match="agree"):
        stitch([summary, other])
    assert stitch([]) == {}
