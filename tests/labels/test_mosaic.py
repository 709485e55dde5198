"""Rasters side by side again are the raster that they were cut from."""

from dataclasses import replace

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from test_objects import raster_labels

from geopanoptic.labels.mosaic import canvas_around, mosaic
from geopanoptic.labels.objects import as_outlines, as_raster
from geopanoptic.labels.tiles import SOURCE_ID, cut, stitch, tile_canvases


def rasters(whole, size, overlap):
    pieces = cut(as_outlines(whole), tile_canvases(whole.canvas, size, overlap))
    return [as_raster(piece)[0] for piece in pieces]


@settings(deadline=None, max_examples=12)
@given(
    ids=arrays(np.int32, st.tuples(st.integers(2, 14), st.integers(2, 14)), elements=st.integers(0, 5)),
    size=st.integers(2, 9),
    data=st.data(),
)
def test_tiles_become_the_map_and_what_stitching_gives(ids, size, data):
    ids[0, 0] = 5
    whole = raster_labels(ids)
    parts = rasters(whole, size, data.draw(st.integers(0, size - 1)))
    order = data.draw(st.permutations(range(len(parts))))
    canvas = canvas_around([part.canvas for part in parts])
    found = mosaic([parts[k] for k in order], canvas)
    np.testing.assert_array_equal(found.ids_hw, ids)
    assert found.objects["object_id"].tolist() == whole.objects["object_id"].tolist()
    assert found.objects["class_name"].tolist() == whole.objects["class_name"].tolist()
    stitched, _ = as_raster(stitch(parts), canvas)
    np.testing.assert_array_equal(stitched.ids_hw, found.ids_hw)


@pytest.mark.parametrize("other", ["id unknown", "off the grid", "far away", "outlines"])
def test_other_images_are_left_to_stitching(other):
    whole = raster_labels(np.arange(1, 26, dtype=np.int32).reshape(5, 5))
    first, *rest = rasters(whole, 3, 0)
    if other == "id unknown":
        first = replace(first, objects=first.objects.assign(**{SOURCE_ID: None}))
    elif other == "outlines":
        first = as_outlines(first)
    else:
        away = 0.4 if other == "off the grid" else 900
        placed = first.canvas.transform @ Affine.translation(-away, -away)
        first = replace(first, canvas=replace(first.canvas, transform=placed))
    parts = [first, *rest]
    assert mosaic(parts, canvas_around([part.canvas for part in parts])) is None
