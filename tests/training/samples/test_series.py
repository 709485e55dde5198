"""Outlines from several dates: what one date hides another shows, and doubt stays unknown."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio

import geopanoptic
from geopanoptic.scene import Scene, open_scene
from geopanoptic.training.samples import crops
from geopanoptic.training.samples.series import Date, outlines, samples

SIDE_PX = 60
BANDS = (0, 1, 2, 6)


def date(*halves: float, valid: np.ndarray | None = None) -> Date:
    """A scene of vertical strips of the given brightness."""
    rng = np.random.default_rng(len(halves))
    strips = np.repeat(np.array(halves, np.float32), SIDE_PX // len(halves))
    image = np.tile(strips, (4, SIDE_PX, 1)) + rng.normal(0, 0.01, (4, SIDE_PX, SIDE_PX)).astype(np.float32)
    seen = np.ones((SIDE_PX, SIDE_PX), bool) if valid is None else valid
    return Date(image_chw=(image * seen).astype(np.float32), bands=BANDS, valid_hw=seen)


@pytest.fixture(scope="module")
def season(tmp_path_factory) -> Scene:
    """Two dates of a generated landscape, 96 x 96 pixels; the later one lacks its first ten columns, both a corner."""
    folder = tmp_path_factory.mktemp("season")
    for day, month in (("2021-05-01", 5), ("2021-08-01", 8)):
        made = geopanoptic.synthesize((96, 96), character="mosaic", seed=3, month=month)
        image = np.maximum(made.image[[0, 1, 2, 6]], 1)
        image[:, :8, :8] = 0
        if month == 8:
            image[:, :, :10] = 0
        with rasterio.open(
            folder / f"s_{day}.tif", "w", driver="GTiff", count=4, height=96, width=96, dtype="uint16",
            crs=made.grid.crs_wkt, transform=made.grid.transform, nodata=0,
        ) as file:  # fmt: skip
            file.write(image)
            file.descriptions = ("blue", "green", "red", "nir")
    return open_scene(folder)


@pytest.fixture(scope="module")
def outlined(season) -> np.ndarray:
    return outlines(season, "fields-series")


def test_parcels_that_the_teacher_is_sure_of_are_outlined(season, outlined):
    result = geopanoptic.run(season, model="fields-series", simplify_m=0)
    mapped = {name: result.rasters[name].to_numpy() for name in ("parcel_id", "class")}
    scores = result.parcels.set_index("parcel_id")["score"]
    sure = np.isin(mapped["parcel_id"], scores.index[scores >= 0.6])
    parcel, cover = mapped["parcel_id"] > 0, (mapped["parcel_id"] == 0) & (mapped["class"] > 0)
    assert (outlined[parcel & sure] == mapped["parcel_id"][parcel & sure]).all()
    assert (outlined[parcel & ~sure] == -1).all()
    assert (outlined[cover] == 0).all()
    assert len(np.unique(outlined[outlined > 0])) > 20


def test_ground_that_any_date_shows_is_known_and_that_none_shows_is_not(outlined):
    assert (outlined[:16, :16] == -1).all()
    assert (outlined[16:, :20] >= 0).any()


def test_hidden_ground_hides_all_that_touches_it(season, outlined):
    row, col = (int(place.mean()) for place in np.nonzero(outlined == outlined.max()))
    hidden = np.zeros((96, 96), bool)
    hidden[row // 2, col // 2] = True
    found = outlines(season, "fields-series", hidden)
    touched = np.unique(outlined[hidden.repeat(2, 0).repeat(2, 1)])
    gone = np.isin(outlined, touched[touched > 0]) | hidden.repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(found, np.where(gone, -1, outlined))


def test_samples_share_labels_and_differ_in_pixels(monkeypatch):
    monkeypatch.setattr(crops, "CROP_PX", 20)
    dates = [date(0.1, 0.9), date(0.3, 0.4)]
    labels = np.repeat([[1, 2]], SIDE_PX, axis=1).repeat(2 * SIDE_PX, axis=0).astype(np.int32)
    cut = list(samples(dates, labels, reductions=(1, 2)))
    assert len(cut) % 2 == 0
    for first, second in zip(cut[::2], cut[1::2], strict=True):
        np.testing.assert_array_equal(first.instances, second.instances)
        assert first.instances.shape == (40, 40)
        assert not np.array_equal(first.image, second.image)
        assert np.flatnonzero(first.available).tolist() == list(BANDS)
    # Reduced or not, a pixel keeps the label of its strip.
    for crop in cut[::2]:
        bright = (crop.image[0] > 0.5).repeat(2, 0).repeat(2, 1)
        np.testing.assert_array_equal(bright, crop.instances == 2)
