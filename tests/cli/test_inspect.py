"""``geopanoptic inspect`` and what it is made of."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner, Result
from rasterio.warp import transform_bounds

from geopanoptic.cli.inspect import inspect
from geopanoptic.errors import ModelError, SceneError
from geopanoptic.grid import Grid
from geopanoptic.models.bundle import Bundle
from geopanoptic.pipeline.inspection import bounds_lon_lat, inspect_scene


def _write(path: Path, *, crs: str = "EPSG:32632", names: tuple[str, ...] = ("red", "green", "blue")) -> Path:
    values = np.arange(1, len(names) * 1200 + 1, dtype="uint16").reshape(len(names), 30, 40)
    values[:, :3] = 0
    with rasterio.open(
        path, "w", driver="GTiff", height=30, width=40, count=len(names), dtype="uint16", crs=crs,
        transform=Affine(10, 0, 600_000, 0, -10, 5_700_000), nodata=0, photometric="MINISBLACK",
    ) as dataset:  # fmt: skip
        dataset.descriptions = names
        dataset.write(values)
    return path


@pytest.fixture
def invoke(tiny_bundle: Bundle):
    def run(*arguments: object) -> Result:
        words = [str(word) for word in arguments]
        return CliRunner().invoke(inspect, [*words, "--model", str(tiny_bundle.path)], catch_exceptions=False)

    return run


def test_plain_lines_where_there_is_no_terminal(invoke, tmp_path: Path) -> None:
    result = invoke(_write(tmp_path / "scene_20210615.tif"))
    assert result.exit_code == 0
    found = {line[:9].strip(): line[9:] for line in result.output.splitlines()}
    assert found["size"].startswith("30 rows x 40 columns")
    assert found["pixel"] == "10 x 10 m"
    assert found["CRS"] == "WGS 84 / UTM zone 32N EPSG:32632"
    assert found["bands"] == "red, green, blue"
    assert found["dates"] == "2021-06-15"
    assert found["nodata"] == "0"
    assert found["valid"].startswith("90.0%")
    assert "tiny needs blue, green, red; would also take nir" in found["model"]
    assert "possible: output 60 x 80 px" in found["run"]
    assert (
        " MB of memory and 64 MB of disk" in found["run"] or " GB of memory and 64 MB of disk" in found["run"]
    )
    assert "\x1b" not in result.output


def test_json(invoke, tmp_path: Path) -> None:
    path = _write(tmp_path / "scene_20210615.tif")
    report = json.loads(invoke(path, "--json").output)
    assert report["files"] == [str(path.resolve())]
    assert (report["height"], report["width"]) == (30, 40)
    assert report["crs_authority"] == "EPSG:32632"
    assert report["dates"] == ["2021-06-15"]
    assert report["valid_share"] == {"2021-06-15": 0.9}
    assert report["model"]["accepts_scene"]
    assert report["model"]["absent_bands"] == ["nir"]
    assert report["plan"]["output_shape"] == [60, 80]
    expected = transform_bounds("EPSG:32632", "EPSG:4326", 600_000, 5_699_700, 600_400, 5_700_000)
    assert report["bounds_lon_lat"] == pytest.approx(expected, abs=1e-6)


def test_several_dates_are_a_table(invoke, tmp_path: Path) -> None:
    for day in ("20210415", "20210615"):
        _write(tmp_path / f"{day}.tif")
    result = invoke(tmp_path)
    assert "dates    2, from 2021-04-15 to 2021-06-15\n" in result.output
    assert "date     2021-04-15  valid   90.0%  cloud unknown  red, green, blue\n" in result.output
    assert "not possible" in result.output
    assert "--dates" in result.output
    chosen = json.loads(invoke(tmp_path, "--dates", "2021-06-15", "--json").output)
    assert chosen["dates"] == ["2021-06-15"]
    assert chosen["model"]["accepts_scene"]


def test_clouds_are_told_and_left_out(invoke, tmp_path: Path) -> None:
    for day, rows in (("20210415", 6), ("20210615", 24), ("20210815", 0)):
        _write(tmp_path / f"{day}.tif")
        classes = np.full((30, 40), 4, "uint8")
        classes[:rows] = 9
        with rasterio.open(
            tmp_path / f"{day}_SCL.tif", "w", driver="GTiff", height=30, width=40, count=1, dtype="uint8",
            crs="EPSG:32632", transform=Affine(10, 0, 600_000, 0, -10, 5_700_000),
        ) as dataset:  # fmt: skip
            dataset.write(classes, 1)
    report = json.loads(invoke(tmp_path, "--max-cloud", 50, "--from", "2021-03-01", "--json").output)
    assert report["series"] == [
        {"date": "2021-04-15", "bands": ["red", "green", "blue"], "files": 2, "valid_share": 0.8, "cloud_share": 0.2},
        {"date": "2021-08-15", "bands": ["red", "green", "blue"], "files": 2, "valid_share": 0.9, "cloud_share": 0.0},
    ]  # fmt: skip
    assert [each["date"] for each in report["dates_left_out"]] == ["2021-06-15"]
    table = invoke(tmp_path, "--max-cloud", 50, "--to", "2021-07-01").output
    assert "cloud    20.0%" in table
    assert "left out 2021-06-15  80.0% cloud (at most 50 %)" in table
    assert "\ncloud" not in invoke(tmp_path, "--cloud-mask", "none", "--dates", "2021-06-15").output


def test_too_few_bands_are_a_finding_not_an_error(invoke, tmp_path: Path) -> None:
    report = json.loads(invoke(_write(tmp_path / "a.tif", names=("red", "nir")), "--json").output)
    assert not report["model"]["accepts_scene"]
    assert "no blue, green band" in report["model"]["refusal"]
    assert report["plan"] is None
    renamed = invoke(tmp_path / "a.tif", "--bands", "red,-")
    assert "bands    red\n" in renamed.output


def test_a_missing_model_is_a_finding_too(tmp_path: Path) -> None:
    found = inspect_scene(_write(tmp_path / "a.tif"), model=tmp_path / "nothing")
    assert isinstance(found.refusal, ModelError)
    assert found.bundle is None
    assert json.dumps(found.to_dict(), allow_nan=False)


def test_scenes_that_cannot_be_opened_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SceneError):
        inspect_scene(tmp_path / "nothing.tif")


def test_a_scene_with_corners_beside_the_earth_has_no_bounds() -> None:
    disc = Grid(
        crs_wkt=pyproj.CRS("+proj=ortho +lat_0=50 +lon_0=10").to_wkt(),
        transform=Affine(1e5, 0, -6.4e6, 0, -1e5, 6.4e6), height=128, width=128,
    )  # fmt: skip
    assert bounds_lon_lat(disc) is None


def test_bounds_cross_the_antimeridian_as_rfc_7946_says() -> None:
    fiji = Grid(
        crs_wkt=rasterio.CRS.from_epsg(3460).to_wkt(),
        transform=Affine(1000, 0, 1_900_000, 0, -1000, 4_000_000), height=300, width=400,
    )  # fmt: skip
    bounds = bounds_lon_lat(fiji)
    assert bounds is not None
    west, south, east, north = bounds
    assert west > 0 > east
    assert south < north
