"""What a run's reader shows the network, wherever it is written."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio import Affine

from geopanoptic.grid import Window
from geopanoptic.pipeline.network.reading import SceneDate
from geopanoptic.scene import Normalisation, open_scene

WINDOW = Window(-8, 4, 24, 36)


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory):
    path: Path = tmp_path_factory.mktemp("scene") / "scene.tif"
    values = np.random.default_rng(0).integers(1, 4000, (2, 40, 40)).astype(np.uint16)
    values[:, :5, :9] = 0
    how = {"driver": "GTiff", "width": 40, "height": 40, "count": 2, "dtype": "uint16", "nodata": 0}
    with rasterio.open(
        path, "w", crs="EPSG:32632", transform=Affine(10, 0, 6e5, 0, -10, 5e6), **how
    ) as dataset:
        dataset.write(values)
        dataset.descriptions = ("red", "nir")

    def reader(*model_bands: str, one_flag: bool) -> SceneDate:
        return SceneDate(
            scene=open_scene(path),
            day=math.nan,
            bands=("red", "nir"),
            model_bands=model_bands,
            one_flag=one_flag,
            normalisation=Normalisation(bands=("red", "nir"), low=(0.0, 100.0), high=(3000.0, 2000.0)),
            cache_bytes=16 << 20,
        )

    return reader


def test_absent_bands_and_their_flags_are_zero_whatever_was_there(read):
    date = read("blue", "red", "nir", one_flag=False)
    into = np.full((date.n_channels, *WINDOW.shape), np.nan, np.float32)
    shown, valid = date(WINDOW, into=into)
    assert shown is into
    assert valid.any()
    assert not valid[:8].any()
    np.testing.assert_array_equal(shown[[0, 3]], 0)
    np.testing.assert_array_equal(shown[4:], np.stack([valid] * 2))
    np.testing.assert_array_equal(date(WINDOW)[0], shown)


def test_one_flag_stands_for_all_bands(read):
    shown, valid = read("red", "nir", one_flag=True)(WINDOW)
    every, _ = read("blue", "red", "nir", one_flag=False)(WINDOW)
    np.testing.assert_array_equal(shown[:2], every[1:3])
    np.testing.assert_array_equal(shown[2], valid)
    assert len(shown) == 3
