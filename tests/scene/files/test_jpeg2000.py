"""Real JPEG 2000 files, as Sentinel-2 products hold them: 10 m and 20 m bands in files of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

from geopanoptic.scene import open_scene

TRANSFORM = Affine(10, 0, 500_000, 0, -10, 5_300_000)


def write_jp2(path: Path, values: np.ndarray, transform: Affine) -> None:
    with rasterio.open(
        path,
        "w",
        driver="JP2OpenJPEG",
        height=values.shape[0],
        width=values.shape[1],
        count=1,
        dtype="uint16",
        crs="EPSG:32633",
        transform=transform,
        QUALITY="100",
        REVERSIBLE="YES",
    ) as file:
        file.write(values.astype(np.uint16), 1)


def test_bands_of_a_sentinel2_folder_are_named_dated_and_laid_on_one_grid(tmp_path):
    rng = np.random.default_rng(0)
    stored = {code: rng.integers(1, 4000, (90, 70)) for code in ("B02", "B03", "B04", "B08")}
    for code, values in stored.items():
        write_jp2(tmp_path / f"T33UVP_20210615T101559_{code}_10m.jp2", values, TRANSFORM)
    coarse = np.full((45, 35), 1234)
    write_jp2(tmp_path / "T33UVP_20210615T101559_B11_20m.jp2", coarse, TRANSFORM @ Affine.scale(2))

    scene = open_scene(tmp_path)
    assert scene.bands == ("blue", "green", "red", "nir", "swir16")
    assert [str(date) for date in scene.dates] == ["2021-06-15"]
    assert any("swir16 resampled" in note for note in scene.notes)
    values, valid = scene.read(scene.grid.window)
    assert valid.all()
    np.testing.assert_array_equal(values[:4], np.stack(list(stored.values())))
    np.testing.assert_array_equal(values[4], 1234)
