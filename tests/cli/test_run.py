"""``geopanoptic run``: what it hands to the pipeline, and what it prints."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio

from geopanoptic.cli.main import invoke
from geopanoptic.pipeline.resuming.workfolder import claimed


@pytest.fixture
def asked(monkeypatch) -> dict:
    """What ``geopanoptic.run`` was called with."""
    calls: dict = {}

    def run(source, out, **keywords):
        calls.update(keywords, source=source, out=out)
        return SimpleNamespace(report={"parcels": 1234, "landcover_areas": 5, "seconds_total": 6.7})

    monkeypatch.setattr("geopanoptic.pipeline.run.run", run)
    return calls


@pytest.fixture(scope="module")
def scene_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    values = np.random.default_rng(3).integers(1, 3000, (4, 70, 90)).astype(np.uint16)
    profile = {"driver": "GTiff", "dtype": "uint16", "count": 4, "height": 70, "width": 90}
    with rasterio.open(
        path, "w", **profile, crs="EPSG:32633", transform=rasterio.Affine(10, 0, 5e5, 0, -10, 5e6), nodata=0
    ) as file:
        file.write(values)
        file.descriptions = ("blue", "green", "red", "nir")
    return path


def leave(*arguments: str) -> int:
    return invoke(["run", *arguments])


def test_options_reach_the_pipeline_with_their_units(asked):
    options = "--out a.gpkg --bands red,green,blue,-,- --min-area 500 --simplify 2.5 --tile 512 --memory 4GB"
    assert leave("a.tif", *options.split(), "--rasters", "r", "--overwrite", "--threads", "2") == 0
    assert asked["source"] == "a.tif"
    assert asked["out"] == Path("a.gpkg")
    assert asked["bands"] == "red,green,blue,-,-"
    assert (asked["min_area_m2"], asked["simplify_m"]) == (500, 2.5)
    assert (asked["tile_px"], asked["block_px"], asked["memory"]) == (512, None, "4GB")
    assert (asked["rasters"], asked["overwrite"], asked["threads"]) == (Path("r"), True, 2)


def test_options_of_a_series_reach_the_pipeline(asked):
    options = "--out a.gpkg --from 2021-03-01 --to 2021-09-30 --max-cloud 60 --cloud-mask scl --align"
    assert leave("2021/", *options.split()) == 0
    assert (asked["start"], asked["end"], asked["max_cloud"]) == ("2021-03-01", "2021-09-30", 60)
    assert (asked["cloud_mask"], asked["align"]) == ("scl", True)


def test_several_files_are_one_scene(asked):
    leave("b2.tif", "b3.tif", "--out", "a.gpkg")
    assert asked["source"] == ["b2.tif", "b3.tif"]


def test_a_name_that_starts_with_a_dash(asked):
    leave("--out", "a.gpkg", "--", "-scene.tif")
    assert asked["source"] == "-scene.tif"


def test_summary_report_and_silence(asked, capsys):
    leave("a.tif", "--out", "a.gpkg")
    assert capsys.readouterr().out == "1,234 parcels and 5 land-cover areas in a.gpkg (7 s)\n"
    leave("a.tif", "--out", "a.gpkg", "--json")
    assert json.loads(capsys.readouterr().out)["seconds_total"] == 6.7
    leave("a.tif", "--out", "a.gpkg", "--quiet")
    assert capsys.readouterr() == ("", "")


def test_without_an_output_it_asks_for_one(asked, capsys):
    assert leave("a.tif") == 2
    assert "--out parcels.gpkg" in capsys.readouterr().err
    assert not asked


def test_a_dry_run_refuses_outputs_as_the_run_would(scene_file, tiny_bundle, tmp_path, capsys):
    command = [str(scene_file), "--model", str(tiny_bundle.path), "--dry-run"]
    assert leave(*command, "--out", str(tmp_path / "missing" / "a.gpkg")) == 5
    (tmp_path / "old.gpkg").write_text("old")
    assert leave(*command, "--out", str(tmp_path / "old.gpkg")) == 5
    assert "exists already" in capsys.readouterr().err
    assert leave(*command, "--out", str(tmp_path / "old.gpkg"), "--overwrite") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["old.gpkg"]


def test_a_dry_run_refuses_whatever_the_run_would(scene_file, tiny_bundle, tmp_path, monkeypatch, capsys):
    work, out = tmp_path / "work", tmp_path / "a.gpkg"
    command = [str(scene_file), "--model", str(tiny_bundle.path), "--out", str(out), "--work", str(work)]

    def told(*options: str) -> tuple[int, str]:
        code = leave(*command, *options, "--dry-run")
        printed = capsys.readouterr()
        assert "90 x 70 px" in printed.out
        return code, printed.err

    assert told() == (0, "")
    assert not any(tmp_path.iterdir())
    code, error = told("--device", "cuda:77")
    assert code == 7
    assert "cuda:77" in error
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "1024")
    code, error = told("--memory", "1GB", "--tile", "2048")
    assert code == 7
    assert "more than the budget of 1.0 GB" in error
    assert "and there are 1.0 GB here" in error
    monkeypatch.delenv("SLURM_MEM_PER_NODE")
    assert (
        leave(str(scene_file), "--model", str(tiny_bundle.path), "--shard", "1/2", "--work", str(work)) == 0
    )
    code, error = told()
    assert code == 2
    assert "--resume" in error
    assert told("--finish")[0] == told("--shard", "2/2")[0] == 0
    code, error = told("--resume", "--bands", "red,green,blue,nir")
    assert code == 2
    assert "another run" in error
    with claimed(work):
        assert told("--resume")[0] == told("--finish")[0] == 75
        assert told("--shard", "2/2")[0] == 0
    (work / "letter.txt").touch()
    code, error = told("--resume")
    assert code == 2
    assert "letter.txt" in error


def test_a_refused_run_leaves_no_work_folder(scene_file, tiny_bundle, tmp_path, capsys):
    work, out = tmp_path / "work", tmp_path / "a.gpkg"
    command = [str(scene_file), "--model", str(tiny_bundle.path), "--out", str(out), "--work", str(work)]
    assert leave(*command, "--device", "cuda:77") == 7
    assert not any(tmp_path.iterdir())
    work.mkdir()
    assert leave(*command, "--device", "cuda:77") == 7
    assert list(tmp_path.iterdir()) == [work]
    assert not any(work.iterdir())


def test_a_dry_run_prints_the_plan_and_writes_nothing(scene_file, tiny_bundle, tmp_path, capsys):
    out = tmp_path / "a.gpkg"
    assert leave(str(scene_file), "--out", str(out), "--model", str(tiny_bundle.path), "--dry-run") == 0
    assert "90 x 70 px" in capsys.readouterr().out
    assert leave(str(scene_file), "--model", str(tiny_bundle.path), "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["model"] == "tiny"
    assert not any(tmp_path.iterdir())


def test_warnings_before_a_failure_are_part_of_its_json(
    scene_file, tiny_bundle, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("GEOPANOPTIC_DEBG", "1")
    out = tmp_path / "a.gpkg"
    out.touch()
    with rasterio.open(scene_file) as named, rasterio.open(tmp_path / "b.tif", "w", **named.profile) as file:
        file.write(named.read())
    command = [str(tmp_path / "b.tif"), "--out", str(out), "--model", str(tiny_bundle.path)]
    assert leave(*command, "--bands", "blue,green,red,nir", "--assume-crs", "EPSG:32632", "--json") == 5
    told = json.loads(capsys.readouterr().err)
    assert "exists already" in told["error"]
    assert [warning.split()[0] for warning in told["warnings"]] == ["GEOPANOPTIC_DEBG", "b"]
    assert leave(*command, "--json", "--bands", "blue,green,red,nir", "--dry-run", "--overwrite") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["model"] == "tiny"
    assert shown.err.startswith("warning: GEOPANOPTIC_DEBG")


def test_a_run_writes_its_products_and_refuses_to_replace_them(scene_file, tiny_bundle, tmp_path, capsys):
    out = tmp_path / "parcels.gpkg"
    arguments = [str(scene_file), "--out", str(out), "--model", str(tiny_bundle.path), "--device", "cpu"]
    assert leave(*arguments) == 0
    assert f"land-cover areas in {out}" in capsys.readouterr().out
    assert sorted(file.name for file in tmp_path.iterdir()) == ["parcels.gpkg", "parcels.run.json"]
    before = out.read_bytes()
    assert leave(*arguments) == 5
    assert "--overwrite" in capsys.readouterr().err
    assert leave(*arguments, "--overwrite", "--tile", "32", "--block", "24", "--quiet") == 0
    assert out.read_bytes() == before


def test_a_date_that_cannot_be_opened_is_a_part_that_was_skipped(scene_file, tiny_bundle, tmp_path, capsys):
    season, out = tmp_path / "season", tmp_path / "out" / "parcels.gpkg"
    season.mkdir()
    out.parent.mkdir()
    shutil.copy(scene_file, season / "20210415.tif")
    (season / "20210615.tif").write_bytes(scene_file.read_bytes()[:100])
    arguments = [str(season), "--out", str(out), "--model", str(tiny_bundle.path), "--device", "cpu"]
    assert leave(*arguments) == 3
    assert "20210615.tif is damaged" in capsys.readouterr().err
    assert leave(*arguments, "--on-error", "skip") == 6
    report = json.loads((out.parent / "parcels.run.json").read_text())
    assert report["dates"] == ["2021-04-15"]
    assert [(lost["date"], lost["damaged"]) for lost in report["dates_left_out"]] == [("2021-06-15", True)]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--out", "parcels.shp"], 2),
        (["--tile", "0"], 2),
        (["--memory", "much"], 2),
        (["--min-area", "-3"], 2),
        (["--bands", "red,green"], 3),
        (["--model", "nothing-like-it"], 4),
        (["--device", "abacus"], 7),
    ],
)
def test_what_cannot_be_meant_is_refused(
    options, code, scene_file, tiny_bundle, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert leave(str(scene_file), "--out", "a.gpkg", "--model", str(tiny_bundle.path), *options) == code
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert "bug" not in shown
    assert not any(tmp_path.iterdir())
