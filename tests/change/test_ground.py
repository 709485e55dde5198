"""Changed ground: nothing is lost or counted twice, and slivers are told from strips."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import box, difference

from geopanoptic.change.ground import changed_ground
from geopanoptic.change.lineage import trace_lineage
from geopanoptic.change.overlaps import find_overlaps, wider_than


@st.composite
def maps(draw: st.DrawFn) -> np.ndarray:
    """A strip map: boxes side by side between random cuts, some left out."""
    cuts = sorted(draw(st.sets(st.integers(0, 60), min_size=2, max_size=9)))
    boxes = [box(10 * a, 0, 10 * b, 50) for a, b in zip(cuts, cuts[1:], strict=False)]
    kept = draw(st.lists(st.booleans(), min_size=len(boxes), max_size=len(boxes)))
    return np.array([each for each, keep in zip(boxes, kept, strict=True) if keep], dtype=object)


@settings(max_examples=60)
@given(maps(), maps())
def test_the_ground_of_both_maps_adds_up(earlier, later):
    overlaps = find_overlaps(earlier, later, tolerance_m=0)
    carries = trace_lineage(overlaps).carries
    ground = changed_ground(earlier, later, overlaps, carries=carries, tolerance_m=0)
    area = shapely.area(ground.polygons)
    kept = overlaps.area[carries].sum()
    assert np.isclose(kept + area[ground.later >= 0].sum(), shapely.area(later).sum())
    assert np.isclose(kept + area[ground.earlier >= 0].sum(), shapely.area(earlier).sum())
    assert np.isclose(shapely.area(shapely.union_all(ground.polygons)), area.sum())
    union = shapely.union(shapely.union_all(earlier), shapely.union_all(later))
    assert np.isclose(kept + area.sum(), union.area)


def test_a_parcel_over_many_is_cut_once(monkeypatch):
    """Cut by one after the other it has the corners of all before: 3,600 took 13 times as long."""
    cuts = []
    monkeypatch.setattr(shapely, "difference", lambda a, b: cuts.append(len(a)) or difference(a, b))
    many = np.array([box(x + 1, y + 1, x + 9, y + 9) for x in range(0, 100, 10) for y in range(0, 100, 10)])
    whole = np.array([box(0, 0, 100, 100)])
    overlaps = find_overlaps(whole, many, tolerance_m=0)
    ground = changed_ground(whole, many, overlaps, carries=np.zeros(100, bool), tolerance_m=0)
    assert shapely.area(ground.polygons[ground.kind == "lost"]).sum() == pytest.approx(100 * 100 - 100 * 64)
    assert sum(cuts) == 1


@settings(max_examples=60)
@given(maps(), maps())
def test_lineage_is_the_other_way_round_backwards(earlier, later):
    forth = trace_lineage(find_overlaps(earlier, later, tolerance_m=0))
    back = trace_lineage(find_overlaps(later, earlier, tolerance_m=0))
    turned = {"split": "merged", "merged": "split", "new": "gone", "gone": "new"}
    assert [turned.get(each, each) for each in forth.later_kind] == back.earlier_kind.tolist()
    assert [turned.get(each, each) for each in forth.earlier_kind] == back.later_kind.tolist()


@pytest.mark.parametrize(
    ("polygon", "width", "wide"),
    [
        (box(0, 0, 100, 12), 10, True),
        (box(0, 0, 100, 10), 10, False),
        (box(0, 0, 1000, 9), 10, False),
        (box(0, 0, 8, 8), 10, False),
        (shapely.Point(0, 0).buffer(5.1), 10, True),
        (shapely.union(box(0, 0, 500, 2), box(200, 0, 212, 14)), 10, True),
        (shapely.union(box(0, 0, 9, 50), box(20, 0, 29, 50)), 10, False),
        (shapely.union(box(0, 0, 9, 50), box(20, 0, 31, 50)), 10, True),
        (box(0, 0, 100, 1e-9), 0, True),
        (shapely.Polygon(), 0, False),
    ],
)
def test_width(polygon, width, wide):
    assert wider_than(np.array([polygon], dtype=object), width)[0] == wide
