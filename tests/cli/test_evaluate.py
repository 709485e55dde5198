"""``geopanoptic evaluate``: what is printed and written, and what is refused without a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import pytest
from shapely import box

from geopanoptic.cli.main import invoke


@pytest.fixture
def paths(tmp_path):
    fields = [box(x, y, x + 90, y + 90) for x in range(0, 500, 100) for y in range(0, 500, 100)]
    frame = geopandas.GeoDataFrame({"crop": ["maize"] * len(fields)}, geometry=fields, crs="EPSG:32632")
    frame.to_file(tmp_path / "truth.gpkg")
    frame.iloc[5:].to_crs(4326).to_file(tmp_path / "mine.geojson")
    frame.dissolve().to_file(tmp_path / "area.gpkg")
    return tmp_path


def evaluate(paths, *options: str) -> int:
    return invoke(["evaluate", str(paths / "mine.geojson"), str(paths / "truth.gpkg"), *options])


def test_table_and_json(paths, capsys):
    area = str(paths / "area.gpkg")
    assert evaluate(paths, "--area", area, "--json", str(paths / "found.json")) == 0
    out = capsys.readouterr().out
    assert "mine.geojson against truth.gpkg" in out
    assert "recall 0.800 at IoU 0.5" in out
    assert "makes no difference here" in out
    found = json.loads((paths / "found.json").read_text())
    assert found["outside"]["counted"]["classes"]["parcel"]["fn"] == 5
    assert found["outside"]["ignored"]["classes"]["parcel"]["tp"] == 20


def test_json_alone_is_printed_in_place_of_the_table(paths, capsys):
    assert evaluate(paths, "--sparse", "--json") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["outside"]
    assert not shown.err
    assert evaluate(paths, "--json", "--quiet") == 0
    assert json.loads(capsys.readouterr().out)["outside"]


def test_json_replaces_no_map_that_stands_after_it(paths, capsys):
    before = (paths / "truth.gpkg").read_bytes()
    assert invoke(["evaluate", str(paths / "mine.geojson"), "--json", str(paths / "truth.gpkg")]) == 2
    assert "would replace" in capsys.readouterr().err
    assert (paths / "truth.gpkg").read_bytes() == before
    # A STAC item, say, is a scene whose name ends like that of figures.
    (paths / "item.json").write_text('{"type": "Feature", "stac_version": "1.1.0"}')
    assert evaluate(paths, "--json", str(paths / "item.json")) == 2
    (paths / "item.json").write_text("")
    for _ in range(2):
        assert evaluate(paths, "--json", str(paths / "item.json")) == 0


@pytest.mark.parametrize("mistake", ["--nonsense", "--tolerance=abc"])
def test_mistakes_are_told_as_json_only_where_figures_are_printed(paths, capsys, mistake):
    assert evaluate(paths, mistake, "--json") == 2
    assert json.loads(capsys.readouterr().err)["exit_code"] == 2
    for named in (["--json", "found.json"], ["--json=found.json"]):
        assert evaluate(paths, mistake, *named) == 2
        assert '"exit_code"' not in capsys.readouterr().err


def test_one_rule_alone(paths, capsys):
    assert evaluate(paths, "--outside", "ignore", "--aoi", str(paths / "area.gpkg")) == 0
    assert "counts against" not in capsys.readouterr().out


def test_sparse_and_quiet(paths, capsys):
    assert evaluate(paths, "--sparse") == 0
    out = capsys.readouterr().out
    assert "PQ" not in out
    assert "recall 0.800" in out
    assert evaluate(paths, "--sparse", "--quiet") == 0
    assert capsys.readouterr().out == ""


def test_picture(paths):
    assert evaluate(paths, "--picture", str(paths / "found.png"), "--quiet") == 0
    assert (paths / "found.png").stat().st_size > 10_000
    assert evaluate(paths, "--picture", str(paths / "found.png"), "--quiet") == 5
    assert evaluate(paths, "--picture", str(paths / "found.png"), "--quiet", "--overwrite") == 0
    assert evaluate(paths, "--picture", str(paths / "found.jpg"), "--quiet") == 2
    assert not (paths / "found.jpg").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--class-column", "kind"), "no column 'kind'"),
        (("--image", "scene.tif"), "without --picture"),
        (("--area", "nowhere.gpkg"), "nowhere.gpkg"),
        (("--protocol", "city"), "city"),
        (("--resolution", "0"), "positive"),
    ],
)
def test_mistakes(paths, capsys, options, told):
    assert evaluate(paths, *options) == 2
    printed = capsys.readouterr()
    assert told in printed.err
    assert "Traceback" not in printed.err


def test_an_output_that_cannot_be_written(paths, capsys):
    assert evaluate(paths, "--json", str(paths / "none" / "found.json")) == 5
    shown = capsys.readouterr().err
    assert "found.json" in shown
    # Who names a file reads the rest, which is no JSON, and neither is what goes wrong.
    assert "error: " in shown
    assert '"exit_code"' not in shown


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="Linux has such a folder")
def test_a_folder_in_which_nothing_can_be_made_is_named_and_no_temporary_file(paths, capsys):
    assert evaluate(paths, "--picture", "/proc/found.png") == 5
    assert "found.png could not be written to /proc: No such file or directory.\n" in capsys.readouterr().err
