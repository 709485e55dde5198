"""From written data to a scored and usable model: the whole way of the official protocol, made small."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import geopandas
import numpy as np
import pytest
import yaml
from small_pastis import season_of, write_small
from tiny_training import TINY_NETWORK

from geopanoptic.cli.main import invoke
from geopanoptic.models.bundle import load_bundle
from geopanoptic.models.manifest import channels_of
from geopanoptic.training.config import read_config

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
TINY = {
    "from": "random",
    "network": {**TINY_NETWORK, "decoder_channels": [8, 8], "detail_channels": 8, "temporal": {"heads": 4}},
    "crop_px": 32,
    "batch": 2,
    "steps": 6,  # two epochs of the six training patches
    "validation_crops": 1,
    "device": "cpu",
    "picture_steps": 0,
    "season": {"dates": [3]},
}


@pytest.mark.slow
def test_write_read_train_score_and_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_small(tmp_path / "PASTIS", patches=10)
    stored = folder.series(folder.patches[0], "S2")
    np.testing.assert_array_equal(stored, season_of(0).images["S2"].values_tchw)

    config = tmp_path / "fold1.yaml"
    config.write_text(yaml.safe_dump({**yaml.safe_load((CONFIGS / "pastis-fold1.yaml").read_text()), **TINY}))
    out = tmp_path / "out"
    command = ["pastis", str(config), "--data", str(folder.path), "--out", str(out), "--quiet"]
    assert invoke(command) == 0
    printed = capsys.readouterr().out
    assert (out / "table.md").read_text() == printed
    assert "| **pastis** | mean of 1 | 2 | coco |" in printed
    (scored,) = json.loads((out / "scores.json").read_text())["folds"]
    # Two patches lie in every fold, and both are counted.
    assert (scored["fold"], scored["patches"]) == (1, 2)
    assert {*scored["protocols"]} == {"pastis", "coco"}

    bundle = load_bundle(out / "fold1" / "bundle")
    assert bundle.takes_series
    assert bundle.manifest.normalisation.kind == "fixed"

    # Nothing is left to train: the same table again.
    assert invoke([*command, "--score-only"]) == 0
    assert capsys.readouterr().out == printed

    # Another call adds its fold, and what a bundle scored before it changed counts no more.
    shutil.copytree(bundle.path, out / "fold2" / "bundle")
    second = tmp_path / "fold2.yaml"
    second.write_text(config.read_text().replace("fold1", "fold2").replace("fold: 1", "fold: 2"))
    other = ["pastis", str(second), *command[2:], "--score-only"]
    assert invoke(other) == 0
    assert "| **pastis** | mean of 2 | 4 | coco |" in capsys.readouterr().out
    manifest = out / "fold1" / "bundle" / "bundle.json"
    manifest.write_text(manifest.read_text() + "\n")
    assert invoke(other) == 0
    assert "| **pastis** | mean of 1 | 2 | coco |" in capsys.readouterr().out
    assert [path.name for path in sorted(out.iterdir())] == ["fold1", "fold2", "scores.json", "table.md"]

    patch = folder.image_path(folder.patches[4], "S2")
    parcels = tmp_path / "parcels.gpkg"
    assert invoke(["run", str(patch), "--model", str(bundle.path), "--out", str(parcels), "--quiet"]) == 0
    mapped = geopandas.read_file(parcels, layer="landcover")
    left, _, _, top = mapped.total_bounds
    assert mapped.crs.to_epsg() == 32631
    assert (left, top) == pytest.approx(season_of(4).corner_xy, abs=0.01)


def test_one_configuration_per_fold_is_needed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = str(CONFIGS / "pastis-fold2.yaml")
    assert invoke(["pastis", config, config, "--out", str(tmp_path)]) == 2
    assert "of the folds 2, 2" in capsys.readouterr().err
    assert invoke(["pastis", str(CONFIGS / "quick.yaml"), "--out", str(tmp_path)]) == 2
    assert "one data set of kind pastis" in capsys.readouterr().err


@pytest.mark.slow
def test_the_heads_of_paps_are_trained_and_scored_the_same_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_small(tmp_path / "PASTIS")
    config = tmp_path / "paps.yaml"
    config.write_text(
        yaml.safe_dump({**yaml.safe_load((CONFIGS / "pastis-fold1.yaml").read_text()), **TINY, "steps": 2})
    )
    out = tmp_path / "out"
    assert (
        invoke(
            ["pastis", str(config), "--data", str(folder.path), "--out", str(out), "--quiet"]
            + ["--set", "network.outputs=paps", "--set", "name=paps-fold1"]
        )
        == 0
    )
    assert "| **paps** | mean of 1 | 1 | pastis |" in capsys.readouterr().out
    patch, mapped = folder.image_path(folder.patches[0], "S2"), tmp_path / "a.gpkg"
    model = ["--model", str(out / "fold1" / "bundle"), "--memory", "4GB", "--quiet"]
    assert invoke(["run", str(patch), "--out", str(mapped), *model]) == 0
    assert geopandas.read_file(mapped, layer="landcover").crs.to_epsg() == 32631

    for _, path in zip(range(3), sorted(patch.parent.iterdir())[2:], strict=False):
        path.unlink()
    assert invoke(["run", str(patch.parent), "--out", str(tmp_path / "all.gpkg"), *model]) == 2
    assert "2 patches" in capsys.readouterr().err
    each = ["run", str(patch.parent), "--out", str(tmp_path / "maps"), *model]
    assert invoke(each) == 0
    assert sorted(path.name for path in (tmp_path / "maps").glob("*.gpkg")) == [
        "S2_10000.gpkg", "S2_10001.gpkg",
    ]  # fmt: skip
    assert (tmp_path / "maps" / "S2_10000.gpkg").read_bytes() == mapped.read_bytes()
    assert invoke(each) == 5
    assert invoke([*each, "--resume"]) == 0
    assert invoke(["inspect", str(patch.parent)]) == 3
    assert "each a place of its own" in capsys.readouterr().err


@pytest.mark.parametrize("fold", [1, 2, 3, 4, 5])
def test_the_configurations_are_of_their_folds(fold: int) -> None:
    config = read_config(CONFIGS / f"pastis-fold{fold}.yaml")
    parts = {each.part: each.fold for each in (*config.data, *config.validation)}  # type: ignore[union-attr]
    assert parts == {"training": fold, "validation": fold}
    assert config.name == f"pastis-fold{fold}"
    assert len(channels_of(config.classes, "thing")) == 18
    assert config.network.temporal is not None
