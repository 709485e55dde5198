"""Vector files are read and written under any name."""

from __future__ import annotations

import os
from pathlib import Path

import geopandas
import pyogrio
import pytest
import shapely

from geopanoptic.products.literal import literally

ODD = ["ex!cl", "semi;colon", "new\nline", "tab\ta", "Neu! maps/in", os.fsdecode(b"latin\xe4")]


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".shp"])
def test_odd_names(tmp_path: Path, name: str, suffix: str) -> None:
    path = tmp_path / f"{name}{suffix}"
    path.parent.mkdir(exist_ok=True)
    table = geopandas.GeoDataFrame({"n": [7]}, geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:32632")
    if suffix == ".shp":
        table.to_file(tmp_path / "plain.shp")
        for part in tmp_path.glob("plain.*"):
            part.rename(path.with_suffix(part.suffix))
    else:
        with literally(path) as plain:
            table.to_file(plain)
    assert path.is_file()
    with literally(path) as plain:
        read = geopandas.read_file(plain)
    assert read.n.tolist() == [7]
    assert read.crs is not None
    assert not plain.exists()


def test_layers_that_files_name_keep_their_name(tmp_path: Path) -> None:
    path = tmp_path / "Neu! maps" / "land.cover.shp"
    path.parent.mkdir()
    table = geopandas.GeoDataFrame({"n": [7]}, geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:32632")
    table.to_file(tmp_path / path.name)
    for part in tmp_path.glob("land.cover.*"):
        part.rename(path.with_name(part.name))
    with literally(path) as plain:
        assert [name for name, _ in pyogrio.list_layers(plain)] == ["land.cover"]
        assert geopandas.read_file(plain).crs is not None


@pytest.mark.parametrize("name", ["plain.gpkg", "sp ace ü.gpkg", "a#b%20?.gpkg", "archive.zip"])
def test_plain_names_stay(tmp_path: Path, name: str) -> None:
    with literally(tmp_path / name) as plain:
        assert plain == tmp_path / name
