"""Bad inputs: F01 to F39. Every refusal names the file and a remedy."""

from __future__ import annotations

import contextlib
import os
import shutil
import tarfile
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from tiny_rasters import RGB, TEN_METRES, ramp, write_raster

import geopanoptic
from geopanoptic.errors import SceneError, UsageError
from geopanoptic.grid import Window
from geopanoptic.models.bundle import Bundle
from geopanoptic.scene import measure, open_scene, survey


def refused(source: object, *parts: str, **options: object) -> SceneError:
    """The refusal to open ``source``; its text holds ``parts`` and it has a remedy."""
    with pytest.raises(SceneError) as caught:
        open_scene(source, **options)  # type: ignore[arg-type]
    assert caught.value.exit_code == 3
    assert caught.value.remedy
    for part in parts:
        assert part in str(caught.value)
    return caught.value


@pytest.fixture
def scene_path(tmp_path: Path) -> Path:
    return write_raster(tmp_path / "scene.tif", ramp(3, 8, 8), names=RGB)


def test_f01_missing_folder_and_empty(tmp_path: Path) -> None:
    refused(tmp_path / "nothing.tif", "nothing.tif does not exist")
    refused(tmp_path, "holds no image")
    images = tmp_path / "a.SAFE" / "GRANULE" / "L2A_a" / "IMG_DATA" / "R10m"
    images.mkdir(parents=True)
    refused(tmp_path / "a.SAFE", "MTD_MSIL2A.xml", "R10m")
    with tarfile.open(tmp_path / "landsat.tar", "w") as archive:
        archive.add(images, "images")
    refused(tmp_path / "landsat.tar", "is a tar archive", "Unpack")
    refused(tmp_path, "holds no image, but landsat.tar", "Unpack")
    (tmp_path / "empty.tif").touch()
    refused(tmp_path / "empty.tif", "empty.tif is empty (0 bytes)")
    refused([tmp_path / "empty.tif", tmp_path], "is a folder among files")
    refused([], "No scene was given")
    refused("", "empty name")


