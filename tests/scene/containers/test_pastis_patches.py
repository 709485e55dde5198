"""PASTIS patches as scenes: real metadata of nine patches, images made here."""

from __future__ import annotations

import json
import pickle
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from tiny_rasters import whole

from geopanoptic.errors import SceneError
from geopanoptic.grid import Window
from geopanoptic.scene import open_scene
from geopanoptic.scene.containers.pastis import BANDS

PATCH = 10000


class DataSet:
    """A copy of the real metadata, with images."""

    def __init__(self, folder: Path, source: Path) -> None:
        self.metadata = folder / "metadata.geojson"
        shutil.copy(source / "pastis-labels/metadata.geojson", self.metadata)
        self.document: dict[str, Any] = json.loads(self.metadata.read_text())
        self.feature = next(f for f in self.document["features"] if f["properties"]["ID_PATCH"] == PATCH)
        self.path = folder / f"DATA_S2/S2_{PATCH}.npy"
        self.path.parent.mkdir()
        stated = self.feature["properties"]["dates-S2"]
        self.days = [str(day) for day in stated.values()]
        numbers = np.random.default_rng(1).integers(0, 9000, (len(self.days), 10, 128, 128))
        self.images = numbers.astype(np.int16)
        np.save(self.path, self.images)

    def change(self, **properties: Any) -> None:
        self.feature["properties"] |= properties
        self.save()

    def save(self) -> None:
        self.metadata.write_text(json.dumps(self.document))


@pytest.fixture
def patch(tmp_path: Path, shared_data: Path) -> DataSet:
    return DataSet(tmp_path, shared_data)


pytestmark = pytest.mark.realdata


def test_pixels_dates_and_place(patch: DataSet) -> None:
    scene = open_scene(patch.path)
    assert scene.bands == BANDS
    assert [f"{when:%Y%m%d}" for when in scene.dates if when] == patch.days
    assert scene.grid.crs.to_epsg() == 32630
    # The box that the nine real patches share a lattice of 1280 m with.
    np.testing.assert_allclose(
        scene.grid.bounds, (624892.364, 5498240.621, 626172.364, 5499520.621), atol=1e-3
    )
    assert scene.grid.transform.a == -scene.grid.transform.e == 10
    for when, image in list(zip(scene.dates, patch.images, strict=True))[::20]:
        values, valid = whole(scene.at(when))
        np.testing.assert_array_equal(values, image)
        assert valid.all()
    part = scene.at(scene.dates[1]).read(Window(-2, 100, 5, 140), ("red", "blue"))[0]
    np.testing.assert_array_equal(part[:, 2:, :28], patch.images[1][[2, 0], :5, 100:])
    assert scene.files == (patch.path.resolve(),)
    assert pickle.loads(pickle.dumps(scene)) == scene
    assert scene.at(scene.dates[0]).quicklook(longest_px=32).shape == (32, 32, 3)


def test_every_real_polygon_is_a_box_of_its_tile(patch: DataSet) -> None:
    for feature in patch.document["features"]:
        path = patch.path.with_name(f"S2_{feature['properties']['ID_PATCH']}.npy")
        np.save(path, patch.images)
        feature["properties"]["dates-S2"] = patch.feature["properties"]["dates-S2"]
    patch.save()
    corners = set()
    for path in patch.path.parent.iterdir():
        transform = open_scene(path).grid.transform
        assert transform.almost_equals(Affine(10, 0, transform.c, 0, -10, transform.f), 1e-9)
        corners.add((round(transform.c % 1280 % 10, 3), round(transform.f % 10, 3)))
    assert len(corners) == 1, "all lie on one lattice of pixels"


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("kind", [dict, json.dumps, str])
def test_dates_in_any_spelling_and_order(patch: DataSet, kind: Any, first: int) -> None:
    stated = patch.feature["properties"]["dates-S2"]
    days = {str(int(key) + first): int(day) for key, day in reversed(stated.items())}
    patch.change(**{"dates-S2": kind(days), "TILE": "T30UXV"})
    scene = open_scene(patch.path)
    assert [f"{when:%Y%m%d}" for when in scene.dates if when] == patch.days


def test_unsorted_days_keep_their_images_and_doubled_ones_are_told(patch: DataSet) -> None:
    days = dict(enumerate(map(int, patch.days)))
    days[0], days[5], days[8] = days[5], days[0], days[7]
    patch.change(**{"dates-S2": {str(key): day for key, day in days.items()}})
    scene = open_scene(patch.path)
    assert list(scene.dates) == sorted(scene.dates)
    assert len(scene.dates) == len(days) - 1
    assert any("comes again" in warning for warning in scene.warnings)
    values, _ = whole(scene.at(date.fromisoformat(patch.days[0])))
    np.testing.assert_array_equal(values, patch.images[5])


def test_a_run_sees_a_changed_patch(patch: DataSet) -> None:
    scene = open_scene(patch.path)
    assert scene.changed_files() == ()
    np.save(patch.path, patch.images[:-1])
    assert scene.changed_files() == (patch.path.resolve(),)
    with pytest.raises(SceneError, match="changed since"):
        whole(scene.at(scene.dates[0]))
    with pytest.raises(SceneError, match=r"42 images, but .* states 43 dates"):
        open_scene(patch.path)


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"dates-S2": "{'0': __import__('os').system('true')}"}, "no usable dates-S2"),
        ({"dates-S2": None}, "no usable dates-S2"),
        ({"dates-S2": {"0": 20180231}}, "no usable dates-S2"),
        ({"TILE": "somewhere"}, "no Sentinel-2 tile"),
        ({"TILE": "t33uxv"}, "no upright square"),
        ({"ID_PATCH": 1}, "does not list the patch 10000"),
    ],
)
def test_metadata_that_do_not_fit(patch: DataSet, properties: dict[str, Any], message: str) -> None:
    patch.change(**properties)
    with pytest.raises(SceneError, match=message):
        open_scene(patch.path)


def test_other_files_of_that_name(patch: DataSet) -> None:
    np.save(patch.path, np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(SceneError, match="Python objects"):
        open_scene(patch.path)
    np.save(patch.path, patch.images[:, :4])
    with pytest.raises(SceneError, match="rows, columns"):
        open_scene(patch.path)
    np.save(patch.path, patch.images)
    patch.path.write_bytes(patch.path.read_bytes()[:5000])
    with pytest.raises(SceneError, match="damaged, cut short"):
        open_scene(patch.path)
    np.save(patch.path, patch.images)
    patch.metadata.write_text("{")
    with pytest.raises(SceneError, match="not well-formed JSON"):
        open_scene(patch.path)
    patch.metadata.unlink()
    with pytest.raises(SceneError, match=r"metadata.geojson.*not there.*DATA_S2"):
        open_scene(patch.path)
