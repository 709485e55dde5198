"""A plan before any pixel: scenes of any size are laid out alike, and what it says of time and memory."""

from __future__ import annotations

import os
from dataclasses import replace
from types import SimpleNamespace

import geopandas
import numpy as np
import pytest
import rioxarray  # noqa: F401  registers .rio
import shapely
import xarray
from affine import Affine

from geopanoptic.errors import ResourceError, UsageError
from geopanoptic.models.bundle import load_bundle
from geopanoptic.pipeline.execution.crew import Crew
from geopanoptic.pipeline.memory import default_budget_bytes
from geopanoptic.pipeline.parameters import Parameters
from geopanoptic.pipeline.plan import Plan, check_disk, make_plan
from geopanoptic.pipeline.preparing import crew_of, plan_run, remember_rate
from geopanoptic.pipeline.progress import Silent
from geopanoptic.pipeline.record import Record
from geopanoptic.scene import Scene, open_scene

CREW = Crew.of_threads(2)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def scene(side_px: int, pixel_m: float = 10) -> Scene:
    """Without pixels of its own: one value seen everywhere."""
    values = np.broadcast_to(np.uint16(1), (4, side_px, side_px))
    array = xarray.DataArray(
        values, dims=("band", "y", "x"), coords={"band": ["blue", "green", "red", "nir"]}, name="scene"
    )
    transform = Affine(pixel_m, 0, 600_000, 0, -pixel_m, 5_800_000)
    return open_scene(array.rio.write_crs("EPSG:32632").rio.write_transform(transform))


def planned(side_px: int, **asked: object) -> Plan:
    return make_plan(scene(side_px), load_bundle(), crew=CREW, **asked)


def test_large_scenes_are_laid_out_like_small_ones():
    plans = [planned(side_px, memory="6GB") for side_px in (1024, 2048, 4096, 10980)]
    assert {plan.layout.batch for plan in plans} == {2}
    assert all(512 <= plan.layout.tile_px <= 576 for plan in plans)
    first, *_, last = [plan.memory_bytes for plan in plans]
    assert last <= 1.8 * first
    assert last < 4 << 30
    assert not plans[-1].notes


def test_the_graph_of_a_large_scene_is_told_where_it_exceeds_the_budget():
    plan = planned(10980, memory="2GB")
    assert plan.memory_bytes > plan.budget_bytes
    (note,) = plan.notes
    assert "more than the budget of 2.0 GB" in note


def test_a_small_budget_gives_small_tiles_and_a_large_one_no_larger_ones():
    small, usual, large = (planned(4096, memory=memory) for memory in ("1.5GB", "6GB", "60GB"))
    assert small.layout.tile_px < usual.layout.tile_px == large.layout.tile_px
    assert small.memory_bytes <= small.budget_bytes


@pytest.mark.parametrize("of_core", ["6GB", 2 << 30])
@pytest.mark.parametrize("model", ["fields-s", "fields-series"])
def test_more_cores_never_make_a_run_slower(model, of_core):
    large, bundle = scene(10980), load_bundle(model)
    expected_s = []
    for threads in (1, 2, 4, 8, 16, 32, 64):
        memory = of_core if isinstance(of_core, str) else max(6 << 30, threads * of_core)
        plan = make_plan(large, bundle, crew=Crew.of_threads(threads), memory=memory)
        assert plan.memory_bytes <= plan.budget_bytes
        halo = plan.layout.halo_px
        looked_at = ((plan.layout.tile_px + 2 * halo) / plan.layout.tile_px) ** 2
        expected_s.append((1 + looked_at / 10) / plan.layout.batch + 0.25 / plan.grouping_tasks)
    assert expected_s == sorted(expected_s, reverse=True)
    assert expected_s[-1] < expected_s[0] / (8 if of_core == "6GB" else 30)


@pytest.mark.parametrize(("threads", "memory"), [(16, "6GB"), (32, "2GB"), (2, "1.5GB")])
def test_a_block_that_a_run_began_with_is_no_reason_to_refuse(threads, memory):
    bundle, crew = load_bundle(), Crew.of_threads(threads)
    plan = make_plan(scene(10980), bundle, crew=crew, memory=memory, block_px=1120)
    assert plan.layout.block_px == 1120
    assert 1 <= plan.grouping_tasks <= threads
    larger = make_plan(scene(10980), bundle, crew=crew, memory=memory, block_px=8000)
    assert larger.grouping_tasks == 1
    assert any("Grouping blocks of 8000 px takes about" in note for note in larger.notes)


def test_processes_share_the_budget_and_are_no_more_than_it_carries(monkeypatch):
    monkeypatch.setattr("geopanoptic.pipeline.execution.crew.usable_cores", lambda: 16)
    assert crew_of(Parameters(scheduler="processes", memory="6GB")).processes == 4
    assert crew_of(Parameters(scheduler="processes", memory="1GB")).processes == 1
    assert crew_of(Parameters(scheduler="processes", memory="64GB")).processes == 16
    eight = crew_of(Parameters(scheduler="processes", memory="6GB", workers=8))
    assert eight.processes == 8
    with pytest.raises(ResourceError, match=r"6\.0 GB is too small: .* for each of 8 processes") as told:
        make_plan(scene(512), load_bundle(), crew=eight, memory="6GB")
    assert "fewer --workers" in told.value.remedy


