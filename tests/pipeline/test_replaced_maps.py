"""What lies beside a map that is replaced, and what a run reads and must not replace."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine
from heard import Heard
from test_run import write_scene

import geopanoptic
from geopanoptic.errors import UsageError
from geopanoptic.labels.provenance.history import history
from geopanoptic.products.geoparquet import told_of_run


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    values = np.random.default_rng(0).integers(100, 3000, (4, 40, 60))
    return write_scene(tmp_path / "scene.tif", values, Affine(10, 0, 5e5, 0, -10, 4e6))


def test_files_of_the_map_before_that_stay_are_told(scene, tiny_bundle, tmp_path):
    out, asked = tmp_path / "p.gpkg", {"model": tiny_bundle.path, "threads": 1}
    everything = {"rasters": tmp_path / "r", "parquet": True, "stac": True, "dates": "2021-06-15"}
    first = geopanoptic.run(scene, out, **everything, **asked)
    names = ["p.gpkg", "p.run.json", "r/class.tif", "r/parcel_id.tif", "r/confidence.tif"]
    assert first.report["outputs"] == [*names, "p.parquet", "p.stac.json"]
    assert json.loads(out.with_suffix(".run.json").read_text())["outputs"] == first.report["outputs"]

    heard = Heard()
    geopanoptic.run(scene, out, **everything, **asked, overwrite=True, progress=heard)
    assert not any("that this run replaces" in each for each in heard.warnings)
    shutil.rmtree(tmp_path / "r")
    again = geopanoptic.run(scene, out, **asked, parquet=True, overwrite=True, progress=heard)
    (told,) = [each for each in heard.warnings if "that this run replaces" in each]
    assert told.startswith("p.stac.json is of the map that this run replaces, and stays as it is.")
    assert told in again.report["warnings"]
    assert again.report["outputs"] == ["p.gpkg", "p.run.json", "p.parquet"]


def test_an_area_of_interest_is_no_output(scene, tiny_bundle, tmp_path):
    area = geopandas.GeoDataFrame(
        {"owner": ["Ada"]}, geometry=[shapely.box(5e5 + 100, 4e6 - 300, 5e5 + 400, 4e6 - 100)], crs=32618
    )
    area.to_parquet(tmp_path / "p.parquet")
    area.to_file(tmp_path / "area.gpkg")
    asked = {"model": tiny_bundle.path, "threads": 1, "overwrite": True}
    for out, aoi, more in (("p.gpkg", "p.parquet", {"parquet": True}), ("area.gpkg", "area.gpkg", {})):
        before = (tmp_path / aoi).read_bytes()
        with pytest.raises(UsageError, match="is also an input"):
            geopanoptic.run(scene, tmp_path / out, aoi=tmp_path / aoi, **more, **asked)
        assert (tmp_path / aoi).read_bytes() == before


@pytest.mark.skipif(os.name != "posix", reason="names of any bytes")
def test_a_name_that_is_not_in_utf8(scene, tiny_bundle, tmp_path):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/d\xff"))
    folder.mkdir()
    geopanoptic.run(scene, folder / "p.gpkg", model=tiny_bundle.path, threads=1, parquet=True)
    assert sorted(path.name for path in folder.iterdir()) == ["p.gpkg", "p.parquet", "p.run.json"]


def test_geoparquet_says_what_made_it_and_when_the_ground_was_seen(scene, tiny_bundle, tmp_path):
    out = tmp_path / "p.gpkg"
    asked = {"model": tiny_bundle.path, "threads": 1, "dates": "2000-01-01"}
    report = geopanoptic.run(scene, out, parquet=True, **asked).report
    parquet = out.with_suffix(".parquet")
    stated = told_of_run(parquet)
    assert stated["skipped_blocks"] == []
    assert {key: report[key] for key in stated} == stated
    stored = geopandas.read_parquet(parquet)
    # The day that stands in a GeoPackage of which none is known.
    assert set(stored["determination:datetime"].dt.date.astype(str)) == {"2000-01-01"}
    (of_parquet,), (of_geopackage,) = history(parquet), history(out)
    assert "says of itself that tiny mapped scene" in of_parquet.action
    assert (of_parquet.action, of_parquet.tool) == (of_geopackage.action, of_geopackage.tool)
    stored[["parcel_id", "geometry"]].to_parquet(tmp_path / "other.parquet")
    assert told_of_run(tmp_path / "other.parquet") == told_of_run(scene) == {}
