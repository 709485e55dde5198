"""Graphs kept in the user's cache folder: found again, checked, and never needed."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("onnx")

from geopanoptic.models.bundle import Bundle, load_bundle
from geopanoptic.models.cache_folder import cache_folder
from geopanoptic.models.graph_cache import GRAPHS, image_graph
from geopanoptic.models.networks.unet import PanopticUNet
from geopanoptic.pipeline.planning.rates import Rate, remember, remembered


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    return (cache_folder() or tmp_path) / GRAPHS


def never() -> PanopticUNet:
    raise AssertionError("the network is not needed")


def kept(bundle: Bundle, **changes: int) -> bytes:
    return image_graph(bundle, bundle.network, bands=None, margin_px=changes.get("margin_px", 0))


def test_a_graph_is_written_once(tiny_bundle: Bundle, folder: Path) -> None:
    graph = kept(tiny_bundle)
    assert image_graph(tiny_bundle, never, bands=None, margin_px=0) == graph
    assert [file.suffix for file in folder.iterdir()] == [".onnx"]
    assert kept(tiny_bundle, margin_px=48) != graph
    with pytest.raises(AssertionError, match="not needed"):
        image_graph(tiny_bundle, never, bands=[0, 2], margin_px=0)


@pytest.mark.parametrize("damage", [b"", b"short", None])
def test_a_damaged_file_is_written_again(tiny_bundle: Bundle, folder: Path, damage: bytes | None) -> None:
    graph = kept(tiny_bundle)
    (file,) = folder.iterdir()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content if damage is None else damage)
    assert kept(tiny_bundle) == graph
    assert image_graph(tiny_bundle, never, bands=None, margin_px=0) == graph


def test_a_file_under_another_name_does_not_count(tiny_bundle: Bundle, folder: Path) -> None:
    graph = kept(tiny_bundle)
    (first,) = folder.iterdir()
    kept(tiny_bundle, margin_px=48)
    (second,) = set(folder.iterdir()) - {first}
    first.write_bytes(second.read_bytes())
    assert kept(tiny_bundle) == graph


def test_a_folder_that_cannot_be_used_is_done_without(tiny_bundle: Bundle, folder: Path) -> None:
    folder.parent.write_text("no folder")
    assert kept(tiny_bundle) == kept(tiny_bundle)


def test_a_user_without_a_home_does_without(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: int) -> None:
        raise KeyError("uid not found")

    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME", "USERPROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert cache_folder() is None
    assert kept(tiny_bundle) == kept(tiny_bundle)
    remember("a", Rate(start_s=1.0, network_s_per_px=1.0, after_s_per_px=1.0))
    assert remembered("a") is None


def test_the_folder_does_not_grow_for_ever(tiny_bundle: Bundle, folder: Path) -> None:
    folder.mkdir(parents=True)
    for number in range(40):
        (folder / f"{number}.onnx").write_bytes(b"older")
    for name, age_s in (("killed.partial", 100_000), ("written.partial", 10)):
        (folder / name).write_bytes(b"part")
        os.utime(folder / name, (time.time() - age_s,) * 2)
    kept(tiny_bundle)
    assert len(list(folder.glob("*.onnx"))) == 16
    assert [file.name for file in folder.glob("*.partial")] == ["written.partial"]
    image_graph(tiny_bundle, never, bands=None, margin_px=0)


def test_torch_is_not_loaded_for_a_graph_that_is_kept() -> None:
    pytest.importorskip("openvino")
    code = (
        "import sys; from geopanoptic.models.bundle import load_bundle; "
        "from geopanoptic.models.runtimes import load_runtime; "
        "load_runtime(load_bundle(), 'cpu', 1, 'openvino'); "
        "sys.exit('torch' in sys.modules)"
    )
    bundle = load_bundle()
    image_graph(bundle, bundle.network, bands=None, margin_px=0)
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
