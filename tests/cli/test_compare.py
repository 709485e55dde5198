"""``geopanoptic compare``: what is printed and written, and what is refused without a traceback."""

from __future__ import annotations

import json

import geopandas
import pytest
from shapely import box

from geopanoptic.cli.main import invoke


@pytest.fixture
def maps(tmp_path):
    for name, cuts in {"2020": [0, 100, 200, 400], "2021": [0, 100, 250, 320, 400]}.items():
        fields = [box(600_000 + a, 0, 600_000 + b, 100) for a, b in zip(cuts, cuts[1:], strict=False)]
        geopandas.GeoDataFrame(geometry=fields, crs="EPSG:32632").to_file(tmp_path / f"{name}.gpkg")
    return tmp_path


def compare(maps, *options: str) -> int:
    return invoke(["compare", str(maps / "2020.gpkg"), str(maps / "2021.gpkg"), *options])


def test_table_and_file(maps, capsys):
    out = maps / "changes.gpkg"
    assert compare(maps, "--out", str(out)) == 0
    printed = capsys.readouterr()
    assert "ids go on" in printed.out
    assert "no column parcel_id" in printed.err
    assert len(geopandas.read_file(out, layer="parcels")) == 4
    assert invoke(["compare", str(out), str(maps / "2021.gpkg"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["later"]["same"] == 4


def test_quiet(maps, capsys):
    assert compare(maps, "--quiet") == 0
    assert capsys.readouterr() == ("", "")


def test_refusals(maps, capsys):
    out = str(maps / "changes.gpkg")
    assert compare(maps, "--out", out, "--quiet") == 0
    assert compare(maps, "--out", out) == 5
    assert compare(maps, "--out", str(maps / "2020.gpkg"), "--overwrite") == 2
    assert compare(maps, "--id-column", "ref") == 2
    assert compare(maps, "--tolerance", "-3") == 2
    assert compare(maps, "--out", str(maps / "none" / "changes.gpkg")) == 5
    assert "Traceback" not in capsys.readouterr().err
