"""``geopanoptic bench``: real runs in fresh processes, their table and their JSON; refusals."""

from __future__ import annotations

import json
import math

import click
import numpy as np
import pytest
import rasterio

from geopanoptic.benchmark.scenes import write_mosaic
from geopanoptic.cli.bench import bench
from geopanoptic.cores import usable_cores
from geopanoptic.errors import OutputError, SceneError, UsageError
from geopanoptic.scene import open_scene


def leave(*arguments: str) -> None:
    bench.main(args=list(arguments), standalone_mode=False)


@pytest.mark.slow
def test_table_and_json(tiny_bundle, tmp_path, capsys):
    found = tmp_path / "figures.json"
    scenes = ["--size", "96", "--areas", "1", "--repeats", "1", "--model", str(tiny_bundle.path)]
    leave(*scenes, "--run-options", "--threads 1 --simplify 0", "--json", str(found), "--work", str(tmp_path))
    shown = capsys.readouterr()
    assert "96 x 96, 1 of 1: run" in shown.err
    for figure in (
        "model tiny",
        f"1 threads on {usable_cores()} cores",
        "one run",
        "96 x 96",
        "network, s",
        "km2/h",
        "after the network",
    ):
        assert figure in shown.out
    (scene,) = json.loads(found.read_text())["scenes"]
    assert scene["scene_px"] == 96**2
    assert scene["pixel_m2"] == pytest.approx(100, rel=0.01)
    assert sum(scene["seconds"].values()) == pytest.approx(scene["run_s"], rel=0.01)
    assert scene["share_of_bare"] > scene["share_of_bare_without_halo"] > 0
    assert scene["peak_memory_bytes"] > 50 << 20
    assert scene["rounds"][0]["report"]["simplify_m"] == 0
    assert scene["rounds"][0]["bare_network_px"] == scene["rounds"][0]["report"]["network_px"]
    assert [file.name for file in tmp_path.iterdir()] == ["figures.json"]


@pytest.mark.slow
def test_a_scene_is_what_the_options_of_the_runs_make_of_it(tiny_bundle, tmp_path):
    scene, found = tmp_path / "fine.tif", tmp_path / "figures.json"
    with rasterio.open(
        scene, "w", driver="GTiff", count=3, height=192, width=192, dtype="uint16",
        crs="EPSG:32632", transform=rasterio.Affine(2.5, 0, 6e5, 0, -2.5, 5.8e6),
    ) as file:  # fmt: skip
        file.write(np.random.default_rng(0).integers(500, 3000, (3, 192, 192), np.uint16))
    options = ["--repeats", "1", "--model", str(tiny_bundle.path), "--json", str(found), "--quiet"]
    leave(str(scene), *options, "--run-options", "--threads 1 --bands red,green,blue --pixel-size 10")
    (figures,) = json.loads(found.read_text())["scenes"]
    assert figures["scene_px"] == 48**2
    side_m = open_scene(scene, bands="red,green,blue").grid.pixel_size_m()
    km2 = 192**2 * math.prod(side_m) / 1e6
    assert figures["km2_per_h"] == pytest.approx(km2 / figures["run_s"] * 3600, rel=0.01)


@pytest.mark.slow
def test_runs_replace_nothing_unasked(tiny_bundle, tmp_path):
    scene, mine = tmp_path / "scene.tif", tmp_path / "maps" / "class.tif"
    write_mosaic(scene, 64)
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        leave(str(scene), "--model", str(tiny_bundle.path), "--run-options", f"--rasters '{mine.parent}'")
    assert mine.read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "refusal", "message"),
    [
        (["a.tif", "--size", "512"], UsageError, "--size and --areas are about generated scenes"),
        (["--areas", "1,x"], UsageError, "--areas is '1,x'"),
        (["--areas", "0"], UsageError, "--areas is '0'"),
        (["--json", "nowhere/figures.json"], OutputError, "No such file or directory"),
        (["--json", __file__], click.UsageError, "holds no figures"),
        (["--json", "."], click.UsageError, "is a directory"),
        (["--work", __file__], click.UsageError, "is a file"),
        (["--work", f"{__file__}/work"], OutputError, "Not a directory"),
        (["--run-options", "--memory '4GB"], UsageError, "No closing quotation"),
        (["--run-options", "--memmory 4GB"], click.UsageError, "No such option"),
        (["--run-options", "--model fields-m --resume"], UsageError, "has --model and --resume"),
        (["--run-options", "--out mine.gpkg --overwrite"], UsageError, "has --out"),
        (["--run-options", "--quiet other.tif"], UsageError, r"has other\.tif"),
        (["nothing-here.tif"], SceneError, "nothing-here.tif"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, refusal, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(refusal, match=message):
        leave(*arguments)
    assert not any(tmp_path.iterdir())
