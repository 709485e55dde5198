"""The fixed sample, the normalisation and the survey."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.enums import ColorInterp
from tiny_rasters import RGB, TEN_METRES, UTM, ramp, write_raster

from geopanoptic.grid import Grid
from geopanoptic.scene import Normalisation, measure, open_scene, survey
from geopanoptic.scene.radiometry import date_range
from geopanoptic.scene.sampling import WINDOW_PX, WINDOWS_PER_AXIS, Sample, sample_windows, take_sample

LIMIT = WINDOWS_PER_AXIS * WINDOW_PX


def _noise(*shape: int, dtype: str = "uint16") -> np.ndarray:
    return np.random.default_rng(3).integers(1, 5000, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32"])
def test_percentiles_of_a_small_scene_are_those_of_all_its_valid_pixels(tmp_path: Path, dtype: str) -> None:
    values = _noise(3, 40, 50).astype(dtype)
    values[:, :10] = 0
    scene = open_scene(write_raster(tmp_path / "scene.tif", values, names=RGB, nodata=0))
    found = measure(scene, ("blue", "red"))
    valid = (values[[2, 0]] != 0).all(axis=0)
    for number, plane in enumerate(values[[2, 0]]):
        expected = np.percentile(plane[valid], (2, 98))
        np.testing.assert_allclose((found.low[number], found.high[number]), expected, rtol=1e-6)


def test_apply_is_the_stated_formula() -> None:
    normal = Normalisation(bands=("red", "nir"), low=(100.0, 0.0), high=(300.0, 10.0))
    values = np.array([[[100, 300, 200, -1e6, 1e6]], [[0, 10, 5, 5, 5]]], np.float32)
    valid = np.array([[True, True, True, True, True]])
    np.testing.assert_allclose(normal.apply(values, valid)[0], [[0, 1, 0.5, -1, 2]])
    valid = np.array([[False, True, True, True, False]])
    applied = normal.apply(values, valid)
    assert applied.dtype == np.float32
    assert not applied[:, ~valid].any()
    with pytest.raises(ValueError, match="1 planes for 2 bands"):
        normal.apply(values[:1], valid)
    assert normal.select(["nir"]).low == (0.0,)


@given(
    arrays(np.float32, (2, 5, 4), elements=st.floats(-1e6, 1e6, width=32)),
    arrays(bool, (5, 4)),
)
def test_apply_is_bounded_finite_and_zero_where_invalid(values: np.ndarray, valid: np.ndarray) -> None:
    normal = Normalisation(bands=("red", "nir"), low=(-3.0, 1e6), high=(7.0, 1.001e6))
    applied = normal.apply(values, valid)
    assert np.isfinite(applied).all()
    assert applied.min() >= -1
    assert applied.max() <= 2
    assert not applied[:, ~valid].any()


@pytest.mark.parametrize("fill", [0, 5, 65535])
def test_constant_and_empty_bands_stay_finite(tmp_path: Path, fill: int) -> None:
    values = np.full((3, 6, 6), fill, "uint16")
    scene = open_scene(write_raster(tmp_path / "scene.tif", values, names=RGB, nodata=0))
    normal = measure(scene)
    assert all(low < high for low, high in zip(normal.low, normal.high, strict=True))
    pixels = scene.read(scene.grid.window)
    assert not normal.apply(*pixels).any()
    json.dumps(normal.to_json(), allow_nan=False)


def test_json_round_trip_is_exact(tmp_path: Path) -> None:
    scene = open_scene(write_raster(tmp_path / "scene.tif", _noise(3, 9, 9).astype("float32") / 7, names=RGB))
    normal = measure(scene)
    assert Normalisation.from_json(json.loads(json.dumps(normal.to_json()))) == normal


@pytest.mark.parametrize("shape", [(1, 1), (LIMIT, LIMIT), (LIMIT + 1, 3), (10_980, 10_980), (5, 10**6)])
def test_sample_windows_lie_inside_without_overlap(shape: tuple[int, int]) -> None:
    grid = Grid(crs_wkt="", transform=TEN_METRES, height=shape[0], width=shape[1])
    windows = sample_windows(grid)
    assert sum(window.size_px for window in windows) <= LIMIT**2
    assert all(grid.window.intersection(window) == window for window in windows)
    for number, window in enumerate(windows):
        assert all(window.intersection(other) is None for other in windows[number + 1 :])
    assert windows[-1].row1 == shape[0]
    assert windows[-1].col1 == shape[1]


def test_the_sample_depends_on_neither_blocks_nor_overviews(tmp_path: Path) -> None:
    values = _noise(3, LIMIT + 200, 70)
    strips = write_raster(tmp_path / "strips.tif", values, names=RGB)
    tiles = write_raster(
        tmp_path / "tiles.tif",
        values,
        names=RGB,
        tiled=True,
        blockxsize=64,
        blockysize=64,
        compress="deflate",
    )
    with rasterio.open(tiles, "r+") as dataset:
        dataset.build_overviews([2, 4, 8])
    one, other = (take_sample(open_scene(path)) for path in (strips, tiles))
    np.testing.assert_array_equal(one.values_cn, other.values_cn)
    assert one.values_cn.shape == (3, LIMIT * 70)
    assert measure(open_scene(strips)) == measure(open_scene(tiles), sample=other)


def test_an_all_nodata_scene_is_surveyed_with_a_warning(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "scene.tif", np.zeros((3, 5, 5), "uint16"), names=RGB, nodata=0)
    found = survey(open_scene(path))
    assert found.valid_share == 0
    assert "no valid pixel: everything is nodata" in found.warnings[0]


def test_a_scene_that_is_all_clouds_is_not_called_nodata(tmp_path: Path) -> None:
    values = _noise(4, 5, 5)
    values[3] = 9
    path = write_raster(tmp_path / "scene.tif", values, names=(*RGB, "SCL"))
    assert "no valid pixel: its cloud mask (scl) hides everything" in survey(open_scene(path)).warnings[0]


@pytest.mark.parametrize("border", [0, 65535])
def test_an_undeclared_border_is_suspected(tmp_path: Path, border: int) -> None:
    values = _noise(3, 40, 40)
    values[:, :8] = border
    scene = open_scene(write_raster(tmp_path / "scene.tif", values, names=RGB))
    found = survey(scene)
    assert found.valid_share == 1
    assert f"20.0% of scene is {border} in every band" in found.warnings[0]
    declared = open_scene(write_raster(tmp_path / "declared.tif", values, names=RGB, nodata=border))
    assert survey(declared).warnings == ()


def test_nodata_that_other_bands_have_data_for_is_suspected(tmp_path: Path) -> None:
    values = _noise(3, 40, 40)
    values[:, :, :8] = 0
    values[2, ::20] = 0
    scattered = open_scene(write_raster(tmp_path / "scattered.tif", values, names=RGB, nodata=0))
    assert survey(scattered).warnings == ()
    values[2, ::4] = 0
    (warning,) = survey(open_scene(write_raster(tmp_path / "dark.tif", values, names=RGB, nodata=0))).warnings
    assert "20% of dark is left out because it is nodata in some bands, but not in others (blue 0)" in warning
    values[2] = 0
    (first, warning) = survey(
        open_scene(write_raster(tmp_path / "no.tif", values, names=RGB, nodata=0))
    ).warnings
    assert "Only 0% of no is valid" in first
    assert "80% of no" in warning


def test_a_clean_scene_raises_no_suspicion(tmp_path: Path) -> None:
    assert survey(open_scene(write_raster(tmp_path / "a.tif", _noise(3, 30, 30), names=RGB))).warnings == ()


def test_a_scene_without_a_picture_is_mentioned(tmp_path: Path) -> None:
    values = np.zeros((3, 40, 40), "uint16")
    (warning,) = survey(open_scene(write_raster(tmp_path / "a.tif", values, names=RGB))).warnings
    assert "Every pixel looked at in a has the same value (red 0, green 0, blue 0)" in warning
    values = np.concatenate([_noise(3, 40, 40), np.full((1, 40, 40), 7, "uint16")])
    (warning,) = survey(open_scene(write_raster(tmp_path / "b.tif", values, names=(*RGB, "nir")))).warnings
    assert "b: the nir band is 7 in every pixel" in warning


def test_an_alpha_band_that_looks_like_a_picture_is_mentioned(tmp_path: Path) -> None:
    values = (_noise(4, 40, 40) // 16).astype("uint8")
    colours = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
    path = write_raster(tmp_path / "a.tif", values, colours=colours, photometric="RGB")
    (warning,) = survey(open_scene(path)).warnings
    assert "a.tif band 4" in warning
    assert "--bands red,green,blue,nir" in warning
    assert survey(open_scene(path, bands="red,green,blue,nir")).warnings == ()
    for opaque in (1, 255):
        values[3] = opaque
        values[3, :3] = 0
        path = write_raster(tmp_path / "b.tif", values, colours=colours, photometric="RGB")
        assert survey(open_scene(path)).warnings == ()


def test_much_nodata_is_mentioned(tmp_path: Path) -> None:
    values = ramp(3, 10, 10)
    values[:, 3:] = 0
    found = survey(open_scene(write_raster(tmp_path / "a.tif", values, names=RGB, nodata=0, crs=UTM)))
    assert found.valid_share == pytest.approx(0.3)
    assert "Only 30%" in found.warnings[0]


def ranged(values: list[float]) -> tuple[float, float]:
    plane = np.array([values], np.float32)
    found = date_range(Sample(bands=("red",), values_cn=plane, valid_n=np.ones(len(values), bool)))
    return found.low[0], found.high[0]


def test_a_band_of_nearly_one_value_keeps_its_full_range() -> None:
    assert ranged([5.0] * 999 + [9.0]) == (5.0, 9.0)


def test_beside_large_values_the_span_of_a_constant_band_does_not_vanish() -> None:
    low, high = ranged([1e9] * 10)
    assert np.float32(high) > np.float32(low)


def test_some_bands_are_clipped_as_all_were() -> None:
    stated = Normalisation(bands=("red", "nir"), low=(0.0, 1.0), high=(2.0, 3.0), clip=(0.0, 1.0))
    assert stated.select(["nir"]) == Normalisation(bands=("nir",), low=(1.0,), high=(3.0,), clip=(0.0, 1.0))


def test_a_stated_scale_makes_reflectances(tmp_path: Path) -> None:
    values = ramp(3, 4, 4).astype("uint16")
    scaled = open_scene(write_raster(tmp_path / "a.tif", values, names=RGB, scales=(1e-4,) * 3))
    bare = open_scene(write_raster(tmp_path / "b.tif", values, names=RGB))
    assert {layer.reflectance_of_one for layer in scaled.layers} == {1.0}
    assert {layer.reflectance_of_one for layer in bare.layers} == {10_000.0}
