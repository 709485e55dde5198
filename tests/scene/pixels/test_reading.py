"""Pixels and validity of windows, against rasterio and numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp
from tiny_rasters import RGB, TEN_METRES, ramp, whole, write_raster

from geopanoptic.errors import SceneError
from geopanoptic.grid import Window
from geopanoptic.scene import open_scene


def test_values_equal_rasterio(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "scene.tif", ramp(3, 7, 5), names=RGB)
    values, valid = whole(open_scene(path))
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(values, dataset.read())
    assert values.dtype == np.float32
    assert valid.dtype == bool
    assert valid.all()


def test_bands_come_in_the_order_asked(tmp_path: Path) -> None:
    write_raster(tmp_path / "rg.tif", ramp(2, 2, 2, start=0), names=("red", "green"))
    write_raster(tmp_path / "bn.tif", ramp(2, 2, 2, start=8), names=("blue", "nir"))
    scene = open_scene(tmp_path)
    values, _ = whole(scene, "nir", "red", "blue", "green")
    assert values[:, 0, 0].tolist() == [12, 0, 8, 4]
    with pytest.raises(SceneError, match="no swir16 band; it has blue, nir, red, green"):
        whole(scene, "swir16")


def test_windows_may_reach_outside(tmp_path: Path) -> None:
    scene = open_scene(write_raster(tmp_path / "scene.tif", ramp(3, 4, 4), names=RGB))
    values, valid = scene.read(Window(-2, -3, 3, 2))
    inside, _ = scene.read(Window(0, 0, 3, 2))
    assert values.shape == (3, 5, 5)
    np.testing.assert_array_equal(values[:, 2:, 3:], inside)
    assert valid.sum() == 6
    assert not values[:, ~valid].any()
    far, nothing = scene.read(Window(100, 100, 103, 101))
    assert far.shape == (3, 3, 1)
    assert not nothing.any()
    assert scene.read(Window(2, 2, 2, 2))[0].shape == (3, 0, 0)


def test_nodata_may_differ_per_band_and_partial_nodata_counts(tmp_path: Path) -> None:
    for band, nodata in (("red", 0), ("green", 65535), ("blue", None)):
        values = ramp(4, 4)
        values[0, 0], values[1, 1], values[2, 2] = 0, 65535, 7
        write_raster(tmp_path / f"{band}.tif", values, nodata=nodata)
    scene = open_scene(tmp_path)
    assert dict(zip(scene.bands, scene.nodata, strict=True)) == {"blue": None, "green": 65535, "red": 0}
    expected = np.ones((4, 4), bool)
    expected[0, 0] = expected[1, 1] = False
    values, valid = whole(scene)
    np.testing.assert_array_equal(valid, expected)
    assert not values[:, ~valid].any()
    assert whole(scene, "blue")[1].all()
    assert whole(scene, "red")[1].sum() == 15


def test_nan_infinity_and_overflow_are_invalid(tmp_path: Path) -> None:
    values = ramp(3, 3, 3, dtype="float64")
    values[0, 0, 0], values[1, 0, 1], values[2, 0, 2], values[0, 1, 0] = np.nan, np.inf, -np.inf, 1e300
    scene = open_scene(write_raster(tmp_path / "scene.tif", values, names=RGB))
    read, valid = whole(scene)
    assert valid.tolist() == [[False, False, False], [False, True, True], [True, True, True]]
    assert np.isfinite(read).all()


@pytest.mark.parametrize("nodata", [np.nan, -3.4028234663852886e38, -9999.0])
def test_float_nodata(tmp_path: Path, nodata: float) -> None:
    values = ramp(3, 2, 2, dtype="float32")
    values[:, 0, 1] = nodata
    scene = open_scene(write_raster(tmp_path / "scene.tif", values, names=RGB, nodata=nodata))
    assert whole(scene)[1].tolist() == [[True, False], [True, True]]


def test_alpha_is_validity_unless_it_is_named(tmp_path: Path) -> None:
    values = ramp(4, 2, 2, dtype="uint8")
    values[3] = [[255, 0], [1, 255]]
    colours = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
    path = write_raster(
        tmp_path / "scene.tif", values, names=(*RGB, None), colours=colours, photometric="RGB"
    )
    scene = open_scene(path)
    assert scene.bands == RGB
    assert whole(scene)[1].tolist() == [[True, False], [True, True]]
    named = open_scene(path, bands="red,green,blue,nir")
    assert whole(named)[1].all()
    assert whole(named, "nir")[0][0].tolist() == [[255, 0], [1, 255]]


@pytest.mark.parametrize("name", ["alpha", "B4", "Band 4"])
def test_a_band_that_is_only_counted_may_be_alpha(tmp_path: Path, name: str) -> None:
    values = ramp(4, 2, 2, dtype="uint8")
    values[3] = [[255, 0], [255, 255]]
    colours = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
    path = write_raster(
        tmp_path / "scene.tif", values, names=("", "", "", name), colours=colours, photometric="RGB"
    )
    assert whole(open_scene(path))[1].tolist() == [[True, False], [True, True]]


@pytest.mark.parametrize("by_tag", [False, True])
def test_a_band_with_a_name_is_no_alpha(tmp_path: Path, by_tag: bool) -> None:
    """GDAL calls the last of four 8-bit bands alpha by itself."""
    values = ramp(4, 2, 2, dtype="uint8", start=0)
    values[3, 0, 0] = 0
    names = ("red", "green", "blue", "" if by_tag else "NIR")
    colours = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
    path = write_raster(tmp_path / "scene.tif", values, names=names, colours=colours, photometric="RGB")
    if by_tag:
        with rasterio.open(path, "r+") as dataset:
            dataset.update_tags(4, common_name="nir")
    scene = open_scene(path)
    assert scene.bands == ("red", "green", "blue", "nir")
    assert whole(scene)[1].all()


@pytest.mark.parametrize("internal", [True, False])
def test_mask_bands(tmp_path: Path, internal: bool) -> None:
    mask = np.array([[True, False], [True, True]])
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal):
        path = write_raster(tmp_path / "scene.tif", ramp(3, 2, 2), names=RGB, mask=mask)
    assert (tmp_path / "scene.tif.msk").exists() is not internal
    np.testing.assert_array_equal(whole(open_scene(path))[1], mask)


def test_nodata_of_a_float_band_beside_one_of_integers(tmp_path: Path) -> None:
    """Both are read as float64, where the float32 next to 0.1 is another number."""
    values = np.array([[0.1, 0.5]], np.float32)
    write_raster(tmp_path / "red.tif", values)
    write_raster(tmp_path / "nir.tif", np.array([[1, 2]], np.int32))
    bands = "".join(
        f"<VRTRasterBand dataType='{dtype}' band='{number}'><Description>{name}</Description>{nodata}"
        f"<SimpleSource><SourceFilename relativeToVRT='1'>{name}.tif</SourceFilename><SourceBand>1</SourceBand>"
        "</SimpleSource></VRTRasterBand>"
        for number, name, dtype, nodata in (
            (1, "red", "Float32", "<NoDataValue>0.1</NoDataValue>"),
            (2, "nir", "Int32", ""),
        )
    )
    path = tmp_path / "both.vrt"
    path.write_text(
        "<VRTDataset rasterXSize='2' rasterYSize='1'><SRS>EPSG:32632</SRS>"
        f"<GeoTransform>600000,10,0,5700000,0,-10</GeoTransform>{bands}</VRTDataset>"
    )
    assert whole(open_scene(path, allow_vrt=True))[1].tolist() == [[False, True]]


def test_scale_and_offset_are_applied_after_nodata(tmp_path: Path) -> None:
    values = ramp(3, 2, 2, start=0)
    path = write_raster(
        tmp_path / "scene.tif", values, names=RGB, nodata=0, scales=[1e-4] * 3, offsets=[-0.1] * 3
    )
    read, valid = whole(open_scene(path))
    np.testing.assert_array_equal(valid, values[0] != 0)
    np.testing.assert_allclose(
        read[1], values[1] * 1e-4 - 0.1 * valid * 1.0 - values[1] * 1e-4 * ~valid, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("flips", "mirror"),
    [
        ((slice(None, None, -1), slice(None)), Affine(1, 0, 0, 0, -1, 4)),
        ((slice(None), slice(None, None, -1)), Affine(-1, 0, 6, 0, 1, 0)),
        ((slice(None, None, -1), slice(None, None, -1)), Affine(-1, 0, 6, 0, -1, 4)),
    ],
)
def test_south_up_and_mirrored_files_are_read_upright(
    tmp_path: Path, flips: tuple[slice, slice], mirror: Affine
) -> None:
    values = ramp(3, 4, 6)
    north = open_scene(write_raster(tmp_path / "north.tif", values, names=RGB))
    path = write_raster(
        tmp_path / "other.tif", values[(slice(None), *flips)], names=RGB, transform=TEN_METRES @ mirror
    )
    other = open_scene(path)
    assert other.grid == north.grid
    assert other.notes == ()
    frame = Window(-1, -1, 3, 8)
    for one, twin in zip(north.read(frame), other.read(frame), strict=True):
        np.testing.assert_array_equal(twin, one)
    np.testing.assert_array_equal(other.quicklook(), north.quicklook())


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (33, 31)])
def test_tiny_and_odd_sizes(tmp_path: Path, shape: tuple[int, int]) -> None:
    values = ramp(3, *shape)
    scene = open_scene(write_raster(tmp_path / "scene.tif", values, names=RGB))
    np.testing.assert_array_equal(whole(scene)[0], values)


@pytest.mark.parametrize(
    "profile",
    [
        {"tiled": True, "blockxsize": 16, "blockysize": 16},
        {"blockysize": 64},
        {"interleave": "pixel"},
        {"interleave": "band"},
        {"compress": "deflate", "predictor": 2},
        {"BIGTIFF": "YES"},
    ],
)
def test_the_layout_of_the_file_does_not_matter(tmp_path: Path, profile: dict[str, object]) -> None:
    values = ramp(3, 64, 48)
    path = write_raster(tmp_path / "scene.tif", values, names=RGB, **profile)
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4])
    window = Window(3, 5, 50, 44)
    read, _ = open_scene(path).read(window)
    np.testing.assert_array_equal(read, values[:, 3:50, 5:44])


def test_rotated_grids_keep_their_transform(tmp_path: Path) -> None:
    turned = TEN_METRES @ Affine.rotation(30)
    red = write_raster(tmp_path / "red.tif", ramp(8, 8), transform=turned)
    nir = write_raster(tmp_path / "swir16.tif", ramp(4, 4), transform=turned @ Affine.scale(2))
    scene = open_scene([red, nir])
    assert scene.grid.transform.almost_equals(turned)
    assert whole(scene)[1].all()
