"""Blocks of a file that cannot be decoded: named, or left out with their pixels invalid."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.enums import ColorInterp
from tiny_rasters import RGB, TEN_METRES, ramp, write_raster

from geopanoptic.errors import SceneError
from geopanoptic.grid import Window
from geopanoptic.scene import Scene, UnreadableBlock, open_scene, take_sample

ROTTEN = (Window(32, 32, 64, 64), Window(64, 96, 96, 128))


@pytest.fixture(params=["pixel", "band"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Scene:
    """128 x 128 px in blocks of 32, of which two cannot be decoded; swir16 from a coarser, whole file."""
    values = np.random.default_rng(1).integers(1, 60_000, (3, 128, 128)).astype("uint16")
    path = write_raster(
        tmp_path / "rotten.tif", values, names=RGB, tiled=True, blockxsize=32, blockysize=32,
        compress="deflate", interleave=request.param,
    )  # fmt: skip
    with rasterio.open(path) as dataset:
        places = [
            int(dataset.get_tag_item(f"BLOCK_OFFSET_{at.col0 // 32}_{at.row0 // 32}", "TIFF", bidx=2))
            for at in ROTTEN
        ]
    stored = bytearray(path.read_bytes())
    for place in places:
        stored[place : place + 400] = b"\xff" * 400
    path.write_bytes(stored)
    coarse = write_raster(tmp_path / "swir16.tif", ramp(64, 64), transform=TEN_METRES @ Affine.scale(2))
    return open_scene([path, coarse])


def expected_validity(window: Window) -> np.ndarray:
    valid = np.ones(window.shape, bool)
    for block in ROTTEN:
        inside = block.intersection(window)
        if inside is not None:
            valid[inside.slices(window)] = False
    return valid


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(
    rows=st.tuples(st.integers(0, 127), st.integers(1, 128)),
    cols=st.tuples(st.integers(0, 127), st.integers(1, 128)),
)
def test_skipping_does_not_depend_on_the_window(
    scene: Scene, rows: tuple[int, int], cols: tuple[int, int]
) -> None:
    window = Window(rows[0], cols[0], min(128, rows[0] + rows[1]), min(128, cols[0] + cols[1]))
    found: list[UnreadableBlock] = []
    values, valid = scene.read(window, on_unreadable=found.append)
    np.testing.assert_array_equal(valid, expected_validity(window))
    assert not values[:, ~valid].any()
    assert [block.window for block in found] == [b for b in ROTTEN if b.intersection(window)]


def test_skipped_blocks_are_values(scene: Scene) -> None:
    found: list[UnreadableBlock] = []
    for window in (Window(0, 0, 70, 128), Window(50, 0, 128, 128)):
        scene.read(window, on_unreadable=found.append)
    assert len(found) == 4
    assert len(set(found)) == 2
    block = pickle.loads(pickle.dumps(found[0]))
    assert block == found[0]
    assert block.to_json()["window"] == [32, 32, 64, 64]
    assert block.file.endswith("rotten.tif")
    assert block.reason


def test_the_sample_skips_them_too(scene: Scene) -> None:
    with pytest.raises(SceneError, match=r"rotten\.tif: the block of rows 32 to 64 and columns 32 to 64"):
        take_sample(scene)
    sample = take_sample(scene, on_unreadable=lambda block: None)
    assert sample.valid_share == 1 - 2 / 16


def test_other_bands_of_a_band_file_are_whole(scene: Scene) -> None:
    found: list[UnreadableBlock] = []
    _, valid = scene.read(scene.grid.window, ["swir16"], on_unreadable=found.append)
    assert valid.all()
    assert not found


def test_alpha_counts_beside_a_block_that_cannot_be_decoded(tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(1, 60_000, (4, 64, 64)).astype("uint16")
    values[3] = 65535
    values[3, :, :8] = 0
    colours = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
    path = write_raster(
        tmp_path / "a.tif", values, colours=colours, tiled=True, blockxsize=32, blockysize=32,
        compress="deflate", interleave="pixel",
    )  # fmt: skip
    with rasterio.open(path) as dataset:
        place = int(dataset.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", bidx=1))
    stored = bytearray(path.read_bytes())
    stored[place : place + 400] = b"\xff" * 400
    path.write_bytes(stored)
    scene = open_scene(path)
    _, valid = scene.read(scene.grid.window, on_unreadable=lambda _: None)
    expected = np.ones((64, 64), bool)
    expected[:, :8] = expected[32:, 32:] = False
    np.testing.assert_array_equal(valid, expected)
