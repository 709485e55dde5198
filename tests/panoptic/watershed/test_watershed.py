"""The block-wise watershed against the whole-array forest, and against its own definition."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label

from geopanoptic.grid import Window
from geopanoptic.panoptic.watershed.forest import BlockForest, forest_block
from geopanoptic.panoptic.watershed.stitching import stitch
from geopanoptic.panoptic.watershed.watershed import label_block, watershed

FOUR_NEIGHBOURS = [[0, 1, 0], [1, 1, 1], [0, 1, 0]]

Relief = NDArray[np.uint16]
Domain = NDArray[np.bool_]
Seeds = NDArray[np.int64]


def whole_array_forest(relief: Relief, domain: Domain, seeds: Seeds) -> NDArray[np.int64]:
    """The reference: Kruskal on all edges of the array at once, in its own code."""
    pixels = np.arange(relief.size).reshape(relief.shape)
    horizontal = domain[:, 1:] & domain[:, :-1]
    vertical = domain[1:] & domain[:-1]
    first = np.concatenate([pixels[:, :-1][horizontal], pixels[:-1][vertical]])
    second = np.concatenate([pixels[:, 1:][horizontal], pixels[1:][vertical]])
    down = np.repeat([0, 1], [horizontal.sum(), vertical.sum()])
    flat = relief.ravel()
    higher, lower = np.maximum(flat[first], flat[second]), np.minimum(flat[first], flat[second])
    order = np.lexsort((2 * first + down, lower, higher))
    owner = np.zeros(relief.size, np.int64)
    owner[seeds] = seeds + 1
    return np.where(domain, _grow(first[order], second[order], owner).reshape(relief.shape), 0)


@njit
def _grow(first: NDArray[np.int64], second: NDArray[np.int64], owner: NDArray[np.int64]) -> NDArray[np.int64]:
    component = np.arange(len(owner))
    for i in range(len(first)):
        u, v = first[i], second[i]
        while component[u] != u:
            u = component[u]
        while component[v] != v:
            v = component[v]
        if u == v or (owner[u] > 0 and owner[v] > 0):
            continue
        component[v] = u
        owner[u] += owner[v]
    labels = np.empty(len(owner), np.int64)
    for pixel in range(len(owner)):
        root = pixel
        while component[root] != root:
            root = component[root]
        labels[pixel] = owner[root]
    return labels


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
        for block_px in {int(rng.integers(3, 12)), int(rng.integers(12, 65)), 64}:
            np.testing.assert_array_equal(watershed(relief, domain, seeds, block_px), expected)


@pytest.mark.parametrize("block_px", [1, 2])
def test_equals_the_whole_array_forest_in_the_smallest_blocks(block_px: int) -> None:
    rng = np.random.default_rng(block_px)
    for _ in range(60):
        relief, domain, seeds = random_case(rng, (int(rng.integers(1, 13)), int(rng.integers(1, 13))))
        expected = whole_array_forest(relief, domain, seeds)
        np.testing.assert_array_equal(watershed(relief, domain, seeds, block_px), expected)


@pytest.mark.parametrize("block_px", [13, 64, 97, 2048])
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


@settings(max_examples=50, deadline=None)
@given(height=st.integers(1, 24), width=st.integers(1, 24), seed=st.integers(0, 2**32 - 1))
def test_no_direction_is_preferred(height: int, width: int, seed: int) -> None:
    # Without two pixels alike, nothing may depend on where north is: borders would all lie to one side.
    rng = np.random.default_rng(seed)
    relief = rng.permutation(height * width).astype(np.uint16).reshape(height, width)
    seeds = rng.choice(relief.size, min(4, relief.size), replace=False)
    labels = watershed(relief, np.ones_like(relief, bool), seeds)
    pixels = np.arange(relief.size).reshape(relief.shape)
    for turned in (np.flipud, np.fliplr, np.transpose):
        place = np.empty(relief.size, np.int64)
        place[turned(pixels).ravel()] = pixels.ravel()
        of_turned = watershed(
            np.ascontiguousarray(turned(relief)), np.ones_like(turned(relief), bool), place[seeds]
        )
        seed_px = turned(pixels).ravel()[of_turned - 1]
        np.testing.assert_array_equal(seed_px, turned(labels) - 1)


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


@settings(max_examples=50, deadline=None)
@given(height=sides, width=sides, data=st.data())
def test_any_partition_gives_the_same_labels(height: int, width: int, data: st.DataObject) -> None:
    levels = data.draw(st.sampled_from([1, 2, 5, 65536]), "levels")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), "relief seed"))
    relief = rng.integers(0, levels, (height, width)).astype(np.uint16)
    domain = rng.random((height, width)) < data.draw(st.sampled_from([0.5, 0.9, 1.0]), "inside")
    seeds = np.array(data.draw(st.lists(st.integers(0, height * width - 1), max_size=7)), np.int64)
    layouts = []
    for _ in range(2):
        row_cuts = sorted(data.draw(st.sets(st.integers(1, height))) | {0, height})
        col_cuts = sorted(data.draw(st.sets(st.integers(1, width))) | {0, width})
        layouts.append(
            [Window(r0, c0, r1, c1) for r0, r1 in pairwise(row_cuts) for c0, c1 in pairwise(col_cuts)]
        )
    one, other = (in_windows(relief, domain, seeds, windows) for windows in layouts)
    np.testing.assert_array_equal(one, other)
    assert_regions(one, domain, seeds)


def in_windows(relief: Relief, domain: Domain, seeds: Seeds, windows: list[Window]) -> NDArray[np.int64]:
    forests = [build(relief, domain, seeds, window) for window in windows]
    terminals = stitch(forest.summary for forest in forests)
    labels = np.full(relief.shape, -1)
    for window, forest in zip(windows, forests, strict=True):
        labels[window.slices()] = label_block(forest, terminals[window])
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


def test_refuses_what_does_not_fit() -> None:
    relief, domain, seeds = np.zeros((4, 5), np.uint16), np.ones((4, 5), bool), np.array([0])
    with pytest.raises(ValueError, match="block_px"):
        watershed(relief, domain, seeds, block_px=0)
    with pytest.raises(ValueError, match="must be"):
        watershed(relief, domain[1:], seeds)
