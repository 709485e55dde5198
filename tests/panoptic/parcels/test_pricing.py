"""The price of a parcel: half of what is expected of those nearby, and never above the bundle's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geopanoptic.panoptic.graph.merging import MergeTree, merge_tree
from geopanoptic.panoptic.parcels.disjoint import best_disjoint
from geopanoptic.panoptic.parcels.pricing import AROUND, CELL_PX, ROUNDS
from geopanoptic.panoptic.parcels.pricing import local_prices as prices_of

from ..made_graphs import graph
from ..pixel_scenes import scene

PRICE = 0.3


def apart(columns: np.ndarray, *, area_px: int = 2000) -> MergeTree:
    """Parcels that do not touch, by their first pixels in the first row of a scene of 40 cells."""
    alone = graph([area_px] * len(columns), [])
    return merge_tree(replace(alone, width_px=40 * CELL_PX, first_px=np.asarray(columns, np.int64)))


def local_prices(tree: MergeTree, expected_iou: np.ndarray, price: float) -> np.ndarray:
    return prices_of(tree, tree.sum_up(tree.graph.area_px[:, None])[:, 0], expected_iou, price)


def test_where_parcels_are_sure_the_price_stays():
    tree = apart(np.arange(0, 4000, 10))
    assert local_prices(tree, np.full(400, 0.8), PRICE) == pytest.approx(PRICE)


def test_where_all_are_doubtful_it_sinks_to_half_of_them():
    tree = apart(np.arange(0, 4000, 10))
    expected = np.where(np.arange(400) % 2, 0.36, 0.24)
    prices = local_prices(tree, expected, PRICE)
    assert ((prices > 0.15) & (prices < 0.2)).all()
    assert best_disjoint(400, tree.children, expected - prices).all()


def test_a_few_parcels_on_much_ground_say_little():
    tree = apart(np.array([0, 900]), area_px=100)
    assert local_prices(tree, np.array([0.31, 0.25]), PRICE) == pytest.approx(PRICE, abs=0.005)


def test_what_lies_far_away_has_no_part_in_it():
    near = np.arange(0, CELL_PX, 8)
    beyond = (1 + ROUNDS * 2 * AROUND) * CELL_PX
    far = np.arange(beyond, beyond + 5 * CELL_PX, 4)
    alone = local_prices(apart(near), np.full(len(near), 0.4), PRICE)
    assert alone.max() < PRICE
    expected = np.concatenate([np.full(len(near), 0.4), np.full(len(far), 0.9)])
    beside = local_prices(apart(np.concatenate([near, far])), expected, PRICE)
    assert beside[: len(near)].tolist() == alone.tolist()


@given(seed=st.integers(0, 2**32 - 1), price=st.floats(0.05, 0.6))
def test_a_price_only_ever_lets_more_in(seed, price):
    shown = scene(seed, max_side_px=25)
    tree = merge_tree(shown.regions(shown.windows(shown.valid.shape))[0])
    expected = np.random.default_rng(seed).random(tree.n_nodes)
    expected[::7] = -np.inf
    prices = local_prices(tree, expected, price)
    assert ((prices > 0) & (prices <= price)).all()
    before, after = (best_disjoint(tree.n_leaves, tree.children, expected - each) for each in (price, prices))
    gain = np.where(np.isfinite(expected), expected, 0) - prices
    assert gain[after].sum() >= gain[before].sum()
