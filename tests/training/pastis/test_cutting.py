"""A dated scene and its parcels become PASTIS data."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest
from shapely import box
from tiny_training import write_scene

from geopanoptic.errors import UsageError
from geopanoptic.scene import open_scene
from geopanoptic.training.pastis.cutting import patches_of_scene
from geopanoptic.training.pastis.folder import CROPS, NODATA, PATCH_PX, VOID
from geopanoptic.training.pastis.season import SeasonReader
from geopanoptic.training.pastis.writing import write_pastis
from geopanoptic.training.synthetic import BANDS
from geopanoptic.training.synthetic.phenology import KINDS
from geopanoptic.training.synthetic.series import synthesize_series

LEFT, TOP = 600_000, 5_700_000


def field(row: int, col: int, height: int, width: int) -> object:
    x, y = LEFT + 10 * col, TOP - 10 * row
    return box(x, y - 10 * height, x + 10 * width, y)


PARCELS = geopandas.GeoDataFrame(
    {"crop": ["Corn", "Meadow", "Rye", "Soybeans"]},
    # The second lies by three quarters in the first patch, the fourth beyond the last whole patch.
    geometry=[field(10, 10, 20, 30), field(40, 98, 20, 40), field(70, 10, 9, 9), field(132, 5, 9, 9)],
    crs="EPSG:32632",
)


def test_scenes_become_patches_that_read_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    days = {
        "20210401": rng.uniform(0.02, 0.5, (10, 150, 280)),
        "20210701": rng.uniform(0.02, 0.5, (10, 150, 280)),
    }
    for day, image in days.items():
        write_scene(tmp_path / f"s2_{day}.tif", image)
    scene = open_scene(tmp_path)
    folder = write_pastis(tmp_path / "PASTIS", patches_of_scene(scene, PARCELS))
    assert [patch.number for patch in folder.patches] == [10_000, 10_001]
    first, second = folder.patches
    assert first.dates["S2"] == scene.dates
    for patch, cols in ((first, slice(0, 128)), (second, slice(128, 256))):
        for stored, image in zip(folder.series(patch, "S2"), days.values(), strict=True):
            np.testing.assert_array_equal(stored, (image[:, :128, cols] * 10_000).astype(np.int16))
    target = folder.labels(first).target_hw
    assert (target[10:30, 10:40] == 3).all()
    assert (target[40:60, 98:128] == 1).all()
    # Another crop is background; the quarter of a parcel is void.
    assert (target > 0).sum() == 20 * 30 + 20 * 30
    assert (folder.labels(second).target_hw[40:60, :10] == VOID).all()
    season = SeasonReader(folder=folder, bands=BANDS, sensors=("S2",))(first)
    assert season.day_t.tolist() == [91, 182]


def test_a_generated_season_becomes_pastis_data(tmp_path: Path) -> None:
    series = synthesize_series((PATCH_PX, PATCH_PX), days=(100, 160, 200), seed=4)
    series.to_geotiffs(tmp_path / "season")
    parcels = series.parcels()
    crops = dict(zip(KINDS, ("Soft winter wheat", "Corn", "Meadow", "Orchard"), strict=True))
    parcels["crop"] = parcels["class_name"].map(crops)
    scene = open_scene(tmp_path / "season")
    folder = write_pastis(tmp_path / "PASTIS", patches_of_scene(scene, parcels))
    (patch,) = folder.patches
    for stored, image, valid in zip(
        folder.series(patch, "S2"), series.images_tchw, series.valid_thw, strict=True
    ):
        np.testing.assert_array_equal(stored, np.where(valid, image.astype(np.int16), NODATA))
    labels = folder.labels(patch)
    numbers = np.array([0, *(CROPS.index(crops[KINDS[kind]]) + 1 for kind in series.kinds[1:])])
    # A label pixel of the data set is four of the truth; away from the outlines both say the same.
    truth = series.instances.reshape(PATCH_PX, 2, PATCH_PX, 2).swapaxes(1, 2).reshape(PATCH_PX, PATCH_PX, 4)
    inside = (truth == truth[..., :1]).all(-1)
    np.testing.assert_array_equal(labels.target_hw[inside], numbers[truth[..., 0]][inside])
    assert labels.instances_hw.max() > 5


def test_scenes_that_the_format_cannot_hold_are_refused(tmp_path: Path) -> None:
    image = np.full((10, 150, 150), 0.1)
    scene = open_scene(write_scene(tmp_path / "undated.tif", image))
    with pytest.raises(UsageError, match="no dates"):
        next(patches_of_scene(scene, PARCELS))
    scene = open_scene(write_scene(tmp_path / "s2_20210401.tif", image[:3], ("blue", "green", "red")))
    with pytest.raises(UsageError, match="has no rededge1"):
        next(patches_of_scene(scene, PARCELS))
    scene = open_scene(write_scene(tmp_path / "s2_20210402.tif", image))
    with pytest.raises(UsageError, match="no column 'kind'"):
        next(patches_of_scene(scene, PARCELS, crop="kind"))
