"""Cut and put together again: the same objects, whatever the tiles."""

from dataclasses import replace

import geopandas
import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from test_objects import raster_labels

from geopanoptic.errors import UsageError
from geopanoptic.labels.objects import Canvas, OutlineLabels, as_outlines
from geopanoptic.labels.taxonomy import taxonomy_of_names
from geopanoptic.labels.tiles import SOURCE_ID, canvas_outline, cut, stitch, tile_canvases


def whole_and_again(ids_hw, size, overlap, *, told):
    whole = as_outlines(raster_labels(ids_hw))
    parts = list(cut(whole, tile_canvases(whole.canvas, size, overlap)))
    if not told:
        parts = [replace(part, objects=part.objects.drop(columns=SOURCE_ID)) for part in parts]
    return whole, stitch(parts)


@settings(deadline=None, max_examples=25)
@given(
    ids=arrays(np.int32, st.tuples(st.integers(2, 14), st.integers(2, 14)), elements=st.integers(0, 4)),
    size=st.integers(2, 9),
    data=st.data(),
)
def test_objects_with_ids_come_back_whole(ids, size, data):
    whole, again = whole_and_again(ids, size, data.draw(st.integers(0, size - 1)), told=True)
    assert again.objects["object_id"].tolist() == whole.objects["object_id"].tolist()
    for before, after in zip(whole.objects.geometry, again.objects.geometry, strict=True):
        assert shapely.symmetric_difference(before, after).area == pytest.approx(0, abs=1e-6)


@settings(deadline=None, max_examples=25)
@given(
    ids=arrays(np.int32, st.tuples(st.integers(6, 14), st.integers(6, 14)), elements=st.integers(0, 3)),
    overlap=st.integers(0, 3),
    missing=st.sets(st.integers(0, 8), min_size=1, max_size=6),
    order=st.randoms(use_true_random=False),
)
def test_what_the_images_that_are_there_show_is_kept(ids, overlap, missing, order):
    whole = as_outlines(raster_labels(ids))
    tiles = tile_canvases(whole.canvas, 5, overlap)
    kept = [tile for number, tile in enumerate(tiles) if number % 9 not in missing] or tiles[:1]
    order.shuffle(kept)
    shown = shapely.union_all([canvas_outline(tile) for tile in kept])
    again = stitch(list(cut(whole, kept))).objects
    before = {
        number: shapely.intersection(outline, shown).area
        for number, outline in zip(whole.objects["object_id"], whole.objects.geometry, strict=True)
    }
    after = dict(zip(again["object_id"], again.geometry.area, strict=True))
    assert after == pytest.approx({number: area for number, area in before.items() if area > 0})
    assert shapely.union_all(again.geometry).area == pytest.approx(sum(after.values()))


def test_objects_without_ids_are_known_by_what_two_images_show():
    ids = np.zeros((40, 60), np.int32)
    ids[4:36, 4:28] = 1
    ids[4:36, 29:56] = 2
    ids[1:3, 1:59] = 3
    whole, again = whole_and_again(ids, 20, 6, told=False)
    assert len(again.objects) == 3
    for before in whole.objects.geometry:
        nearest = max(again.objects.geometry, key=lambda after: after.intersection(before).area)
        assert shapely.symmetric_difference(before, nearest).area == pytest.approx(0, abs=1e-6)


def test_images_that_only_touch_are_joined_along_the_seam():
    ids = np.zeros((20, 40), np.int32)
    ids[2:9, 5:35] = 1
    ids[10:18, 5:35] = 2
    whole, again = whole_and_again(ids, 20, 0, told=False)
    assert sorted(again.objects.area) == pytest.approx(sorted(whole.objects.area))


def test_tiles_cover_the_canvas_and_state_their_place():
    canvas = raster_labels(np.ones((25, 33), np.int32)).canvas
    tiles = tile_canvases(canvas, 16, 4)
    assert [tile.shape for tile in tiles] == [(16, 16), (16, 16), (16, 9), (13, 16), (13, 16), (13, 9)]
    assert tiles[-1].transform @ (0, 0) == canvas.transform @ (24, 12)
    with pytest.raises(UsageError, match="overlap"):
        tile_canvases(canvas, 16, 16)


def test_images_without_a_place_cannot_be_put_together():
    nowhere = as_outlines(raster_labels(np.ones((3, 3), np.int32), transform=None, crs=None))
    with pytest.raises(UsageError, match="where it lies"):
        stitch([nowhere])


UTM = pyproj.CRS.from_epsg(32632)


def drawn(shape, canvas):
    table = {"object_id": [1], "class_name": "corn", "score": np.nan}
    objects = geopandas.GeoDataFrame(table, geometry=[shape], crs=UTM)
    return OutlineLabels(objects=objects, taxonomy=taxonomy_of_names(["corn", "oats"]), canvas=canvas)


def place(left, width):
    return Canvas(
        image=f"{left}.tif",
        height=20,
        width=width,
        crs_wkt=UTM.to_wkt(),
        transform=Affine(1, 0, left, 0, -1, 20),
    )


def test_what_is_said_of_the_largest_piece_counts():
    whole = drawn(shapely.box(5, 2, 35, 18), place(0, 40))
    larger, smaller = cut(whole, tile_canvases(whole.canvas, 28))
    smaller.objects["class_name"] = "oats"
    assert stitch([smaller, larger]).objects["class_name"].tolist() == ["corn"]


def test_objects_of_two_images_that_hardly_agree_are_two():
    first, second = (
        drawn(shapely.box(2, 0, 14, 5), place(0, 20)),
        drawn(shapely.box(13, 0, 28, 10), place(10, 20)),
    )
    parts = [
        replace(part, objects=part.objects.drop(columns=SOURCE_ID, errors="ignore"))
        for part in (first, second)
    ]
    assert len(stitch(parts).objects) == 2
