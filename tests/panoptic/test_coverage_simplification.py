"""Simplified polygons: still one valid coverage, within the tolerance, the same for any blocks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from geopanoptic.panoptic.coverage import Arcs, assemble, conflicts, simplification, simplify, trace
from geopanoptic.panoptic.coverage.in_memory import pieces_of, trace_arcs

from .label_rasters import label_rasters, noise

tolerances = st.tuples(st.floats(0.3, 12), st.floats(0.3, 12))


def holes_and_parts(polygons: NDArray[np.object_]) -> tuple[int, int]:
    parts = shapely.get_parts(shapely.coverage_union_all(polygons))
    return int(shapely.get_num_interior_rings(parts).sum()), len(parts)


def lines(arcs: Arcs, scale: tuple[float, float]) -> NDArray[np.object_]:
    return shapely.linestrings(
        arcs.coordinates / np.array(scale), indices=np.repeat(np.arange(len(arcs)), np.diff(arcs.offsets))
    )


@settings(max_examples=250)
@given(label_rasters(), tolerances)
@example(noise(np.random.default_rng(4)), (1e3, 1e3))
def test_a_valid_coverage_remains(labels: NDArray[np.int32], tolerance_px: tuple[float, float]) -> None:
    arcs = trace_arcs(pieces_of(labels)[0])
    simplified = simplify(arcs, tolerance_px)
    found, polygons = assemble(simplified)
    if not len(found):
        return
    before_labels, before = assemble(arcs)
    assert found.tolist() == before_labels.tolist()
    assert shapely.is_valid(polygons).all()
    assert shapely.coverage_is_valid(polygons)
    union_area = shapely.union_all(polygons).area
    assert shapely.area(polygons).sum() == pytest.approx(union_area, abs=1e-6)
    assert holes_and_parts(polygons) == holes_and_parts(before)
    deviation = shapely.hausdorff_distance(lines(arcs, tolerance_px), lines(simplified, tolerance_px))
    assert deviation.max() <= 1 + 1e-12
    exteriors, exteriors_before = (
        shapely.area(shapely.polygons(shapely.get_exterior_ring(layer))) for layer in (polygons, before)
    )
    assert (abs(exteriors - exteriors_before) <= exteriors_before / 4).all()


@settings(max_examples=40)
@given(label_rasters(), tolerances)
def test_neighbours_and_vertices_remain(labels: NDArray[np.int32], tolerance_px: tuple[float, float]) -> None:
    arcs = trace_arcs(pieces_of(labels)[0])
    simplified = simplify(arcs, tolerance_px)
    assert len(simplified) == len(arcs)
    for arc in range(len(arcs)):
        line = arcs.coordinates[arcs.offsets[arc] : arcs.offsets[arc + 1]].tolist()
        short = simplified.coordinates[simplified.offsets[arc] : simplified.offsets[arc + 1]].tolist()
        assert (short[0], short[-1]) == (line[0], line[-1])
        remaining = iter(line)
        assert all(vertex in remaining for vertex in short)


@settings(max_examples=40)
@given(label_rasters(), tolerances)
def test_does_not_depend_on_blocks(labels: NDArray[np.int32], tolerance_px: tuple[float, float]) -> None:
    layers = [trace(labels, tolerance_px=tolerance_px, block_px=size)[1] for size in (100, 1, 7)]
    first, *others = [b"".join(shapely.to_wkb(layer)) for layer in layers]
    assert others == [first, first]


@settings(max_examples=40)
@given(label_rasters(), tolerances)
def test_does_not_depend_on_threads(labels: NDArray[np.int32], tolerance_px: tuple[float, float]) -> None:
    arcs = trace_arcs(pieces_of(labels)[0])
    with ThreadPoolExecutor(3) as threads:
        alone, together = (simplify(arcs, tolerance_px, each) for each in (map, threads.map))
    np.testing.assert_array_equal(together.coordinates, alone.coordinates)
    np.testing.assert_array_equal(together.offsets, alone.offsets)


def test_conflicts_of_fresh_segments_are_those_of_all_pairs() -> None:
    dice = np.random.default_rng(8)
    labels = np.kron(dice.integers(1, 4, (60, 90)), np.ones((4, 4), np.int64))
    arcs = trace_arcs(pieces_of(labels)[0])
    reach_px = (5.0, 3.5)
    kept = np.zeros(len(arcs.coordinates), np.bool_)
    simplification._simplify_each(arcs.coordinates, arcs.offsets, 1 / np.array(reach_px), kept)
    segments = simplification._segments(arcs, kept, map)
    begin, end = segments.begin, segments.end
    # As if every chain strayed as far as it may.
    bounds = np.array(reach_px), np.tile(np.ceil(reach_px).astype(np.int32), (len(begin), 1))
    one_cell = np.array([0, len(begin), len(begin)]), np.arange(len(begin), dtype=np.int32)
    for share in (0.0, 0.002, 0.03, 1.0):
        fresh = dice.random(len(begin)) < share
        expected = np.zeros(len(begin), np.bool_)
        conflicts._compare(arcs.coordinates, begin, end, fresh, *bounds, *one_cell, expected)
        found = conflicts.find_conflicts(arcs.coordinates, begin, end, fresh, reach_px)
        assert found.tolist() == expected.tolist()
        assert expected.any() == (share > 0)


def test_segments_that_cross_conflict_at_any_tolerance() -> None:
    coordinates = np.array([[0, 0], [1, 3], [9, 9], [0, 9], [3, 8], [9, 0]], np.int32)
    begin, end = np.array([0, 3]), np.array([2, 5])
    for reach_px in (5.0, 1e6, 1e12):
        found = conflicts.find_conflicts(coordinates, begin, end, np.ones(2, bool), (reach_px, reach_px))
        assert found.all()


def test_segments_are_sought_as_far_as_their_chains_stray_whatever_the_tolerance() -> None:
    arcs = trace_arcs(pieces_of(noise(np.random.default_rng(2)))[0])
    kept = np.zeros(len(arcs.coordinates), np.bool_)
    reach = np.array([1e6, 1e6])
    simplification._simplify_each(arcs.coordinates, arcs.offsets, 1 / reach, kept)
    segments = simplification._segments(arcs, kept, map)
    begin, end = segments.begin, segments.end
    strays = np.zeros((len(begin), 2), np.int32)
    most = np.full(2, 10**6, np.int32)
    conflicts._measure_strays(arcs.coordinates, begin, end, reach, most, strays)
    for k, segment in enumerate(arcs.coordinates[np.stack([begin, end], axis=1)]):
        chain = shapely.points(arcs.coordinates[begin[k] : end[k] + 1])
        farthest = shapely.distance(shapely.linestrings(segment), chain).max()
        assert farthest <= strays[k, 0] == strays[k, 1] < farthest + 1.01


def test_oblique_border_becomes_straight_and_corners_stay() -> None:
    rows, cols = np.indices((60, 200))
    _, polygons = trace(np.where(rows > 10 + 0.13 * cols, 1, 2), tolerance_px=(1, 1))
    assert shapely.get_num_coordinates(polygons).tolist() == [5, 5]
    _, fields = trace(
        np.kron(np.arange(1, 7).reshape(2, 3), np.ones((20, 20), np.int64)), tolerance_px=(3, 3)
    )
    np.testing.assert_array_equal(shapely.area(fields), 400)


def test_small_regions_keep_their_corners() -> None:
    labels = np.ones((20, 20), np.int32)
    labels[5, 5], labels[10:12, 10], labels[15:17, 4:6] = 2, 3, 4
    _, polygons = trace(labels, tolerance_px=(2, 2))
    assert shapely.area(polygons[1:]).tolist() == [1, 2, 4]


def test_a_border_does_not_move_over_an_island() -> None:
    labels = np.ones((12, 31), np.int32)
    labels[6:] = 2
    labels[3:6, 10:20] = 2
    labels[4, 14] = 3
    _, polygons = trace(labels, tolerance_px=(4, 4))
    assert shapely.coverage_is_valid(polygons)
    assert shapely.polygons(polygons[1].exterior).contains(polygons[2])


@pytest.mark.parametrize("side_px", [1, 5])
def test_no_border_cuts_off_a_corner_of_the_scene(side_px: int) -> None:
    labels = np.ones((30, 40), np.int32)
    labels[:-side_px, :15] = 2
    for turned in (labels, np.flipud(labels), np.fliplr(labels), np.ones_like(labels)):
        _, polygons = trace(turned, tolerance_px=(side_px + 0.5, side_px + 0.5))
        assert shapely.union_all(polygons).equals(shapely.box(0, 0, 40, 30))


def test_zero_tolerance_changes_nothing() -> None:
    arcs = trace_arcs(pieces_of(noise(np.random.default_rng(0)))[0])
    assert simplify(arcs, (0, 0)) is arcs


@pytest.mark.parametrize("tolerance_px", [(-1, 1), (0, 1), (1, 0), (np.nan, 1), (1, np.inf)])
def test_refuses_tolerances(tolerance_px: tuple[float, float]) -> None:
    arcs = trace_arcs(np.ones((3, 3), np.int32))
    with pytest.raises(ValueError, match="tolerance_px"):
        simplify(arcs, tolerance_px)
