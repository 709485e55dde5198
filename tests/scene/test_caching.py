"""GDAL's block cache holds what a block of tiles needs."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from tiny_rasters import RGB, write_raster

from geopanoptic.grid import Window
from geopanoptic.scene import cache_bytes, configure_gdal, open_scene

TILED = {"tiled": True, "blockxsize": 256, "blockysize": 256}


@pytest.mark.parametrize(
    ("stored", "interleave", "bands", "pixels"),
    [
        (TILED, "pixel", ("red",), 3 * 768 * 768),
        (TILED, "band", ("red",), 768 * 768),
        ({"blockysize": 16}, "band", ("red",), (19 * 16) * 2048),
        ({"blockysize": 2048}, "pixel", RGB, 3 * 2048 * 2048),
    ],
)
def test_whole_blocks_count(
    tmp_path: Path, stored: dict[str, int], interleave: str, bands: tuple[str, ...], pixels: int
) -> None:
    values = np.zeros((3, 2048, 2048), np.uint16)
    path = write_raster(
        tmp_path / "a.tif", values, names=RGB, interleave=interleave, compress="lzw", **stored
    )
    scene = open_scene(path)
    assert cache_bytes(scene, 280, bands) == max(16 << 20, int(pixels * 2 * 1.1))
    assert cache_bytes(scene, 280, bands, readers=100) == int(pixels * 2 * 100 * 1.1)


def bytes_read_from_file(path: Path, cache: int | None) -> int:
    """Bytes that reading four overlapping tiles asks the system for, over the bytes that one pass asks."""
    scene = open_scene(path)
    windows = [Window(row, col, row + 600, col + 600) for row in (0, 400) for col in (0, 400)]
    configure_gdal(cache if cache is not None else cache_bytes(scene, 1000))
    before = _bytes_read()
    for window in windows:
        scene.read(window)
    return _bytes_read() - before


def _bytes_read() -> int:
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["rchar"])


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="counts bytes as Linux does")
def test_each_block_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GDAL_CACHEMAX", raising=False)
    values = np.random.default_rng(0).integers(0, 60_000, (3, 1000, 4000)).astype("uint16")
    path = write_raster(
        tmp_path / "a.tif", values, names=RGB, blockysize=8, compress="deflate", interleave="band"
    )
    size = path.stat().st_size
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(bytes_read_from_file, (path, 1 << 20)) > 1.8 * size
        assert pool.apply(bytes_read_from_file, (path, None)) < 1.05 * size


def test_a_users_setting_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GDAL_CACHEMAX", raising=False)
    before = configure_gdal(300 << 20)
    assert before == 300 << 20
    monkeypatch.setenv("GDAL_CACHEMAX", "300")
    assert configure_gdal(1 << 20) == before