@pytest.mark.parametrize("compress", ["none", "deflate"])
@pytest.mark.parametrize("layout", [{"tiled": True, "blockxsize": 32, "blockysize": 32}, {"blockysize": 8}])
def test_f02_truncated(tmp_path: Path, layout: dict[str, int], compress: str) -> None:
    values = np.random.default_rng(1).integers(1, 60_000, (3, 128, 128)).astype("uint16")
    path = write_raster(
        tmp_path / "cut.tif", values, names=RGB, compress=compress, interleave="pixel", **layout
    )
    stored = path.read_bytes()
    path.write_bytes(stored[: len(stored) * 2 // 3])
    scene = open_scene(path)
    with pytest.raises(
        SceneError, match=r"cut\.tif: the block of rows (\d+) to \d+ and columns \d+ to \d+"
    ) as caught:
        scene.read(scene.grid.window)
    assert "rows 0 to" not in str(caught.value)
    assert scene.read(Window(0, 0, 8, 32))[1].all()
    with pytest.raises(SceneError, match=r"cut\.tif"):
        measure(scene)


def test_f02_truncated_before_its_directory(scene_path: Path) -> None:
    stored = scene_path.read_bytes()
    scene_path.write_bytes(stored[:200])
    refused(scene_path, "scene.tif is damaged or cut short")


def test_f02_truncated_within_its_directories(tmp_path: Path) -> None:
    """A COG has all directories first, and GDAL reads most of them only when it is asked something."""
    whole, cut = tmp_path / "whole.tif", tmp_path / "cut.tif"
    values = np.random.default_rng(1).integers(1, 60_000, (3, 300, 300)).astype("uint16")
    write_raster(tmp_path / "plain.tif", values, names=RGB)
    rasterio.shutil.copy(tmp_path / "plain.tif", whole, driver="COG", blocksize=128)
    stored = whole.read_bytes()
    opened = []
    for length in range(200, 2000, 50):
        cut.write_bytes(stored[:length])
        with contextlib.suppress(SceneError):
            assert open_scene(cut).grid.shape == (300, 300)
            opened.append(length)
    # Refused until the last directory is there, whole from there on.
    assert opened == list(range(opened[0], 2000, 50))
    assert opened[0] > 1000


def test_f02_truncated_png(tmp_path: Path) -> None:
    """GDAL reads zeros from where it ends."""
    values = np.random.default_rng(1).integers(1, 256, (3, 64, 64)).astype("uint8")
    path = write_raster(tmp_path / "photo.png", values, driver="PNG", worldfile=True)
    stored = path.read_bytes()
    assert open_scene(path, bands="red,green,blue", assume_crs="EPSG:32632").grid.shape == (64, 64)
    for length in (200, len(stored) // 2, len(stored) - 12):
        path.write_bytes(stored[:length])
        refused(path, "photo.png is damaged or cut short: its end is missing")


def test_f03_a_corrupt_block_is_named(tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(1, 60_000, (3, 64, 96)).astype("uint16")
    path = write_raster(
        tmp_path / "rotten.tif", values, names=RGB, tiled=True, blockxsize=32, blockysize=32,
        compress="deflate", interleave="pixel",
    )  # fmt: skip
    with rasterio.open(path) as dataset:
        offset = int(dataset.tags(1, ns="TIFF").get("BLOCK_OFFSET_1_1", 0)) or int(
            dataset.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", bidx=1)
        )
    stored = bytearray(path.read_bytes())
    stored[offset : offset + 400] = b"\xff" * 400
    path.write_bytes(stored)
    scene = open_scene(path)
    assert scene.read(Window(0, 0, 32, 96))[1].all()
    with pytest.raises(
        SceneError, match=r"rotten\.tif: the block of rows 32 to 64 and columns 32 to 64 cannot"
    ):
        scene.read(scene.grid.window)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"<VRTDataset rasterXSize='1' rasterYSize='1'>", "VRT"),
        (b"<?xml version='1.0'?>\n <VRTDataset>", "VRT"),
        (b"<MRF_META>", "MRF"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"CDF\x01", "NetCDF"),
        (b"SQLite format 3\x00", "GeoPackage"),
        (b"PK\x03\x04", "ZIP"),
        (b"hello", "not an image of a known format"),
    ],
)
def test_f04_other_formats_renamed(tmp_path: Path, head: bytes, kind: str) -> None:
    path = tmp_path / "scene.tif"
    path.write_bytes(head + b" " * 600)
    refused(path, "scene.tif", kind)


def _vrt(path: Path, source: str, *, relative: int = 1, extra: str = "", band: str = "") -> Path:
    path.write_text(
        f"<VRTDataset rasterXSize='8' rasterYSize='8'><SRS>EPSG:32632</SRS>"
        f"<GeoTransform>600000,10,0,5700000,0,-10</GeoTransform>{extra}"
        f"<VRTRasterBand dataType='UInt16' band='1' {band}><Description>red</Description>"
        f"<SimpleSource><SourceFilename relativeToVRT='{relative}'>{source}</SourceFilename>"
        f"<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    return path


def test_f04_vrt_only_when_allowed_and_within_its_folder(scene_path: Path, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    beside = _vrt(tmp_path / "beside.vrt", "scene.tif")
    refused(beside, "VRT")
    scene = open_scene(beside, allow_vrt=True)
    assert scene.read(scene.grid.window)[0][0, 0, 0] == 1
    for name, vrt in {
        "outside": _vrt(inner / "a.vrt", "../scene.tif"),
        "absolute": _vrt(inner / "b.vrt", str(scene_path), relative=0),
        "expression": _vrt(
            tmp_path / "c.vrt", "scene.tif", extra="<PixelFunctionLanguage>Python</PixelFunctionLanguage>"
        ),
        "derived": _vrt(tmp_path / "d.vrt", "scene.tif", band="subClass='VRTDerivedRasterBand'"),
        "nested": _vrt(tmp_path / "e.vrt", "beside.vrt"),
        "network": _vrt(tmp_path / "f.vrt", "/vsicurl/http://127.0.0.1/x.tif", relative=0),
    }.items():
        refused(vrt, allow_vrt=True), name
    entity = tmp_path / "g.vrt"
    entity.write_text("<VRTDataset><!-- --></VRTDataset><!DOCTYPE a [<!ENTITY b 'c'>]>")
    refused(entity, "not well-formed XML", allow_vrt=True)
    link = inner / "link.tif"
    link.symlink_to(scene_path)
    refused(_vrt(inner / "h.vrt", "link.tif"), "outside its own folder", allow_vrt=True)


@pytest.mark.parametrize("suffix", [".msk", ".ovr"])
def test_f04_a_vrt_as_mask_or_overview_is_refused(scene_path: Path, suffix: str) -> None:
    side = scene_path.with_name(scene_path.name + suffix)
    _vrt(side, "scene.tif")
    refused(scene_path, side.name, "not a TIFF")


def test_f04_a_side_file_that_points_elsewhere_is_refused(scene_path: Path) -> None:
    side = scene_path.with_name("scene.tif.aux.xml")
    side.write_text(
        "<PAMDataset><Metadata domain='OVERVIEWS'><MDI key='OVERVIEW_FILE'>/etc/x.tif</MDI></Metadata></PAMDataset>"
    )
    refused(scene_path, "points to other files")


def test_f04_metadata_that_names_another_file_is_refused(scene_path: Path, tmp_path: Path) -> None:
    other = write_raster(tmp_path / "other.tif", ramp(3, 8, 8), names=RGB)
    with rasterio.open(scene_path, "r+") as dataset:
        dataset.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=str(other))
    refused(scene_path, "names another file as its overviews")


@pytest.mark.parametrize(
    "address",
    [
        "https://user:secret@example.org/a.tif?token=secret",
        "s3://bucket/a.tif",
        "file:///etc/a.tif",
        "/vsicurl/https://example.org/a.tif",
        "/vsizip/a.zip/a.tif",
    ],
)
def test_f05_remote_addresses_without_their_secrets(address: str) -> None:
    assert "secret" not in str(refused(address, "not a local file"))


def test_f06_f07_no_crs_and_no_transform(tmp_path: Path) -> None:
    no_crs = write_raster(tmp_path / "a.tif", ramp(3, 4, 4), names=RGB, crs=None)
    refused(no_crs, "a.tif", "--assume-crs EPSG:<code>")
    scene = open_scene(no_crs, assume_crs="EPSG:32633")
    assert scene.grid.crs.to_epsg() == 32633
    assert scene.grid.transform == TEN_METRES
    assert scene.assumed_crs == "EPSG:32633"
    assert len(scene.warnings) == 1
    assert "assumed to be EPSG:32633" in scene.warnings[0]
    with pytest.raises(UsageError, match="'Mars' is not a coordinate reference system"):
        open_scene(no_crs, assume_crs="Mars")
    nowhere = write_raster(tmp_path / "b.tif", ramp(3, 4, 4), names=RGB, transform=None)
    refused(nowhere, "b.tif has no transform")
    placed = open_scene(nowhere, assume_crs="EPSG:32633")
    assert placed.grid.crs.to_epsg() == 32632
    assert placed.grid.transform == Affine(1, 0, 0, 0, -1, 4)
    assert "b.tif: without a transform every pixel counts as one unit" in placed.warnings[-1]


@pytest.mark.parametrize(("driver", "suffix"), [("PNG", "png"), ("JPEG", "jpg")])
def test_f07_photos(tmp_path: Path, driver: str, suffix: str) -> None:
    path = write_raster(
        tmp_path / f"photo.{suffix}", ramp(3, 9, 9, dtype="uint8"), crs=None, transform=None, driver=driver
    )
    refused(path, "a photo", "--assume-crs")


def test_f08_rotated_and_sheared(tmp_path: Path) -> None:
    turned = TEN_METRES @ Affine.rotation(25) @ Affine.shear(5)
    path = write_raster(tmp_path / "a.tif", ramp(3, 6, 6), names=RGB, transform=turned)
    scene = open_scene(path)
    assert scene.grid.transform.almost_equals(turned, 1e-6)
    np.testing.assert_array_equal(scene.read(scene.grid.window)[0], ramp(3, 6, 6))


def test_f09_south_up_gives_the_flipped_twin(scene_path: Path, tmp_path: Path) -> None:
    twin = write_raster(
        tmp_path / "twin.tif", ramp(3, 8, 8)[:, ::-1], names=RGB,
        transform=TEN_METRES @ Affine(1, 0, 0, 0, -1, 8),
    )  # fmt: skip
    one, other = open_scene(scene_path), open_scene(twin)
    assert other.grid == one.grid
    np.testing.assert_array_equal(other.read(other.grid.window)[0], one.read(one.grid.window)[0])
    assert measure(one) == measure(other)


def test_f10_control_points_and_rpcs(tmp_path: Path) -> None:
    points = [GroundControlPoint(row=r, col=c, x=c, y=-r) for r in (0, 4) for c in (0, 4)]
    path = write_raster(
        tmp_path / "gcp.tif", ramp(3, 4, 4), names=RGB, crs="EPSG:4326", transform=None, gcps=points
    )
    refused(path, "gcp.tif is placed by ground control points only", "gdalwarp")
    path = tmp_path / "rpc.tif"
    ones = [1.0] * 20
    rpcs = RPC(
        height_off=0, height_scale=1, lat_off=0, lat_scale=1, line_off=0, line_scale=1, long_off=0, long_scale=1,
        samp_off=0, samp_scale=1, line_den_coeff=ones, line_num_coeff=ones, samp_den_coeff=ones,
        samp_num_coeff=ones, err_bias=0, err_rand=0,
    )  # fmt: skip
    write_raster(path, ramp(3, 4, 4), names=RGB, crs=None, transform=None, rpcs=rpcs)
    refused(path, "rpc.tif is placed by RPCs only", "gdalwarp")


def test_f11_degrees(tmp_path: Path) -> None:
    place = Affine(1e-4, 0, 11, 0, -1e-4, 52)
    path = write_raster(tmp_path / "a.tif", ramp(3, 4, 4), names=RGB, crs="EPSG:4326", transform=place)
    scene = open_scene(path)
    assert scene.grid.transform.almost_equals(place, 1e-12)
    assert scene.grid.pixel_size_m() == pytest.approx((6.87, 11.13), abs=0.01)


LOCAL = 'LOCAL_CS["survey mark 7",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]'
CUSTOM = "+proj=laea +lat_0=90 +lon_0=17.5 +ellps=bessel +units=us-ft"


@pytest.mark.parametrize(
    ("crs", "across", "inland"),
    [
        # 0.02 degrees of which half lie beyond 180 degrees; counted on from 179.99, or from -180.01.
        ("EPSG:4326", Affine(2e-4, 0, 179.99, 0, -2e-4, -16.8), Affine(2e-4, 0, 20, 0, -2e-4, -16.8)),
        ("EPSG:4326", Affine(2e-4, 0, -180.01, 0, -2e-4, -16.8), Affine(2e-4, 0, 20, 0, -2e-4, -16.8)),
        # UTM zone 1 begins at the antimeridian, 180 km west of here lies zone 60.
        ("EPSG:32701", Affine(10, 0, 179_700, 0, -10, 8_140_000), Affine(10, 0, 179_700, 0, -10, 8_140_000)),
    ],
)
def test_f12_the_antimeridian_changes_nothing(
    tmp_path: Path, tiny_bundle: Bundle, crs: str, across: Affine, inland: Affine
) -> None:
    values = np.random.default_rng(3).integers(300, 4000, (3, 25, 25)).repeat(4, 1).repeat(4, 2)
    # The same landscape where zone 1, 2 or no antimeridian is near.
    twin_crs = crs.replace("32701", "32735")
    results = []
    for name, place, system in (("across", across, crs), ("inland", inland, twin_crs)):
        path = write_raster(
            tmp_path / f"{name}.tif", values.astype("uint16"), names=RGB, crs=system, transform=place
        )
        out = tmp_path / f"{name}.gpkg"
        result = geopanoptic.run(path, out, model=tiny_bundle.path, simplify_m=0)
        results.append((result, gpd.read_file(out, layer="parcels"), place))
    (one, stored, place), (other, _, twin_place) = results
    shift = place.c - twin_place.c
    for layer in ("parcels", "landcover"):
        ours, theirs = getattr(one, layer), getattr(other, layer)
        assert len(ours) == len(theirs)
        np.testing.assert_allclose(ours["area_m2"], theirs["area_m2"], rtol=1e-7)
        if layer == "parcels":
            np.testing.assert_allclose(ours["perimeter_m"], theirs["perimeter_m"], rtol=1e-7)
        np.testing.assert_allclose(ours.bounds, theirs.bounds + [shift, 0, shift, 0], atol=1e-6)
    assert one.landcover["area_m2"].sum() + one.parcels["area_m2"].sum() == pytest.approx(
        100 * 100 * np.prod(open_scene(tmp_path / "across.tif").grid.pixel_size_m()), rel=2e-3
    )
    # One piece on one side of the world, not a belt around it.
    west, _, east, _ = stored.total_bounds
    assert east - west <= 100 * place.a * (1 + 1e-9)


@pytest.mark.parametrize("crs", ["EPSG:3413", CUSTOM, "EPSG:32632+5773", LOCAL])
def test_f13_unusual_crs_is_kept(tmp_path: Path, crs: str) -> None:
    path = write_raster(tmp_path / "a.tif", ramp(3, 4, 4), names=RGB, crs=crs)
    with rasterio.open(path) as dataset:
        stored = pyproj.CRS.from_wkt(dataset.crs.to_wkt(version="WKT2_2019"))
    scene = open_scene(path)
    assert scene.grid.crs == stored
    assert "a" in repr(scene)


def test_f14_f15_bands_are_never_guessed(tmp_path: Path) -> None:
    for count in (1, 2, 4, 5, 13):
        path = write_raster(tmp_path / f"{count}.tif", ramp(count, 4, 4))
        refused(path, f"{count}.tif")
    partly = write_raster(tmp_path / "partly.tif", ramp(4, 4, 4), names=(*RGB, None))
    refused(partly, "band 4 (no name", "--bands")


def test_f17_scale_and_offset(tmp_path: Path) -> None:
    path = write_raster(
        tmp_path / "a.tif",
        np.full((3, 2, 2), 1500, "uint16"),
        names=RGB,
        scales=[1e-4] * 3,
        offsets=[-0.1] * 3,
    )
    np.testing.assert_allclose(open_scene(path).read(Window(0, 0, 2, 2))[0], 0.05, rtol=1e-5)
    bad = write_raster(tmp_path / "b.tif", ramp(3, 2, 2), names=RGB, scales=[float("nan")] * 3)
    refused(bad, "declares scale")


BAND_NAMES = ("B02_10m", "B03_10m", "B04_10m")


def _product(
    folder: Path, baseline: str, day: str, driver: str, values: np.ndarray, **profile: object
) -> Path:
    """Three bands in a folder named like a Sentinel-2 product."""
    product = folder / f"S2B_MSIL2A_{day}T101559_N{baseline}_R065_T32UQD_{day}T132201.SAFE"
    product.mkdir()
    suffix = {"JP2OpenJPEG": "jp2", "GTiff": "tif"}[driver]
    for band in BAND_NAMES:
        path = product / f"T32UQD_{day}T101559_{band}.{suffix}"
        write_raster(path, values, driver=driver, **profile)
    return product


LOSSLESS = {"QUALITY": 100, "REVERSIBLE": "YES"}


def test_f17_the_offset_of_newer_sentinel2_products(tmp_path: Path) -> None:
    values = ramp(16, 16, start=1000)
    values[0, 0] = 0
    old = open_scene(_product(tmp_path, "0301", "20210615", "JP2OpenJPEG", values, **LOSSLESS))
    new = open_scene(_product(tmp_path, "0400", "20220615", "JP2OpenJPEG", values, **LOSSLESS))
    (before, valid), (after, _) = (scene.read(scene.grid.window) for scene in (old, new))
    assert valid.sum() == 255
    np.testing.assert_array_equal(after[:, valid], before[:, valid] - 1000)
    assert "-1000 added" in new.notes[0]
    assert old.notes == ()


@pytest.mark.parametrize(("day", "offset"), [("20220124", 0), ("20220125", -1000), ("20220615", -1000)])
def test_f17_loose_images_of_a_sentinel2_product(tmp_path: Path, day: str, offset: int) -> None:
    values = ramp(16, 16, start=1000)
    values[0, 0] = 0
    for source in _product(tmp_path, "0400", day, "JP2OpenJPEG", values, **LOSSLESS).iterdir():
        source.rename(tmp_path / source.name)
    scene = open_scene(sorted(tmp_path.glob("*.jp2")))
    read, valid = scene.read(scene.grid.window)
    assert valid.sum() == 255
    np.testing.assert_array_equal(read[0, valid] - offset, values[valid])
    assert ("-1000 added" if offset else "without an offset") in scene.notes[0]


def test_f17_series_of_several_baselines(tmp_path: Path) -> None:
    values = ramp(8, 8, start=1000)
    old = _product(tmp_path, "0301", "20210615", "GTiff", values)
    new = _product(tmp_path, "0400", "20220615", "GTiff", values)
    files = [*old.iterdir(), *new.iterdir()]
    assert open_scene(new).read(Window(0, 0, 1, 1))[0][0, 0, 0] == 1000
    refused(files, "20220615", "numbers are 1000 higher", "2021-06-15", "BOA_ADD_OFFSET")
    assert "1000 higher" in open_scene(files, dates="2022-06-15").warnings[0]
    assert not open_scene(files, dates="2021-06-15").warnings
    for stated, expected in (("-1000", 0), ("0", 1000)):
        for path in new.iterdir():
            with rasterio.open(path, "r+") as dataset:
                dataset.update_tags(BOA_ADD_OFFSET=stated)
        scene = open_scene(files)
        assert scene.at("2022-06-15").read(Window(0, 0, 1, 1))[0][0, 0, 0] == expected


def test_f16_numbers_that_are_hardly_reflectances(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    good = rng.integers(100, 4000, (3, 64, 64))
    for values, dtype, said in (
        (good, "uint16", ""),
        (good // 200, "uint8", "has only"),
        (good - 5000, "int16", "mostly negative"),
        (np.minimum(good // 10, 255), "uint8", "is saturated in 3"),
        (good / 10_000, "float32", ""),
        (good / 10_000 - 1, "float32", "mostly negative"),
    ):
        scene = open_scene(write_raster(tmp_path / "a.tif", values.astype(dtype), names=RGB))
        warnings = survey(scene).warnings
        assert sum(bool(said) and said in warning for warning in warnings) == (3 if said else 0)
        assert said or not warnings


def test_f18_complex(tmp_path: Path) -> None:
    refused(write_raster(tmp_path / "slc.tif", ramp(4, 4, dtype="complex64")), "slc.tif", "complex numbers")


def test_f19_to_f24_validity(tmp_path: Path) -> None:
    nothing = write_raster(tmp_path / "a.tif", np.zeros((3, 4, 4), "uint8"), names=RGB, nodata=0)
    scene = open_scene(nothing)
    assert not scene.read(scene.grid.window)[1].any()
    assert "no valid pixel" in survey(scene).warnings[0]
    values = ramp(3, 10, 10, dtype="float32")
    values[0, 0, 0], values[1, 0, 1], values[:, 5:] = np.nan, np.inf, 0
    scene = open_scene(write_raster(tmp_path / "b.tif", values, names=RGB))
    read, valid = scene.read(scene.grid.window)
    assert (~valid).sum() == 2
    assert np.isfinite(read).all()
    assert "not declared as nodata" in survey(scene).warnings[0]


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (33, 47)])
def test_f25_to_f27_odd_sizes(tmp_path: Path, shape: tuple[int, int]) -> None:
    scene = open_scene(write_raster(tmp_path / "a.tif", ramp(3, *shape), names=RGB))
    values, valid = scene.read(scene.grid.window.grown(40))
    assert values.shape == (3, shape[0] + 80, shape[1] + 80)
    assert valid.sum() == shape[0] * shape[1]
    normal = measure(scene)
    assert np.isfinite(normal.apply(values, valid)).all()


def test_f28_one_strip_is_warned_of(tmp_path: Path) -> None:
    values = np.zeros((3, 3400, 3400), "uint16")
    path = write_raster(
        tmp_path / "strip.tif", values, names=RGB, blockysize=3400, compress="deflate", interleave="pixel"
    )
    (warning,) = open_scene(path).warnings
    assert "strip.tif is stored in blocks of 3400 x 3400 px" in warning
    assert "decodes 66 MB at once" in warning
    assert "-of COG" in warning


def test_f29_a_header_bomb_allocates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "bomb.tif"
    profile = {"driver": "GTiff", "height": 10**6, "width": 10**6, "count": 3, "dtype": "uint16"}
    with rasterio.open(
        path, "w", **profile, crs="EPSG:32632", transform=TEN_METRES, sparse_ok=True, tiled=True,
        blockxsize=8192, blockysize=8192, BIGTIFF="YES", photometric="MINISBLACK",
    ) as dataset:  # fmt: skip
        dataset.descriptions = RGB
    assert path.stat().st_size < 2**20
    scene = open_scene(path)
    assert scene.grid.shape == (10**6, 10**6)
    assert "1000000 rows" in repr(scene)
    assert scene.to_xarray(chunk_px=50_000).shape == (3, 10**6, 10**6)
    assert scene.read(Window(0, 0, 4, 4))[0].shape == (3, 4, 4)


def test_f33_f34_series(tmp_path: Path) -> None:
    for day in ("20210615", "20210415"):
        write_raster(tmp_path / f"{day}_red.tif", ramp(4, 4))
    assert [when.month for when in open_scene(tmp_path).dates if when] == [4, 6]
    write_raster(tmp_path / "20210415b_red.tif", ramp(4, 4))
    refused(sorted(tmp_path.glob("*04*")), "red comes twice")
    (tmp_path / "20210415b_red.tif").unlink()
    write_raster(tmp_path / "20210815_red.tif", ramp(4, 5))
    refused(tmp_path, "20210815_red.tif (2021-08-15) has another grid")
    write_raster(tmp_path / "red.tif", ramp(4, 4))
    refused(tmp_path, "red.tif states no date")


def test_f36_a_changed_file_is_noticed(scene_path: Path) -> None:
    scene = open_scene(scene_path)
    assert scene.changed_files() == ()
    os.utime(scene_path, (1, 1))
    assert scene.changed_files() == (scene_path,)
    scene_path.unlink()
    assert scene.changed_files() == (scene_path,)


def test_f36_a_changed_mask_or_image_of_a_mosaic_is_noticed(tmp_path: Path) -> None:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False):
        path = write_raster(tmp_path / "scene.tif", ramp(3, 8, 8), names=RGB, mask=np.eye(8))
    masked, mosaic = open_scene(path), open_scene(_vrt(tmp_path / "a.vrt", "scene.tif"), allow_vrt=True)
    assert masked.changed_files() == mosaic.changed_files() == ()
    os.utime(tmp_path / "scene.tif.msk", (1, 1))
    assert masked.changed_files() == (path,)
    assert open_scene(path).fingerprint() != masked.fingerprint()
    os.utime(path, (1, 1))
    assert mosaic.changed_files() == (tmp_path / "a.vrt",)
    again = open_scene(tmp_path / "a.vrt", allow_vrt=True)
    assert again.changed_files() == ()
    assert again.fingerprint() != mosaic.fingerprint()


@pytest.mark.parametrize(
    "name",
    [
        "Flächen ünï 農地.tif",
        "with space.tif",
        'it\'s "quoted".tif',
        "new\nline.tif",
        "a#b?c!d%20e.tif",
        "-leading.tif",
        "[brackets](2).tif",
        "semi;colon:colon.tif",
        "$HOME.tif",
        "n" * 251 + ".tif",
    ],
)
def test_f37_odd_names(tmp_path: Path, name: str) -> None:
    plain = write_raster(tmp_path / "plain.tif", ramp(3, 4, 4), names=RGB)
    odd = tmp_path / name
    shutil.move(plain, odd)
    scene = open_scene(odd)
    np.testing.assert_array_equal(scene.read(scene.grid.window)[0], ramp(3, 4, 4))
    assert "\n" not in scene.name
    assert open_scene(tmp_path).bands == RGB


def test_f37_a_name_that_gdal_cannot_open_is_named(scene_path: Path) -> None:
    odd = scene_path.rename(scene_path.with_name(os.fsdecode(b"sc\xe4ne.tif")))
    refused(odd, "is not in UTF-8", "Rename it")


def test_f38_symbolic_links(scene_path: Path, tmp_path: Path) -> None:
    link = tmp_path / "s2_20210615.tif"
    link.symlink_to(scene_path)
    scene = open_scene(link)
    assert scene.files == (scene_path.resolve(),)
    assert str(scene.dates[0]) == "2021-06-15"
    loop = tmp_path / "loop.tif"
    loop.symlink_to(loop)
    refused(loop, "loop.tif")
    dangling = tmp_path / "dangling.tif"
    dangling.symlink_to(tmp_path / "gone.tif")
    refused(dangling, "symbolic link to a file that is not there")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_f39_unreadable(scene_path: Path) -> None:
    scene_path.chmod(0)
    refused(scene_path, "cannot be read", "permissions")


def test_f39_a_device_or_pipe_is_no_scene(tmp_path: Path) -> None:
    refused("/dev/null", "/dev/null is no plain file")
    os.mkfifo(tmp_path / "pipe.tif")
    refused(tmp_path / "pipe.tif", "pipe.tif is no plain file")
