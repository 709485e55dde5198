"""Landsat Collection 2 Level-2: reflectances as USGS documents them, where the files are those products for sure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_rasters import ramp, whole, write_raster

from geopanoptic.scene import Scene, open_scene

PRODUCT = "LC08_L2SP_193024_20210615_20210622_02_T1"
NUMBERS = ramp(3, 4, 4, start=8000)
NUMBERS[0, 0, 0] = 0  # fill


def _scene(folder: Path, stem: str = f"{PRODUCT}_SR_B{{}}.TIF", **options: object) -> Scene:
    for code, values in zip((2, 3, 4), NUMBERS.astype(str(options.pop("dtype", "uint16"))), strict=True):
        write_raster(folder / stem.format(code), values, **options)  # type: ignore[arg-type]
    return open_scene(folder)


def test_files_as_delivered_are_read_as_reflectance_and_told(tmp_path: Path) -> None:
    scene = _scene(tmp_path)
    values, valid = whole(scene)
    assert not valid[0, 0]
    # The example of USGS: 18,639 is .313.
    assert 18_639 * scene.layers[0].scale + scene.layers[0].offset == pytest.approx(0.313, abs=5e-4)
    np.testing.assert_allclose(values[:, valid], NUMBERS[:, valid] * 2.75e-5 - 0.2, rtol=1e-5)
    assert {layer.reflectance_of_one for layer in scene.layers} == {1}
    assert scene.notes == (
        f"{PRODUCT}_SR_B2.TIF and 2 more: numbers x 0.0000275 - 0.2 are reflectance "
        "(USGS, Landsat Collection 2 Level-2).",
    )


@pytest.mark.parametrize(
    ("stem", "options"),
    [
        (f"{PRODUCT}_SR_B{{}}_clip.tif", {}),
        (f"{PRODUCT}_SR_B{{}}.tif", {"dtype": "float32"}),
        ("LC08_L1TP_193024_20210615_20210622_02_T1_SR_B{}.tif", {}),
    ],
)
def test_numbers_that_may_have_been_changed_count_as_they_are(
    tmp_path: Path, stem: str, options: dict[str, object]
) -> None:
    scene = _scene(tmp_path, stem, **options)
    assert {(layer.scale, layer.offset) for layer in scene.layers} == {(1, 0)}
    assert [note for note in scene.notes if "gdal_edit -scale 0.0000275 -offset -0.2" in note] == (
        list(scene.notes) if "clip" in stem else []
    )


def test_a_stated_scale_counts(tmp_path: Path) -> None:
    scene = _scene(tmp_path, scales=[1e-4])
    assert {layer.scale for layer in scene.layers} == {1e-4}
    assert scene.notes == ()
