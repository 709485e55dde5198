"""Open datasets per thread."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tiny_rasters import RGB, ramp, whole, write_raster

from geopanoptic.scene import open_scene
from geopanoptic.scene.files import datasets
from geopanoptic.scene.files.datasets import MAX_OPEN_PER_THREAD, close_datasets


def test_threads_and_pickles_read_the_same(tmp_path: Path) -> None:
    for band in RGB:
        write_raster(tmp_path / f"{band}.tif", ramp(64, 64))
    scene = open_scene(tmp_path)
    expected, _ = whole(scene)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: whole(pickle.loads(pickle.dumps(scene)))[0], range(16)))
    assert all(np.array_equal(result, expected) for result in results)


def test_open_datasets_are_bounded_and_closed(tmp_path: Path) -> None:
    close_datasets()
    for number in range(MAX_OPEN_PER_THREAD + 5):
        whole(open_scene(write_raster(tmp_path / f"{number}.tif", ramp(3, 2, 2), names=RGB)))
    opened = datasets._thread.opened
    assert len(opened) == MAX_OPEN_PER_THREAD
    handles = list(opened.values())
    close_datasets()
    assert not opened
    assert all(handle.closed for handle in handles)


def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "scene.tif", ramp(3, 2, 2), names=RGB)
    whole(open_scene(path))
    write_raster(path, ramp(3, 2, 2, start=100), names=RGB)
    assert whole(open_scene(path))[0][0, 0, 0] == 100
