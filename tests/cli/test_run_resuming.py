"""``geopanoptic run`` that is stopped, resumed or cut into shards: what it says and how it leaves."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geopanoptic.cli.main import invoke


@pytest.fixture(scope="module")
def arguments(tmp_path_factory, tiny_bundle) -> list[str]:
    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    values = np.random.default_rng(3).integers(1, 3000, (4, 70, 90)).astype(np.uint16)
    profile = {"driver": "GTiff", "dtype": "uint16", "count": 4, "height": 70, "width": 90}
    with rasterio.open(
        path, "w", **profile, crs="EPSG:32633", transform=rasterio.Affine(10, 0, 5e5, 0, -10, 5e6)
    ) as file:
        file.write(values)
        file.descriptions = ("blue", "green", "red", "nir")
    return ["run", str(path), "--model", str(tiny_bundle.path), "--device", "cpu", "--threads", "1"]


def test_a_stopped_run_tells_how_to_continue(monkeypatch, capsys):
    def run(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("geopanoptic.pipeline.run.run", run)
    for asked, remedy in (
        (["my scene.tif", "--out", "a.gpkg"], "'my scene.tif' --out a.gpkg --resume"),
        (["my scene.tif", "--out", "a.gpkg", "--resume"], "'my scene.tif' --out a.gpkg --resume"),
        (["--out", "a.gpkg", "--", "-scene.tif"], "--out a.gpkg --resume -- -scene.tif"),
    ):
        monkeypatch.setattr(sys, "argv", ["geopanoptic", "run", *asked])
        assert invoke(["run", *asked]) == 130
        shown = capsys.readouterr().err
        assert "Interrupted" in shown
        assert shown.endswith(f"Continue with: geopanoptic run {remedy}\n")


def test_a_stopped_batch_tells_that_its_maps_stay(monkeypatch, capsys):
    def run_each(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("geopanoptic.pipeline.batch.patches_of", lambda _: ("S2_1.npy", "S2_2.npy"))
    monkeypatch.setattr("geopanoptic.pipeline.batch.run_each", run_each)
    monkeypatch.setattr(sys, "argv", ["geopanoptic", "run", "DATA_S2", "--out", "maps"])
    assert invoke(["run", "DATA_S2", "--out", "maps"]) == 130
    shown = capsys.readouterr().err
    assert "Interrupted; the maps that were finished stay." in shown
    assert shown.endswith("run DATA_S2 --out maps --resume\n")


def test_shards_and_their_finish(arguments, tmp_path, capsys):
    work, out = str(tmp_path / "work"), tmp_path / "a.gpkg"
    assert invoke([*arguments, "--shard", "1/2", "--work", work, "--quiet"]) == 0
    assert invoke([*arguments, "--finish", "--work", work, "--out", str(out)]) == 2
    assert "shards 2/2 have not finished" in capsys.readouterr().err
    assert invoke([*arguments, "--shard", "2/2", "--work", work]) == 0
    assert "--finish --work" in capsys.readouterr().out
    assert invoke([*arguments, "--shard", "2/2", "--work", work, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["shard"], told["blocks_computed"]) == ({"number": 2, "count": 2}, 0)
    assert invoke([*arguments, "--finish", "--work", work, "--out", str(out)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gpkg", "a.run.json", "work"]
    assert not any(Path(work).iterdir())


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--shard", "1/4"], "--work"),
        (["--shard", "5/4", "--work", "work"], "16/16"),
        (["--shard", "1/4", "--work", "work", "--out", "a.gpkg"], "without --out"),
        (["--finish", "--out", "a.gpkg"], "--work"),
        (["--keep-work", "--out", "a.gpkg"], "--work"),
        (["--finish", "--work", "work", "--out", "a.gpkg"], "no run to finish"),
    ],
)
def test_what_cannot_be_meant_is_refused(options, word, arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert invoke([*arguments, *options]) == 2
    assert word in capsys.readouterr().err
    assert not (tmp_path / "a.gpkg").exists()
