"""The output faults of the catalogue, F61 to F72, each by its number."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import geopandas
import pytest

sys.path.append(str(Path(__file__).parents[1] / "products"))

from small_maps import CLASSES, small_map

from geopanoptic.errors import GeopanopticError, LockedError, OutputError, UsageError
from geopanoptic.products.commit import Commit
from geopanoptic.products.geopackage import verify_geopackage, write_geopackage
from geopanoptic.products.suffixes import require_vector_suffix


def run(out: Path, *, parcels: int = 12, overwrite: bool = False, inputs: tuple[Path, ...] = ()) -> None:
    """What a run does with its output, without the map-making before it."""
    require_vector_suffix(out)
    with Commit([out], overwrite=overwrite, inputs=inputs) as commit:
        drawn = small_map(parcels=parcels)
        write_geopackage(
            commit.staged(out),
            parcels=drawn.parcels,
            landcover=drawn.landcover,
            classes=CLASSES,
            metadata={"model": "default"},
            timestamp=datetime(2026, 1, 1, tzinfo=UTC),
        )
        commit.publish({out: partial(verify_geopackage, parcels=parcels, landcover=4)})


def refused(kind: type[GeopanopticError], exit_code: int, out: Path, **options: object) -> str:
    with pytest.raises(kind) as caught:
        run(out, **options)
    assert caught.value.exit_code == exit_code
    assert caught.value.remedy
    return str(caught.value)


def names(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_f55_killed_at_50_random_moments_leaves_the_old_set_or_the_new(tmp_path: Path) -> None:
    program = Path(__file__).with_name("killed_products.py")
    path = os.pathsep.join(
        map(str, (program.parents[1] / "products", program.parents[2], os.environ.get("PYTHONPATH", "")))
    )
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    old, new = map(int, done.stdout.split())
    assert old + new == 50


def test_f61_second_run_on_the_same_output(tmp_path: Path) -> None:
    out = tmp_path / "map.gpkg"
    with Commit([out]):
        assert "map.gpkg" in refused(LockedError, 75, out)
    run(out)


def test_f63_existing_output_needs_overwrite(tmp_path: Path) -> None:
    out = tmp_path / "map.gpkg"
    run(out, parcels=3)
    old = out.read_bytes()
    assert "--overwrite" in refused(OutputError, 5, out)
    assert out.read_bytes() == old
    run(out, parcels=4, overwrite=True)
    assert len(geopandas.read_file(out, layer="parcels")) == 4
    assert names(tmp_path) == {"map.gpkg"}


@pytest.mark.parametrize("limit_bytes", [0, 10_000, 100_000, 200_000])
def test_f64_full_disk_keeps_the_old_output(tmp_path: Path, limit_bytes: int) -> None:
    resource = pytest.importorskip("resource")
    out = tmp_path / "map.gpkg"
    run(out, parcels=3)
    old = out.read_bytes()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
    try:
        message = refused(OutputError, 5, out, parcels=4000, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "map.gpkg" in message or str(tmp_path) in message
    assert out.read_bytes() == old
    assert names(tmp_path) == {"map.gpkg"}


def test_f65_missing_folder_before_any_work(tmp_path: Path) -> None:
    assert "mkdir" in refused(OutputError, 5, tmp_path / "none" / "map.gpkg")
    assert not names(tmp_path)


def test_f66_geopackage_open_in_a_gis_is_not_pulled_away(tmp_path: Path) -> None:
    out = tmp_path / "map.gpkg"
    run(out)
    (tmp_path / "map.gpkg-wal").write_bytes(b"unsaved edits")
    assert "Close it" in refused(OutputError, 5, out, overwrite=True)
    assert (tmp_path / "map.gpkg-wal").read_bytes() == b"unsaved edits"


def test_f67_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    real, link = tmp_path / "store" / "real.gpkg", tmp_path / "map.gpkg"
    run(real, parcels=2)
    link.symlink_to(real)
    run(link, parcels=5, overwrite=True)
    assert link.is_symlink()
    assert len(geopandas.read_file(real, layer="parcels")) == 5
    assert names(tmp_path / "store") == {"real.gpkg"}


def test_f68_output_is_an_input(tmp_path: Path) -> None:
    scene, link = tmp_path / "scene.gpkg", tmp_path / "link.gpkg"
    scene.write_bytes(b"scene")
    link.symlink_to(scene)
    hard = tmp_path / "hard.gpkg"
    hard.hardlink_to(scene)
    for out in (scene, link, hard):
        assert "input" in refused(UsageError, 2, out, overwrite=True, inputs=(scene,))
    assert scene.read_bytes() == b"scene"


@pytest.mark.parametrize("name", ["map.shp", "map", "map.gpkg.bak", "map.tif"])
def test_f69_unknown_suffix_lists_the_known(tmp_path: Path, name: str) -> None:
    assert ".gpkg" in refused(UsageError, 2, tmp_path / name)
    assert not names(tmp_path)


def test_f69_suffix_in_capitals_is_known() -> None:
    assert require_vector_suffix(Path("MAP.GPKG")) == ".gpkg"


def test_f72_class_called_script_is_escaped(tmp_path: Path) -> None:
    out = tmp_path / "map.gpkg"
    run(out)
    styles = geopandas.read_file(out, layer="layer_styles")
    text = " ".join(styles["styleQML"]) + " ".join(styles["styleSLD"])
    assert "<script>" not in text
    assert "&lt;script" in text
