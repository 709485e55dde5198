"""One map per patch: what a continued batch keeps, and what it makes anew."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path

import geopandas
import numpy as np
import pytest
from heard import Heard

from geopanoptic.errors import OutputError, SceneError, UsageError
from geopanoptic.pipeline.batch import patches_of, run_each
from geopanoptic.products.journal import Rename, decide
from geopanoptic.products.staging import staging_folder

pytestmark = pytest.mark.realdata

NAMES = ("S2_10000", "S2_10001")


@pytest.fixture
def patches(tmp_path: Path, shared_data: Path) -> tuple[Path, ...]:
    """Two patches of one date, at the place of a real one."""
    document = json.loads((shared_data / "pastis-labels/metadata.geojson").read_text())
    real = next(each for each in document["features"] if each["properties"]["ID_PATCH"] == 10000)
    document["features"] = []
    folder = tmp_path / "DATA_S2"
    folder.mkdir()
    for name in NAMES:
        feature = copy.deepcopy(real)
        number = int(name.removeprefix("S2_"))
        feature["properties"] |= {"ID_PATCH": number, "dates-S2": {"0": 20180924}}
        document["features"].append(feature)
        rng = np.random.default_rng(number)
        levels = np.kron(rng.integers(300, 4000, (1, 10, 8, 8)), np.ones((16, 16)))
        np.save(folder / f"{name}.npy", (levels + rng.integers(0, 90, levels.shape)).astype(np.int16))
    (tmp_path / "metadata.geojson").write_text(json.dumps(document))
    return patches_of(folder)


def test_a_continued_batch_keeps_maps_of_its_own_kind_only(patches, tiny_bundle, tmp_path):
    asked = {"model": tiny_bundle.path, "threads": 1}
    out = tmp_path / "maps-0.3"
    rasters = tmp_path / "new" / "rasters"
    assert len(run_each(patches, out, rasters=rasters, **asked).reports) == 2
    assert {path.parent.name for path in rasters.glob("*/class.tif")} == set(NAMES)
    assert run_each(patches, out, resume=True, **asked).kept == 2
    first = (out / f"{NAMES[0]}.gpkg").read_bytes()

    # As an interrupted --overwrite leaves it: one map of the new kind, one of the old.
    run_each(patches[:1], out, overwrite=True, min_area_m2=0, **asked)
    assert (out / f"{NAMES[0]}.gpkg").read_bytes() != first
    with pytest.raises(OutputError, match=rf"{NAMES[1]}.* is another map: min_area_output_px: was 40, is 0"):
        run_each(patches, out, resume=True, min_area_m2=0, **asked)
    continued = run_each(patches, out, resume=True, overwrite=True, min_area_m2=0, **asked)
    assert (continued.kept, len(continued.reports)) == (1, 1)
    assert continued.reports[0]["scene"] == NAMES[1]

    with pytest.raises(OutputError, match=rf"{NAMES[0]}\.stac\.json is missing"):
        run_each(patches[:1], out, resume=True, stac=True, min_area_m2=0, **asked)

    # Of the map before: it says nothing of the one that has taken its place.
    run_each(patches[:1], out, overwrite=True, parquet=True, **asked)
    run_each(patches[:1], out, overwrite=True, min_area_m2=0, **asked)
    with pytest.raises(OutputError, match=rf"{NAMES[0]}\.parquet was not made with it"):
        run_each(patches[:1], out, resume=True, parquet=True, min_area_m2=0, **asked)

    os.utime(patches[1])
    assert run_each(patches, out, resume=True, overwrite=True, min_area_m2=0, **asked).kept == 1
    elsewhere = geopandas.read_file(patches[0].parent.parent / "metadata.geojson").buffer(-200)
    for area in (elsewhere, elsewhere.buffer(-100)):
        assert run_each(patches[:1], out, resume=True, overwrite=True, aoi=area, **asked).kept == 0
        assert run_each(patches[:1], out, resume=True, aoi=area, **asked).kept == 1
    (out / f"{NAMES[0]}.run.json").unlink()
    with pytest.raises(OutputError, match=r"run\.json is missing"):
        run_each(patches, out, resume=True, min_area_m2=0, **asked)


def test_a_batch_killed_between_two_renames_is_brought_to_its_end(patches, tiny_bundle, tmp_path):
    asked = {"model": tiny_bundle.path, "threads": 1}
    run_each(patches, tmp_path / "old", **asked)
    run_each(patches, tmp_path / "maps", min_area_m2=0, **asked)
    target = tmp_path / "maps" / f"{NAMES[0]}.gpkg"
    new = target.read_bytes()
    # The new report is in place, the new map is not yet.
    staging = staging_folder(target)
    staging.mkdir()
    target.rename(staging / "product-0.gpkg")
    (tmp_path / "old" / target.name).rename(target)
    decide(target, [Rename(folder=target.parent, staged="product-0.gpkg", relative=target.name)])
    assert run_each(patches, tmp_path / "maps", resume=True, min_area_m2=0, **asked).kept == 2
    assert target.read_bytes() == new
    assert not staging.exists()


def test_warnings_of_the_patches_are_told_once(patches, tiny_bundle, tmp_path, capsys):
    values = np.load(patches[0])
    np.save(patches[0], np.full_like(values, -10_000))
    heard = Heard()
    maps = run_each(patches, tmp_path / "maps", model=tiny_bundle.path, threads=1, progress=heard)
    assert not capsys.readouterr().err
    told = [
        f"{name}: {text}" for name, each in zip(NAMES, maps.reports, strict=True) for text in each["warnings"]
    ]
    assert any(text.startswith(NAMES[0]) and "no valid pixel" in text for text in told)
    assert heard.warnings == told


def test_a_file_is_no_folder_for_maps(tmp_path):
    (tmp_path / "notes").write_text("")
    for name in ("maps.gpkg", "notes"):
        with pytest.raises(UsageError, match="is one file"):
            run_each([Path("S2_1.npy"), Path("S2_2.npy")], tmp_path / name)
    with pytest.raises(SceneError):
        run_each([Path("S2_1.npy"), Path("S2_2.npy")], tmp_path / "maps.v2")
