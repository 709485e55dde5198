"""One-to-one pairs: as good as the best of all pairings, tried one by one."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from geopanoptic.change.matching import best_pairs, components
from geopanoptic.change.overlaps import Overlaps


def overlaps_of(area: np.ndarray) -> Overlaps:
    """Of a matrix of shared areas; every parcel has an area of 100."""
    rows, cols = np.nonzero(area)
    return Overlaps(
        earlier=rows,
        later=cols,
        area=area[rows, cols].astype(float),
        pieces=np.full(len(rows), None, dtype=object),
        earlier_area=np.full(area.shape[0], 100.0),
        later_area=np.full(area.shape[1], 100.0),
    )


shared_areas = st.tuples(st.integers(1, 5), st.integers(1, 5)).flatmap(
    lambda shape: st.lists(
        st.integers(0, 100).map(lambda value: value if value > 60 else 0),
        min_size=shape[0] * shape[1],
        max_size=shape[0] * shape[1],
    ).map(lambda values: np.array(values).reshape(shape))
)


def best_sum(gain: np.ndarray) -> float:
    """The largest sum over all ways to pair rows with columns, by trying all."""
    n, m = gain.shape
    if n > m:
        return best_sum(gain.T)
    return max(gain[np.arange(n), list(cols)].sum() for cols in permutations(range(m), n))


@given(shared_areas)
def test_no_pairing_is_better(area):
    overlaps = overlaps_of(area)
    chosen = best_pairs(overlaps, np.ones(len(overlaps.area), bool))
    rows, cols = overlaps.earlier[chosen], overlaps.later[chosen]
    assert len(set(rows)) == len(rows)
    assert len(set(cols)) == len(cols)
    gain = area / (200 - area)
    assert np.isclose(overlaps.iou[chosen].sum(), best_sum(gain))


def test_the_best_pair_is_given_up_where_all_together_gain():
    area = np.array([[90, 80], [85, 0]])
    overlaps = overlaps_of(area)
    chosen = best_pairs(overlaps, np.ones(3, bool))
    assert list(zip(overlaps.earlier[chosen], overlaps.later[chosen], strict=True)) == [(0, 1), (1, 0)]


def test_components_join_what_is_linked_over_others():
    area = np.zeros((4, 3))
    area[0, 0] = area[1, 0] = area[1, 1] = area[3, 2] = 70
    earlier, later = components(overlaps_of(area), np.ones(4, bool))
    assert earlier[0] == earlier[1] == later[0] == later[1]
    assert earlier[3] == later[2]
    assert len({earlier[0], earlier[2], earlier[3]}) == 3
