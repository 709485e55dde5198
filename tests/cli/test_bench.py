"""``geopanoptic bench``: real runs in fresh processes, their table and their JSON; refusals."""

from __future__ import annotations

import json

import pytest

from geopanoptic.cli.bench import bench
from geopanoptic.errors import SceneError, UsageError


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
        "1 threads",
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


@pytest.mark.parametrize(
    ("arguments", "refusal", "message"),
    [
        (["a.tif", "--size", "512"], UsageError, "--size and --areas are about generated scenes"),
        (["--areas", "1,x"], UsageError, "--areas is '1,x'"),
        (["--areas", "0"], UsageError, "--areas is '0'"),
        (["--json", "nowhere/figures.json"], UsageError, "in no existing folder"),
        (["nothing-here.tif"], SceneError, "nothing-here.tif"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, refusal, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(refusal, match=message):
        leave(*arguments)
    assert not any(tmp_path.iterdir())
