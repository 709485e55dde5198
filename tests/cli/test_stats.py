"""``geopanoptic stats``: what is printed and written, and what is refused without a traceback."""

from __future__ import annotations

import json

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine
from shapely import box

from geopanoptic.cli.main import invoke


@pytest.fixture
def paths(tmp_path):
    transform = Affine(10, 0, 600_000, 0, -10, 5_700_000)
    for when in ("20210501", "20210701"):
        for band in ("red", "nir"):
            with rasterio.open(
                tmp_path / f"s2_{when}_{band}.tif", "w", driver="GTiff", height=40, width=40, count=1,
                dtype="int16", crs="EPSG:32632", transform=transform,
            ) as file:  # fmt: skip
                file.write(np.full((40, 40), 3000 if band == "nir" else 1000, np.int16), 1)
    fields = [box(600_000 + x, 5_699_700, 600_000 + x + 95, 5_699_995) for x in (0, 95)]
    geopandas.GeoDataFrame(geometry=fields, crs="EPSG:32632").to_file(tmp_path / "parcels.gpkg")
    return tmp_path


def stats(paths, *options: str) -> int:
    scene = sorted(str(each) for each in paths.glob("*.tif"))
    return invoke(["stats", str(paths / "parcels.gpkg"), *scene, *options])


def test_table(paths, capsys):
    out = paths / "stats.parquet"
    assert stats(paths, "--out", str(out), "--index", "ndvi") == 0
    assert "12 rows: 2 parcels, 2 dates" in capsys.readouterr().out
    table = pd.read_parquet(out)
    assert table[table["band"] == "ndvi"]["mean"].tolist() == pytest.approx([0.5] * 4)


def test_choices(paths, capsys):
    out = paths / "stats.csv"
    options = ("--index", "ndvi", "--only-indices", "--wide", "--from", "2021-06-01", "--extremes", "--json")
    assert stats(paths, "--out", str(out), *options) == 0
    assert json.loads(capsys.readouterr().out)["dates"] == ["2021-07-01"]
    columns = [f"ndvi_{name}_20210701" for name in ("mean", "median", "std", "min", "max", "valid_share")]
    assert pd.read_csv(out).columns.tolist() == ["parcel_id", *columns]


def test_what_cannot_be_read_is_left_out_when_asked(paths, capsys):
    odd = paths / "s2_20210701_nir.tif"
    odd.write_bytes(odd.read_bytes()[:1500])
    out = str(paths / "stats.csv")
    assert stats(paths, "--out", out) == 3
    assert not (paths / "stats.csv").exists()
    assert stats(paths, "--out", out, "--on-error", "skip") == 6
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--out", "stats.xlsx"), 2),
        (("--out", "none/stats.csv"), 5),
        (("--out", "stats.csv", "--index", "ndiv"), 2),
        (("--out", "stats.csv", "--only-indices"), 2),
        (("--out", "stats.csv", "--id-column", "ref"), 2),
        (("--out", "stats.csv", "--dates", "2022-01-01"), 3),
        (("--out", "parcels.gpkg", "--overwrite"), 2),
    ],
)
def test_mistakes(paths, capsys, monkeypatch, options, code):
    monkeypatch.chdir(paths)
    assert stats(paths, *options) == code
    assert "Traceback" not in capsys.readouterr().err
