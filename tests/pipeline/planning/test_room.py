"""Room for a run: its memory and its disks."""

from __future__ import annotations

import os
from dataclasses import replace
from types import SimpleNamespace

import geopandas
import pytest
import shapely
from blank_scenes import scene

from geopanoptic.errors import ResourceError
from geopanoptic.models.bundle import load_bundle
from geopanoptic.pipeline.execution.crew import SLURM, Crew
from geopanoptic.pipeline.planning.aoi import read_aoi
from geopanoptic.pipeline.planning.plan import make_plan
from geopanoptic.pipeline.planning.room import check_disk, check_memory


def test_room_is_asked_for_where_each_thing_goes(tmp_path, monkeypatch):
    plan, free, disk = make_plan(scene(10980), load_bundle()), {}, {}
    output_px = 21960**2
    work, out = tmp_path / "work", tmp_path / "out"
    for folder in (work, out):
        folder.mkdir()
    monkeypatch.setattr(
        os, "statvfs", lambda folder: SimpleNamespace(f_bavail=free.get(folder.name, 1 << 50), f_frsize=1)
    )
    monkeypatch.setattr(
        "geopanoptic.pipeline.planning.room._device", lambda place: disk.get(place[1].name, 0)
    )
    rasters = out / "new" / "rasters"
    # On one disk rasters are written while the layers and the labels are still there.
    free["work"] = 22 * output_px
    check_disk(plan, work)
    check_disk(plan, work, out=out)
    with pytest.raises(
        ResourceError, match=r"10\.3 GB for --work and --out and --rasters, and .*work has 9\.9 GB"
    ):
        check_disk(plan, work, out=out, rasters=rasters)
    check_disk(plan, work, out=out, rasters=rasters, stored_bytes=2 * output_px)
    # On two, each has its own.
    disk["out"] = 1
    check_disk(plan, work, out=out, rasters=rasters)
    free["out"] = 8 * output_px
    check_disk(plan, work, out=out)
    with pytest.raises(ResourceError, match=r"for --out and --rasters, and .*out has") as told:
        check_disk(plan, work, out=out, rasters=rasters)
    assert "another folder with --out or --rasters" in told.value.remedy


def test_a_scene_too_large_for_the_machine_is_refused_unless_the_budget_covers_it(monkeypatch):
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "2048")
    large = make_plan(scene(14_000), load_bundle(), crew=Crew.of_threads(2), memory="3GB")
    with pytest.raises(
        ResourceError, match=r"needs about 3\.8 GB of memory, and there are 2\.0 GB here"
    ) as told:
        check_memory(large, "3GB")
    assert told.value.remedy.endswith("--memory 4GB.")
    check_memory(large, "4GB")
    with pytest.raises(ResourceError):
        check_memory(large, None)
    # A small part of it may be all that is wanted.
    area = geopandas.GeoSeries([shapely.box(600_000, 5_790_000, 601_000, 5_799_000)], crs=32632)
    check_memory(replace(large, wanted=read_aoi(area, large.grid)), None)
    # Others group the blocks.
    job = Crew(scheduler=SLURM, processes=4, threads=2)
    plan = make_plan(scene(512), load_bundle(), crew=job, memory="6GB", block_px=10**5)
    assert plan.memory_bytes > 1 << 40
    check_memory(plan, None)


def test_what_is_stored_already_needs_no_room_again(tmp_path, monkeypatch):
    plan = make_plan(scene(2048), load_bundle())
    free = SimpleNamespace(f_bavail=plan.disk_bytes - 1000, f_frsize=1)
    monkeypatch.setattr(os, "statvfs", lambda _: free)
    with pytest.raises(ResourceError, match="for --work"):
        check_disk(plan, tmp_path)
    check_disk(plan, tmp_path, stored_bytes=1000)
