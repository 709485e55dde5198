"""Outlines and rasters lead to one another without loss."""

from dataclasses import replace

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geopanoptic.errors import UsageError
from geopanoptic.labels.objects import Canvas, OutlineLabels, RasterLabels, as_outlines, as_raster
from geopanoptic.labels.taxonomy import taxonomy_of_names

UTM = "EPSG:32632"
PLACED = Affine(10, 0, 600_000, 0, -10, 5_800_000)


def raster_labels(ids_hw, *, transform=PLACED, crs=UTM):
    import pyproj

    ids = np.unique(ids_hw)
    ids = ids[ids > 0]
    table = pd.DataFrame({"object_id": ids.astype(np.int64), "class_name": "parcel", "score": np.nan})
    wkt = None if crs is None else pyproj.CRS(crs).to_wkt()
    canvas = Canvas(
        image="a.tif", height=ids_hw.shape[0], width=ids_hw.shape[1], crs_wkt=wkt, transform=transform
    )
    return RasterLabels(ids_hw=ids_hw, objects=table, taxonomy=taxonomy_of_names(["parcel"]), canvas=canvas)


@given(
    ids=arrays(np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 5)),
    placed=st.booleans(),
)
def test_a_raster_comes_back_from_its_outlines(ids, placed):
    labels = raster_labels(ids) if placed else raster_labels(ids, transform=None, crs=None)
    outlines = as_outlines(labels)
    assert shapely.is_valid(outlines.objects.geometry.to_numpy()).all()
    again, claims = as_raster(outlines)
    assert claims == 0
    np.testing.assert_array_equal(again.ids_hw, ids)
    pd.testing.assert_frame_equal(again.objects, labels.objects)


@given(
    ids=arrays(np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 5)),
    half=st.sampled_from([(0.5, 0.5), (0, 0.5), (0.25, 0.5)]),
)
def test_objects_that_touch_on_centres_of_pixels_claim_none_twice(ids, half):
    fine = as_outlines(raster_labels(ids, transform=None, crs=None))
    moved = fine.objects.set_geometry(fine.objects.geometry.translate(*half))
    drawn, claims = as_raster(replace(fine, objects=moved))
    assert claims == 0
    assert (drawn.ids_hw > 0).sum() <= (ids > 0).sum()


def test_of_two_objects_the_smaller_has_the_pixel_and_the_claim_is_counted():
    frame = geopandas.GeoDataFrame(
        {"object_id": [1, 2], "class_name": "parcel", "score": np.nan},
        geometry=[shapely.box(1, 1, 3, 3), shapely.box(0, 0, 6, 6)],
    )
    labels = OutlineLabels(
        objects=frame, taxonomy=taxonomy_of_names(["parcel"]), canvas=Canvas(image="a.png", height=6, width=6)
    )
    raster, claims = as_raster(labels)
    assert claims == 4
    assert (raster.ids_hw == 1).sum() == 4
    assert (raster.ids_hw == 2).sum() == 32


def test_an_object_that_has_no_pixel_leaves_the_table():
    frame = geopandas.GeoDataFrame(
        {"object_id": [7], "class_name": "parcel", "score": np.nan},
        geometry=[shapely.box(0.1, 0.1, 0.2, 0.2)],
    )
    labels = OutlineLabels(
        objects=frame, taxonomy=taxonomy_of_names(["parcel"]), canvas=Canvas(image="a.png", height=2, width=2)
    )
    assert as_raster(labels)[0].objects.empty


def test_outlines_of_a_map_need_a_canvas_of_the_map():
    outlines = as_outlines(raster_labels(np.ones((2, 2), np.int32)))
    with pytest.raises(UsageError, match="no pixels of their own"):
        as_raster(OutlineLabels(objects=outlines.objects, taxonomy=outlines.taxonomy))
    with pytest.raises(UsageError, match="reference"):
        as_raster(outlines, Canvas(image="a.png", height=2, width=2))
