"""Rasters: right pixels, valid COGs, equal bytes for any blocks, bounded memory, no silent damage."""

from __future__ import annotations

import hashlib
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from small_maps import CLASSES, PLACES
from small_maps import CLASSES as SOME_CLASSES

from geopanoptic.errors import OutputError
from geopanoptic.grid import Grid, Window
from geopanoptic.products.cog import (
    RasterProduct,
    class_raster,
    confidence_raster,
    instance_raster,
    verify_cog,
    write_cog,
)

PRODUCTS = [class_raster(CLASSES), instance_raster(), confidence_raster()]
TRANSFORMS = {
    "north-up": Affine(5, 0, 500_000, 0, -5, 5_600_000),
    "south-up": Affine(5, 0, 500_000, 0, 5, 5_600_000),
    "rotated": Affine(4, 3, 500_000, 3, -4, 5_600_000),
}


def grid_of(height: int, width: int, turn: str = "north-up", place: str = "utm") -> Grid:
    return Grid(crs_wkt=PLACES[place][0], transform=TRANSFORMS[turn], height=height, width=width)


def pixels(grid: Grid, product: RasterProduct) -> NDArray[np.generic]:
    row, col = np.arange(grid.height)[:, None] // 7, np.arange(grid.width)[None] // 7
    ids = row * 1000 + col
    return (ids % 4 if product.dtype == "uint8" else ids).astype(product.dtype)


def blocks(
    grid: Grid, values: NDArray[np.generic], size_px: int
) -> Iterator[tuple[Window, NDArray[np.generic]]]:
    for window in grid.blocks(size_px):
        yield window, values[window.slices()]


@pytest.mark.parametrize("product", PRODUCTS, ids=lambda product: product.description)
@pytest.mark.parametrize("turn", sorted(TRANSFORMS))
def test_reads_back_and_is_cloud_optimised(tmp_path: Path, product: RasterProduct, turn: str) -> None:
    grid = grid_of(1201, 1111, turn)
    values = pixels(grid, product)
    path = tmp_path / "ünï 'cö\"dé.tif"
    write_cog(path, blocks(grid, values, 500), grid=grid, product=product, tags={"model": "default"})
    verify_cog(path, grid=grid)
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(file.read(1), values)
        assert file.dtypes == (product.dtype,)
        assert file.nodata == 0
        assert file.transform == grid.transform
        assert file.crs == rasterio.crs.CRS.from_wkt(grid.crs_wkt)
        assert file.overviews(1) == [2, 4]
        assert file.block_shapes == [(512, 512)]
        assert file.tags()["model"] == "default"
        assert file.descriptions == (product.description,)
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_class_raster_carries_colours_and_names(tmp_path: Path) -> None:
    grid, product = grid_of(600, 600), PRODUCTS[0]
    write_cog(tmp_path / "c.tif", blocks(grid, pixels(grid, product), 512), grid=grid, product=product)
    with rasterio.open(tmp_path / "c.tif") as file:
        assert file.colormap(1)[1] == (0xE6, 0xC2, 0x29, 255)
        assert file.colormap(1)[0] == (0, 0, 0, 0)
        assert file.tags(1)["class_3"] == CLASSES[2].name
        overview = file.read(1, out_shape=(300, 300))
    assert set(np.unique(overview)) <= {0, 1, 2, 3}


@pytest.mark.parametrize("product", PRODUCTS, ids=lambda product: product.description)
def test_same_bytes_for_any_blocks_in_any_order(tmp_path: Path, product: RasterProduct) -> None:
    grid = grid_of(1300, 900)
    values = pixels(grid, product)
    digests = set()
    for name, size_px, step in (("a", 512, 1), ("b", 97, 1), ("c", 300, -1), ("d", 5000, 1)):
        path = tmp_path / f"{name}.tif"
        write_cog(path, list(blocks(grid, values, size_px))[::step], grid=grid, product=product)
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (700, 1), (33, 31)])
@pytest.mark.parametrize("place", ["degrees", "custom"])
def test_tiny_and_thin_rasters_in_any_crs(tmp_path: Path, shape: tuple[int, int], place: str) -> None:
    grid, product = grid_of(*shape, place=place), instance_raster()
    values = pixels(grid, product)
    write_cog(tmp_path / "i.tif", blocks(grid, values, 512), grid=grid, product=product)
    verify_cog(tmp_path / "i.tif", grid=grid)
    with rasterio.open(tmp_path / "i.tif") as file:
        np.testing.assert_array_equal(file.read(1), values)


def test_pixels_in_no_window_are_nodata(tmp_path: Path) -> None:
    grid = grid_of(600, 600)
    write_cog(tmp_path / "i.tif", [], grid=grid, product=instance_raster())
    verify_cog(tmp_path / "i.tif", grid=grid)
    with rasterio.open(tmp_path / "i.tif") as file:
        assert not file.read(1).any()


def test_block_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    grid = grid_of(10, 10)
    for values in (np.zeros((9, 10), np.uint8), np.zeros((10, 10), np.int64)):
        with pytest.raises(OutputError, match="does not fit"):
            write_cog(tmp_path / "i.tif", [(grid.window, values)], grid=grid, product=confidence_raster())
    assert not list(tmp_path.iterdir())


def test_verification_sees_damage(tmp_path: Path) -> None:
    grid, product = grid_of(1200, 1200), instance_raster()
    path = tmp_path / "i.tif"
    write_cog(path, blocks(grid, pixels(grid, product), 512), grid=grid, product=product)
    whole = path.read_bytes()
    for damaged in (b"", b"text", whole[:-2000], whole[:-3000] + bytes(3000)):
        path.write_bytes(damaged)
        with pytest.raises(OutputError):
            verify_cog(path, grid=grid)
    path.write_bytes(whole)
    with pytest.raises(OutputError, match="read back"):
        verify_cog(path, grid=grid_of(1200, 1201))


@pytest.mark.parametrize("limit_bytes", [0, 1000, 30_000, 1_200_000, 1_500_000])
def test_full_disk_is_refused_on_writing_or_on_verifying(tmp_path: Path, limit_bytes: int) -> None:
    grid, product = grid_of(1200, 1200), instance_raster()
    noise = np.random.default_rng(3).integers(1, 2**31 - 1, grid.shape, dtype=np.int32)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
    try:
        with pytest.raises(OutputError, match=r"i\.tif"):
            write_and_verify(tmp_path / "i.tif", grid, noise, product)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.glob("*.blocks.tif"))


def write_and_verify(path: Path, grid: Grid, values: NDArray[np.generic], product: RasterProduct) -> None:
    write_cog(path, blocks(grid, values, 512), grid=grid, product=product)
    verify_cog(path, grid=grid)


def test_overviews_are_made_as_the_product_says(tmp_path: Path) -> None:
    grid = grid_of(1024, 1024)
    values = np.tile(np.array([[100, 200], [200, 200]], np.uint8), (512, 512))
    for product, expected in ((confidence_raster(), 175), (class_raster(SOME_CLASSES), 200)):
        path = tmp_path / f"{product.description}.tif"
        write_cog(path, [(grid.window, values)], grid=grid, product=product)
        with rasterio.open(path, OVERVIEW_LEVEL=0) as file:
            assert np.unique(file.read(1)).tolist() == [expected]
