"""Scenes in coarser pixels: means of valid pixels, whatever the window, against numpy on the whole array."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_rasters import RGB, TEN_METRES, ramp, whole, write_raster

from geopanoptic.errors import UsageError
from geopanoptic.grid import Window
from geopanoptic.scene import Scene, cache_bytes, open_scene
from geopanoptic.scene.pixels import reduction as reduction_module
from geopanoptic.scene.pixels.reduction import factor_for

HEIGHT, WIDTH = 23, 31


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    """Three bands (3, 23, 31) of uint16 with 0, the nodata value, here and there and all over one corner."""
    rng = np.random.default_rng(5)
    values = rng.integers(1, 60_000, (3, HEIGHT, WIDTH), dtype=np.uint16)
    values[:, rng.random((HEIGHT, WIDTH)) < 0.3] = 0
    values[:, :9, :10] = 0
    return values


@pytest.fixture(scope="module")
def scene(values, tmp_path_factory) -> Scene:
    path = tmp_path_factory.mktemp("fine") / "scene.tif"
    return open_scene(write_raster(path, values, names=RGB, nodata=0))


def expected(values: np.ndarray, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the valid pixels of each cell (NaN: none), and which cells are at least half valid, of as many pixels
    as one can hold."""
    height, width = -(-HEIGHT // factor), -(-WIDTH // factor)
    padded = np.full((3, height * factor, width * factor), np.nan)
    padded[:, :HEIGHT, :WIDTH] = np.where(values == 0, np.nan, values)
    cells = (
        padded.reshape(3, height, factor, width, factor)
        .transpose(0, 1, 3, 2, 4)
        .reshape(3, height, width, -1)
    )
    seen = np.isfinite(cells[0])
    sums = np.nansum(cells, axis=-1)
    return sums / np.maximum(seen.sum(-1), 1), 2 * seen.sum(-1) >= min(factor, HEIGHT) * min(factor, WIDTH)


@pytest.mark.parametrize("factor", [2, 3, 8, 31])
def test_a_pixel_is_the_mean_of_the_valid_ones_it_is_made_of(factor, scene, values):
    reduced = scene.reduced(factor)
    means, valid = expected(values, factor)
    read, read_valid = whole(reduced)
    assert reduced.grid.shape == valid.shape
    np.testing.assert_array_equal(read_valid, valid)
    np.testing.assert_allclose(read, np.where(valid, means, 0), rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    factor=st.integers(2, 7),
    corner=st.tuples(st.integers(-3, 12), st.integers(-3, 12)),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    stored_px=st.sampled_from([1, 400, 1 << 22]),
)
def test_windows_and_strips_do_not_matter(factor, corner, shape, stored_px, scene):
    reduced = scene.reduced(factor)
    outer = Window(-3, -3, 25, 25)
    all_values, all_valid = reduced.read(outer)
    window = Window(*corner, corner[0] + shape[0], corner[1] + shape[1])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(reduction_module, "_STORED_PX", stored_px)
        values, valid = reduced.read(window)
    assert values.tobytes() == all_values[(slice(None), *window.slices(outer))].tobytes()
    assert valid.tobytes() == all_valid[window.slices(outer)].tobytes()


def test_the_grid_keeps_its_corner_and_covers_the_scene(scene):
    reduced = scene.reduced(4)
    assert reduced.grid.transform == TEN_METRES @ Affine.scale(4)
    assert reduced.grid.shape == (6, 8)
    assert reduced.stored_grid == scene.grid
    assert reduced.reduced(1) == scene
    assert reduced.reduced(2) == scene.reduced(2)
    assert reduced.fingerprint() != scene.fingerprint()
    assert pickle.loads(pickle.dumps(reduced)) == reduced
    assert reduced.quicklook().shape == scene.quicklook().shape


def test_pixels_hidden_by_a_cloud_mask_take_no_part(tmp_path: Path):
    write_raster(
        tmp_path / "s_20210615.tif", np.full((3, 4, 4), [[[10]], [[20]], [[30]]], np.uint16), names=RGB
    )
    clouds = np.zeros((4, 4), np.uint8)
    clouds[0, :2] = clouds[2:, :2] = 1
    write_raster(tmp_path / "s_20210615_cloudmask.tif", clouds)
    reduced = open_scene(tmp_path).reduced(2)
    assert reduced.masks
    values, valid = whole(reduced)
    assert valid.tolist() == [[True, True], [False, True]]
    assert values[:, 0, 0].tolist() == [10, 20, 30]


def test_the_cache_holds_the_stored_pixels_of_a_window(tmp_path: Path):
    path = write_raster(
        tmp_path / "s.tif", ramp(3, 2048, 2048), names=RGB, tiled=True, blockxsize=256, blockysize=256
    )
    scene = open_scene(path)
    assert cache_bytes(scene.reduced(4), 256) == cache_bytes(scene, 1024)


@pytest.mark.parametrize(
    ("pixel_m", "factor"), [(0.5, 20), (1.25, 8), (2.5, 4), (3, 3), (5, 2), (6, 2), (7, 1), (10, 1), (30, 1)]
)
def test_the_factor_comes_nearest_to_the_wanted_size(pixel_m, factor):
    assert factor_for(pixel_m, 10.0) == factor


@pytest.mark.parametrize("factor", [0, -1, 32])
def test_a_reduction_that_leaves_nothing_is_refused(factor, scene):
    with pytest.raises(UsageError, match=f"31 x 23 pixels, which cannot be reduced {factor} times"):
        scene.reduced(factor)


def test_wide_windows_are_read_in_parts(scene, values):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(reduction_module, "_STORED_PX", 3 * 4**2 * 2)
        parts = list(scene.reduced(4).reduction._parts(Window(0, 0, 6, 8), 3))
    assert {part.shape for part in parts} == {(1, 2)}
    assert sum(part.size_px for part in parts) == 48


@pytest.mark.parametrize(("height", "width"), [(3, 2000), (1, 640), (700, 2)])
def test_a_scene_narrower_than_a_pixel_is_not_lost(tmp_path: Path, height: int, width: int) -> None:
    metres = Affine(1, 0, 600_000, 0, -1, 5_700_000)
    path = write_raster(tmp_path / "strip.tif", ramp(3, height, width), names=RGB, transform=metres)
    scene = open_scene(path)
    assert whole(scene.reduced(10))[1].all()
    usual = scene.for_network(10)
    assert min(usual.grid.shape) == 1
    assert max(usual.grid.pixel_size_m()) == pytest.approx(min(height, width), rel=0.01)
    assert whole(usual)[1].all()