def test_the_default_budget_grows_with_the_cores(monkeypatch):
    monkeypatch.setattr("geopanoptic.pipeline.memory._available_bytes", lambda: 200 << 30)
    assert default_budget_bytes(cores=2) == 6 << 30
    assert default_budget_bytes(cores=32) == 64 << 30
    assert default_budget_bytes(cores=128) == 100 << 30


def test_a_tiny_budget_is_told_in_bytes():
    with pytest.raises(ResourceError, match="A memory budget of 5 bytes is too small"):
        planned(512, memory=5)


def test_pixels_of_the_network_are_those_of_all_tiles_with_halos():
    plan = planned(1024, memory="6GB")
    assert plan.network_px == plan.n_tiles * (plan.layout.tile_px + 2 * plan.layout.halo_px) ** 2


def test_time_is_estimated_from_the_last_run_here(tiny_bundle):
    asked = Parameters(model=tiny_bundle.path, memory="6GB")
    first = plan_run(scene(1024), asked, CREW)
    assert first.to_dict()["estimated_seconds"] is None
    assert "last run" not in first.describe()

    record = Record(Silent())
    record.seconds |= {"plan": 1.0, "load model": 2.0, "network": 20.0, "group": 4.0, "write": 2.0}
    record.network_px = first.network_px
    remember_rate(first, asked, CREW, record)
    again = plan_run(scene(1024), asked, CREW)
    assert again.estimated_s == pytest.approx(29.0)
    assert "about 29 s, going by the last run on this machine" in again.describe()
    larger = plan_run(scene(2048), asked, CREW)
    assert 60 < (larger.estimated_s or 0) < 3 + 4 * 26 + 1
    assert plan_run(scene(1024), asked, Crew.of_threads(1)).estimated_s is None

    within = replace(
        asked, aoi=geopandas.GeoSeries([shapely.box(600_000, 5_790_000, 601_000, 5_799_000)], crs=32632)
    )
    assert plan_run(scene(1024), within, CREW).estimated_s is None
    record.seconds["network"] = 2000.0
    remember_rate(first, within, CREW, record)
    assert plan_run(scene(1024), asked, CREW).estimated_s == again.estimated_s


def test_a_run_too_small_says_nothing(tiny_bundle):
    asked = Parameters(model=tiny_bundle.path, memory="6GB")
    plan = plan_run(scene(64), asked, CREW)
    record = Record(Silent())
    record.seconds |= {"network": 1.0}
    record.network_px = 10_000
    remember_rate(plan, asked, CREW, record)
    assert plan_run(scene(64), asked, CREW).estimated_s is None


def test_fine_scenes_are_read_in_the_pixels_that_the_model_likes():
    plan = make_plan(scene(1024, pixel_m=2.5), load_bundle(), crew=CREW)
    assert plan.scene.grid.shape == (256, 256)
    assert plan.grid.shape == (512, 512)
    assert plan.to_dict()["stored_pixel_m"] == pytest.approx(2.5, rel=0.01)
    assert plan.to_dict()["pixel_m"] == pytest.approx(10, rel=0.01)
    assert "1,024 x 1,024 px of 2.5 m, read at 10 m" in plan.describe()
    (note,) = plan.notes
    assert "the mean of 4 x 4 of the scene's 2.5 m" in note
    assert not plan.warnings
    again = make_plan(plan.scene, load_bundle(), crew=CREW)
    assert again.scene == plan.scene


@pytest.mark.parametrize(("pixel_size", "side_px"), [("native", 1024), (2.5, 1024), ("5", 512), (40, 64)])
def test_the_pixel_size_can_be_chosen(pixel_size, side_px):
    fine = scene(1024, pixel_m=2.5)
    plan = make_plan(fine, load_bundle(), crew=CREW, pixel_size=pixel_size)
    assert plan.scene.grid.shape == (side_px, side_px)
    assert (plan.scene.reduction is None) == (side_px == 1024)
    # A scene that somebody has reduced already is left as it is, unless a size is asked for.
    assert make_plan(fine.reduced(2), load_bundle(), crew=CREW).scene.grid.shape == (512, 512)
    assert make_plan(fine.reduced(2), load_bundle(), crew=CREW, pixel_size=pixel_size).scene == plan.scene


def test_models_that_like_no_pixel_size_see_the_scene_as_stored():
    bundle = load_bundle()
    likes_none = replace(bundle, manifest=bundle.manifest.model_copy(update={"working_pixel_m": None}))
    assert make_plan(scene(512, pixel_m=2.5), likes_none, crew=CREW).scene.reduction is None


