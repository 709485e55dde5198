"""Traced polygons: valid, exact, one coverage, the same for any blocks."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from numpy.typing import NDArray
from rasterio.features import rasterize, shapes

from geopanoptic.errors import ResourceError
from geopanoptic.grid import Window
from geopanoptic.panoptic import numbering
from geopanoptic.panoptic.coverage import (
    BlockCorners,
    assemble,
    join_corners,
    link,
    outlines,
    trace,
    trace_block,
)
from geopanoptic.panoptic.coverage.in_memory import pieces_of, trace_arcs

from .label_rasters import label_rasters

UTM = Affine(5, 0, 500_000, 0, -5, 5_400_000)


def wkb(polygons: NDArray[np.object_]) -> bytes:
    return b"".join(shapely.to_wkb(polygons))


def block(labels: NDArray[np.int32], window: Window) -> BlockCorners:
    padded = np.pad(labels, 1)[window.row0 : window.row1 + 2, window.col0 : window.col1 + 2]
    return trace_block(padded, window, labels.shape)


@settings(max_examples=250)
@given(label_rasters())
def test_polygons_are_the_raster(labels: NDArray[np.int32]) -> None:
    found, polygons = trace(labels, UTM)
    assert shapely.is_valid(polygons).all()
    assert shapely.coverage_is_valid(polygons)
    assert shapely.area(polygons).sum() == 25 * np.count_nonzero(labels)
    assert shapely.is_ccw(shapely.get_exterior_ring(polygons)).all()
    burnt = np.zeros_like(labels)
    if len(polygons):
        rasterize(zip(polygons, found.tolist(), strict=True), out=burnt, transform=UTM)
    np.testing.assert_array_equal(burnt, labels)


@settings(max_examples=60)
@given(label_rasters())
def test_polygons_do_not_depend_on_blocks(labels: NDArray[np.int32]) -> None:
    found, polygons = trace(labels, UTM, block_px=max(labels.shape))
    for block_px in (1, 7, 97):
        again, others = trace(labels, UTM, block_px=block_px)
        assert again.tolist() == found.tolist()
        assert wkb(others) == wkb(polygons)


@settings(max_examples=60)
@given(label_rasters())
def test_agrees_with_rasterio(labels: NDArray[np.int32]) -> None:
    expected = [
        (int(label), shapely.geometry.shape(geometry).normalize())
        for geometry, label in shapes(labels, mask=labels > 0, connectivity=4)
    ]
    found, polygons = trace(labels)
    ours = list(zip(found.tolist(), shapely.normalize(polygons), strict=True))
    assert len(ours) == len(expected)

    def key(pair: tuple[int, shapely.Polygon]) -> tuple[object, ...]:
        return pair[0], pair[1].bounds, pair[1].area

    for (label, polygon), (other_label, other) in zip(
        sorted(ours, key=key), sorted(expected, key=key), strict=True
    ):
        assert label == other_label
        assert shapely.equals(polygon, other)


@settings(max_examples=60)
@given(label_rasters())
def test_arcs_hold_bends_and_nodes_only(labels: NDArray[np.int32]) -> None:
    arcs = trace_arcs(pieces_of(labels)[0])
    for arc in range(len(arcs)):
        line = arcs.coordinates[arcs.offsets[arc] : arcs.offsets[arc + 1]]
        steps = np.diff(line, axis=0)
        assert (np.count_nonzero(steps, axis=1) == 1).all()
        assert ((steps[1:] != 0) != (steps[:-1] != 0)).all()
        assert tuple(line[0, ::-1]) <= tuple(line[-1, ::-1])
    assert (arcs.left != arcs.right).all()


@settings(max_examples=30)
@given(label_rasters())
def test_outlines_in_parts_are_the_whole(labels: NDArray[np.int32]) -> None:
    arcs = trace_arcs(pieces_of(labels)[0])
    found, polygons = assemble(arcs, UTM)
    drawn = outlines(arcs)
    parts = [drawn.polygons(slice(first, first + 3), UTM) for first in range(0, len(drawn) + 3, 3)]
    assert drawn.labels.tolist() == found.tolist()
    assert wkb(np.concatenate(parts)) == wkb(polygons)


def test_golden_hole_with_island() -> None:
    labels = np.ones((3, 4), np.int32)
    labels[1, 1:3] = [7, 0]
    found, polygons = trace(labels)
    assert found.tolist() == [1, 7]
    # Seen with y downwards, so left of the exterior is the inside as it is in the raster.
    ring, hole = "0 0, 4 0, 4 3, 0 3, 0 0", "1 1, 2 1, 3 1, 3 2, 2 2, 1 2, 1 1"
    assert polygons[0].normalize().equals_exact(shapely.from_wkt(f"POLYGON (({ring}), ({hole}))").normalize())
    assert shapely.is_ccw(polygons[0].exterior)
    assert not shapely.is_ccw(polygons[0].interiors[0])
    assert polygons[1].normalize().equals_exact(shapely.box(1, 1, 2, 2).normalize())


def test_holes_that_touch_at_corners_are_split_off() -> None:
    labels = np.ones((4, 4), np.int32)
    labels[1, 1] = labels[2, 2] = labels[3, 3] = 2
    found, polygons = trace(labels)
    assert found.tolist() == [1, 2, 2, 2]
    assert len(polygons[0].interiors) == 2
    assert polygons[0].is_valid


def test_pieces_of_a_label_are_ordered_by_first_pixel() -> None:
    found, polygons = trace(np.array([[3, 1, 3], [3, 0, 1]], np.uint8))
    assert found.tolist() == [1, 1, 3, 3]
    assert [polygon.bounds[:2] for polygon in polygons] == [(1, 0), (2, 1), (0, 0), (2, 0)]


@pytest.mark.parametrize(
    "transform", [UTM, Affine(5, 0, 0, 0, 5, 0), Affine.rotation(30), Affine(-0.1, 0, 7, 0, -0.3, 50)]
)
def test_orientation_holds_for_every_transform(transform: Affine) -> None:
    labels = np.kron(np.random.default_rng(1).integers(0, 4, (12, 12)), np.ones((2, 2), np.int64))
    labels[5, 5] = 9
    _, polygons = trace(labels, transform)
    assert shapely.is_ccw(shapely.get_exterior_ring(polygons)).all()
    assert not shapely.is_ccw([hole for polygon in polygons for hole in polygon.interiors]).any()
    assert shapely.is_valid(polygons).all()
    assert shapely.coverage_is_valid(polygons)


def test_blocks_may_come_in_any_order_and_from_other_processes() -> None:
    labels = pieces_of(np.random.default_rng(2).integers(0, 3, (20, 30)))[0]
    windows = [Window(row, col, row + 10, col + 10) for row in (0, 10) for col in (0, 10, 20)]
    blocks = [pickle.loads(pickle.dumps(block(labels, window))) for window in windows]
    expected = wkb(assemble(trace_arcs(labels))[1])
    assert wkb(assemble(link(join_corners(reversed(blocks))))[1]) == expected


def test_nodata_only_gives_nothing() -> None:
    found, polygons = trace(np.zeros((5, 4), np.int32), tolerance_px=(1, 1))
    assert len(found) == len(polygons) == 0


def test_refusals() -> None:
    labels = np.ones((4, 4), np.int32)
    left = Window(0, 0, 4, 2)
    with pytest.raises(ValueError, match="cover one scene"):
        join_corners([block(labels, left)])
    with pytest.raises(ValueError, match="overlap"):
        join_corners([block(labels, left), block(labels, left)])
    with pytest.raises(ValueError, match="no blocks"):
        join_corners([])
    with pytest.raises(ValueError, match="must be 0"):
        trace_block(np.ones((6, 6), np.int32), Window(0, 0, 4, 4), (4, 4))
    with pytest.raises(ValueError, match="one pixel wider"):
        trace_block(labels, Window(0, 0, 4, 4), (4, 4))
    with pytest.raises(ValueError, match="leaves the scene"):
        trace_block(np.zeros((6, 6), np.int32), Window(1, 0, 5, 4), (4, 4))
    with pytest.raises(ValueError, match="label 2 is not one"):
        assemble(link(join_corners([block(np.array([[2, 1, 2]], np.int32), Window(0, 0, 1, 3))])))
    with pytest.raises(ValueError, match="no inverse"):
        trace(labels, Affine(1, 0, 0, 1, 0, 0))
    with pytest.raises(ValueError, match="integers"):
        trace(np.ones((2, 2)))
    with pytest.raises(ValueError, match="from 0"):
        trace(-labels)


def test_more_corners_than_numbers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.arange(1, 26, dtype=np.int32).reshape(5, 5)
    corners = block(labels, Window(0, 0, 5, 5))
    for largest, told in (
        (len(corners.rows) - 1, "corners"),
        (4 * len(corners.around) - 1, "ends of borders"),
    ):
        monkeypatch.setattr(numbering, "LARGEST", largest)
        with pytest.raises(ResourceError, match=told):
            join_corners([corners])
    monkeypatch.setattr(numbering, "LARGEST", 4 * len(corners.around))
    join_corners([corners])
