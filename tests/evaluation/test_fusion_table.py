"""What each rule of fusion gives on a labelled scene: the same maps and figures as one run after another."""

from __future__ import annotations

import json

import pytest

import geopanoptic
from geopanoptic.cli.main import invoke
from geopanoptic.errors import OutputError, UsageError
from geopanoptic.evaluation.fusion_table import evaluate_fusions
from geopanoptic.panoptic.fusion.rules import FUSION_RULES
from geopanoptic.training.synthetic import synthesize

ASKED = ("deeplab", "panoptic-fpn", "lps")


@pytest.fixture(scope="module")
def country(tmp_path_factory):
    folder = tmp_path_factory.mktemp("country")
    made = synthesize((96, 80), bands=("blue", "green", "red", "nir"), character="mosaic", seed=4)
    made.to_geotiff(folder / "scene.tif")
    made.to_gpkg(folder / "truth.gpkg")
    return folder


def test_maps_and_figures_are_those_of_run_and_evaluate(country, tmp_path):
    scene, truth = country / "scene.tif", country / "truth.gpkg"
    found = evaluate_fusions(scene, truth, ASKED, maps=tmp_path / "maps", min_area_m2=500)
    assert tuple(found.evaluations) == ASKED
    for rule in ASKED[2:]:
        alone = tmp_path / f"{rule}.gpkg"
        geopanoptic.run(scene, alone, fusion=rule, threads=1)
        assert alone.read_bytes() == (tmp_path / "maps" / alone.name).read_bytes()
        assert (
            found.evaluations[rule].to_dict() == geopanoptic.evaluate(alone, truth, min_area_m2=500).to_dict()
        )
    told = [json.loads((tmp_path / "maps" / f"{rule}.run.json").read_text())["network_px"] for rule in ASKED]
    assert told[0] > 0
    assert told[1:] == [0, 0]
    assert sorted(each.suffix for each in (tmp_path / "maps").iterdir()) == [".gpkg"] * 3 + [".json"] * 3
    with pytest.raises(OutputError, match=r"lps\.gpkg exists"):
        evaluate_fusions(scene, truth, "upsnet,lps", maps=tmp_path / "maps")
    assert not (tmp_path / "maps" / "upsnet.gpkg").exists()


def test_one_command_prints_every_rule(country, tmp_path, tiny_bundle, capsys):
    arguments = ["evaluate", str(country / "scene.tif"), str(country / "truth.gpkg"), "--fusion", "all"]
    model = ["--model", str(tiny_bundle.path)]
    assert invoke([*arguments, *model, "--outside", "count", "--json", str(tmp_path / "rules.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"scene by {tiny_bundle.name} against truth.gpkg"
    assert [line.split()[0] for line in lines[2:8]] == ["fusion", *FUSION_RULES]
    assert list(json.loads((tmp_path / "rules.json").read_text())["fusion"]) == list(FUSION_RULES)
    assert invoke([*arguments[:-1], "upsnet", *model, "--sparse", "--pixel-size", "20"]) == 0
    assert "recall" in (told := capsys.readouterr().out)
    assert "PQ" not in told


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--fusion", "upsnett"), "Did you mean 'upsnet'?"),
        (("--fusion", ","), "No rule of fusion"),
        (("--pixel-size", "5"), "--pixel-size is about mapping a scene"),
        (("--model", "fields-s"), "--model is about mapping a scene"),
        (("--from", "2021-01-01"), "--from is about mapping a scene"),
        (("--fusion", "all", "--picture", "out.png"), "makes several"),
    ],
)
def test_mistakes_are_refused_before_anything_is_mapped(country, capsys, options, told):
    assert invoke(["evaluate", str(country / "scene.tif"), str(country / "truth.gpkg"), *options]) == 2
    assert told in capsys.readouterr().err


def test_an_address_reaches_the_scene_as_it_is(country, capsys):
    address = "https://127.0.0.1:9/scene.tif"
    assert invoke(["evaluate", address, str(country / "truth.gpkg"), "--fusion", "all"]) != 0
    told = capsys.readouterr().err
    assert address in told
    assert "--allow-remote" in told


def test_figures_that_cannot_be_written_are_told_before_anything_is_mapped(country, tmp_path, capsys):
    arguments = ["evaluate", str(country / "scene.tif"), str(country / "truth.gpkg"), "--fusion", "all"]
    maps, figures = tmp_path / "maps", tmp_path / "nowhere" / "rules.json"
    assert invoke([*arguments, "--maps", str(maps), "--json", str(figures)]) == 5
    assert "rules.json could not be written" in capsys.readouterr().err
    assert not maps.exists()


def test_a_truth_that_is_none_is_refused_before_anything_is_mapped(country, tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        evaluate_fusions(country / "scene.tif", tmp_path / "nowhere.gpkg", maps=tmp_path / "maps")
    assert not (tmp_path / "maps").exists()