@pytest.mark.parametrize(("asked", "given"), [(27, "25 m"), ("6", "5 m"), (1000, "1000 m"), (5, "5 m")])
def test_a_pixel_size_between_whole_pixels_is_told(asked, given):
    plan = make_plan(scene(1024, pixel_m=5), load_bundle(), crew=CREW, pixel_size=asked)
    text = f"(asked {asked} m, nearest possible {given})"
    rounded = given != f"{asked} m"
    assert (text in plan.describe()) == rounded
    assert any(f"were asked for; the nearest possible are {given}" in note for note in plan.notes) == rounded
    assert not any("says otherwise" in note or "e+" in note for note in (*plan.notes, plan.describe()))


def test_a_warning_of_pixels_names_those_that_the_network_is_shown():
    (warning,) = planned(4096, pixel_size=1000).warnings
    assert "The network is shown pixels of 1000 m; model" in warning


@pytest.mark.parametrize("pixel_size", ["0", -3, "nan", "inf", "coarse", None])
def test_a_pixel_size_that_is_none_is_refused(pixel_size):
    with pytest.raises(UsageError, match="--pixel-size is"):
        planned(512, pixel_size=pixel_size)


def test_pixels_finer_than_the_scene_are_refused():
    with pytest.raises(UsageError, match=r"--pixel-size is 5 m and the pixels of scene are 10 m already"):
        planned(512, pixel_size=5)


@pytest.mark.parametrize(
    ("side_px", "pixel_m", "read_px"), [(512, 1.25, 64), (128, 1.25, 64), (60, 1.25, 60)]
)
def test_small_images_are_not_averaged_away(side_px, pixel_m, read_px):
    plan = make_plan(scene(side_px, pixel_m=pixel_m), load_bundle(), crew=CREW)
    assert plan.scene.grid.shape == (read_px, read_px)


def test_a_pixel_larger_than_the_scene_is_refused():
    with pytest.raises(UsageError, match="cannot be reduced"):
        planned(128, pixel_size="1e6")


@pytest.mark.parametrize(
    ("given", "budget_mib"),
    [
        ({"SLURM_MEM_PER_NODE": "1024"}, 512),
        ({"SLURM_MEM_PER_CPU": "256", "SLURM_CPUS_ON_NODE": "2"}, 256),
        ({"SLURM_MEM_PER_NODE": "1024", "SLURM_MEM_PER_CPU": "256", "SLURM_CPUS_ON_NODE": "2"}, 512),
    ],
)
def test_the_default_budget_is_half_of_the_slurm_job(monkeypatch, given, budget_mib):
    for name in ("SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU", "SLURM_CPUS_ON_NODE"):
        monkeypatch.delenv(name, raising=False)
    free = default_budget_bytes()
    # What a user gives to srun is no number of megabytes, and is left to Slurm.
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "8G")
    assert default_budget_bytes() == pytest.approx(free, rel=0.1)
    monkeypatch.delenv("SLURM_MEM_PER_NODE")
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert default_budget_bytes() == budget_mib << 20


def test_room_is_asked_for_where_each_thing_goes(tmp_path, monkeypatch):
    plan, free, disk = planned(10980), {}, {}
    output_px = 21960**2
    work, out = tmp_path / "work", tmp_path / "out"
    for folder in (work, out):
        folder.mkdir()
    monkeypatch.setattr(
        os, "statvfs", lambda folder: SimpleNamespace(f_bavail=free.get(folder.name, 1 << 50), f_frsize=1)
    )
    monkeypatch.setattr("geopanoptic.pipeline.plan._device", lambda place: disk.get(place[1].name, 0))
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


def test_a_tile_that_is_asked_for_and_too_large_is_told():
    plan = make_plan(scene(10980), load_bundle(), crew=Crew.of_threads(8), memory="2GB", tile_px=1024)
    assert (plan.layout.tile_px, plan.layout.batch) == (1024, 1)
    assert any("The network on tiles of 1024 px, 1 at a time, takes about" in note for note in plan.notes)


def test_an_area_that_cannot_be_read_is_refused_before_anything_is_done(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere.gpkg cannot be read"):
        plan_run(scene(512), Parameters(aoi=tmp_path / "nowhere.gpkg"), CREW)


def test_blocks_too_large_to_be_grouped_are_refused_before_the_network_begins():
    large, bundle = scene(20_000), load_bundle()
    for asked in ({"block_px": 20_000}, {"tile_px": 16_640}):
        with pytest.raises(UsageError, match="too large to be grouped") as told:
            make_plan(large, bundle, crew=CREW, memory="4TB", **asked)
        assert "at most 16384" in told.value.remedy
    assert make_plan(large, bundle, crew=CREW, memory="4TB", block_px=16_384).layout.block_px == 16_384
    assert make_plan(scene(512), bundle, crew=CREW, block_px=20_000).layout.block_px == 20_000
    many = make_plan(large, bundle, crew=Crew.of_threads(1024), memory="400TB").layout
    assert many.block_px <= 16_384


def test_the_least_area_may_be_larger_than_any_scene():
    assert planned(512, min_area_m2=1e30).min_area_px == 1024**2 + 1
