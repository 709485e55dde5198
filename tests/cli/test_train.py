"""``geopanoptic train`` from the outside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from geopanoptic.cli.main import invoke


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    settings: dict[str, Any] = {
        "name": "small",
        "steps": 2,
        "crop_px": 32,
        "batch": 2,
        "device": "cpu",
        "log_steps": 1,
        "picture_steps": 0,
        "data": [{"kind": "generated", "scene_px": 64}],
        "network": {
            "encoder_depth": 3,
            "decoder_channels": [8, 8],
            "detail_channels": 4,
            "head_channels": 4,
        },
    }
    path.write_text(json.dumps(settings))
    return path


def test_a_configuration_becomes_a_bundle(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert invoke(["train", str(recipe), "--out", str(out), "--set", "batch=3", "--seed", "4"]) == 0
    told = capsys.readouterr()
    assert "step 2 of 2" in told.err
    assert f"geopanoptic run SCENE --model {out / 'bundle'} --out parcels.gpkg" in told.out
    assert {path.name for path in (out / "bundle").iterdir()} == {
        "bundle.json",
        "model.safetensors",
        "card.md",
        "stac.json",
    }
    assert "seed: 4" in (out / "bundle" / "card.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "x"], "0 --data and 0 --scene are given"),
        (["--data", "a.gpkg", "--out", "x"], "1 --data and 0 --scene are given"),
        (["--data", "a.gpkg", "--scene", "a.tif"], "--out is missing"),
        (["run.yaml", "--data", "a.gpkg", "--out", "x"], "Both a CONFIG and --data are given"),
        (
            ["run.yaml", "--labels", "sparse", "--assume-crs", "EPSG:4326", "--overwrite", "--out", "x"],
            "Both a CONFIG and --labels, --assume-crs, --overwrite are given",
        ),
        (["none.yaml", "--out", "x"], "none.yaml cannot be read"),
    ],
)
def test_mistakes_leave_with_2_and_a_remedy(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["train", *arguments]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told
    assert len(told.strip().splitlines()) == 2


def test_unknown_models_and_scenes_have_their_own_codes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = ["--data", "a.gpkg", "--scene", str(tmp_path / "none.tif"), "--out", str(tmp_path / "out")]
    assert invoke(["train", *pair]) == 3
    assert invoke(["train", "--from", "feilds-s", *pair]) == 4
    assert "Did you mean 'fields-s'?" in capsys.readouterr().err
