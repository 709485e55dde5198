"""GeoTIFFs over http and s3, from a server on this machine: F05, F40, F79."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from range_server import RangeServer, serving
from tiny_rasters import RGB, whole, write_raster

from geopanoptic.errors import SceneError
from geopanoptic.grid import Window
from geopanoptic.scene import Scene, UnreadableBlock, open_scene
from geopanoptic.scene.files.datasets import close_datasets

SECRETS = {"login": "user:pass%20word@", "query": "?token=hush-hush&x=1"}


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(0).integers(1, 60_000, (3, 1024, 1024)).astype("uint16")


@pytest.fixture
def server(tmp_path: Path, values: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Iterator[RangeServer]:
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0.01")
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "3")
    path = write_raster(
        tmp_path / "scene.tif", values, names=RGB, tiled=True, blockxsize=256, blockysize=256,
        compress="deflate", interleave="pixel",
    )  # fmt: skip
    with serving(
        {f"data/{path.name}": path.read_bytes(), "scene.vrt": b"<VRTDataset>" + b" " * 600}
    ) as state:
        yield state
    close_datasets()


def opened(server: RangeServer, **parts: str) -> Scene:
    return open_scene(server.url("data/scene.tif", **parts), allow_remote=True)


def test_opening_and_reading_fetch_only_what_they_need(server: RangeServer, values: np.ndarray) -> None:
    scene = opened(server)
    size = len(server.files["data/scene.tif"])
    assert scene.name == "scene"
    assert scene.bands == RGB
    assert server.sent_bytes < 70_000 < size // 50
    read, valid = scene.read(Window(300, 300, 500, 500))
    np.testing.assert_array_equal(read, values[:, 300:500, 300:500])
    assert valid.all()
    assert server.sent_bytes < size // 8
    assert set(server.requests) == {"data/scene.tif"}


def test_a_remote_scene_is_a_value(server: RangeServer, values: np.ndarray) -> None:
    scene = pickle.loads(pickle.dumps(opened(server)))
    np.testing.assert_array_equal(whole(scene)[0], values)
    assert scene.fingerprint() == opened(server, query="?signed=again").fingerprint()
    assert scene.changed_files() == ()
    server.version = '"2"'
    assert scene.changed_files() == (server.url("data/scene.tif"),)
    assert opened(server, query="?b").fingerprint() != scene.fingerprint()


def test_f40_hiccups_are_repeated(server: RangeServer, values: np.ndarray) -> None:
    server.hiccups = 2
    scene = opened(server)
    server.hiccups = 2
    np.testing.assert_array_equal(scene.read(Window(0, 0, 9, 9))[0], values[:, :9, :9])


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "asks for credentials"),
        (403, "refuses access"),
        (404, "has no such file"),
        (500, "the server answers 500"),
        (503, "the server answers 503"),
    ],
)
def test_f40_refusals(server: RangeServer, status: int, said: str) -> None:
    server.status = status
    with pytest.raises(SceneError, match=said) as caught:
        opened(server, **SECRETS)
    assert caught.value.remedy
    server.status = 0
    scene = opened(server, query="?c")
    server.status = status
    with pytest.raises(SceneError, match=said):
        scene.read(scene.grid.window)


def test_f40_no_server(server: RangeServer) -> None:
    with pytest.raises(SceneError, match="cannot be fetched: no answer came"):
        open_scene("http://127.0.0.1:9/scene.tif", allow_remote=True)


def test_f40_no_byte_ranges(server: RangeServer) -> None:
    server.ranges = False
    with pytest.raises(SceneError, match="whole files only") as caught:
        opened(server)
    assert "Download" in caught.value.remedy


def test_f40_truncated(server: RangeServer) -> None:
    whole_file = server.files["data/scene.tif"]
    server.files["data/scene.tif"] = whole_file[: len(whole_file) * 2 // 3]
    scene = opened(server)
    assert scene.read(Window(0, 0, 256, 256))[1].all()
    with pytest.raises(SceneError, match=r"scene\.tif: the block of rows \d+ to \d+ .* cannot be decoded"):
        scene.read(scene.grid.window)
    found: list[UnreadableBlock] = []
    _, valid = scene.read(scene.grid.window, on_unreadable=found.append)
    assert 0 < valid.mean() < 1
    assert {block.file for block in found} == {server.url("data/scene.tif")}


def test_f04_only_geotiffs(server: RangeServer) -> None:
    with pytest.raises(SceneError, match=r"scene\.vrt is damaged.*Only GeoTIFFs are read remotely"):
        open_scene(server.url("scene.vrt"), allow_remote=True)


def test_f79_secrets_are_kept_out(
    server: RangeServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    scene = opened(server, **SECRETS)
    told = [repr(scene), repr(scene.layers), str(scene.files), scene.name, *scene.notes, *scene.warnings]
    cut = server.files["data/scene.tif"]
    server.files["data/scene.tif"] = cut[: len(cut) // 2]
    with pytest.raises(SceneError) as caught:
        scene.read(scene.grid.window)
    told.append(str(caught.value))
    server.status = 403
    with pytest.raises(SceneError) as caught:
        opened(server, login="user:pass%20word@", query="?token=hush-hush&x=2")
    told += [str(caught.value), "".join(capfd.readouterr())]
    for text in told:
        assert "hush" not in text
        assert "pass" not in text


def test_s3_addresses(server: RangeServer, values: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_S3_ENDPOINT": f"127.0.0.1:{server.port}",
        "AWS_HTTPS": "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
        "AWS_NO_SIGN_REQUEST": "YES",
    }.items():
        monkeypatch.setenv(name, value)
    scene = open_scene("s3://data/scene.tif", allow_remote=True)
    np.testing.assert_array_equal(scene.read(Window(0, 0, 9, 9))[0], values[:, :9, :9])
    with pytest.raises(SceneError, match=r"s3://data/none\.tif cannot be fetched.*404"):
        open_scene("s3://data/none.tif", allow_remote=True)


@pytest.mark.parametrize(
    "address", ["ftp://example.org/a.tif", "file:///etc/a.tif", "/vsicurl/http://x/a.tif"]
)
def test_f05_other_addresses_are_refused_even_so(address: str) -> None:
    with pytest.raises(SceneError, match="not an http, https or s3 address"):
        open_scene(address, allow_remote=True)


def test_schemes_may_be_in_capitals(server: RangeServer) -> None:
    address = server.url("data/scene.tif")
    capitals = open_scene(address.replace("http://", "HTTP://"), allow_remote=True)
    assert capitals == open_scene(address, allow_remote=True)
