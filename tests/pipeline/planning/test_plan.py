"""A plan before any pixel: scenes of any size are laid out alike, and what it says of time and memory."""

from __future__ import annotations

from dataclasses import replace

import geopandas
import pyproj
import pytest
import shapely
from affine import Affine
from blank_scenes import scene

from geopanoptic.errors import SceneError, UsageError
from geopanoptic.grid import Grid
from geopanoptic.models.bundle import load_bundle
from geopanoptic.pipeline.execution.crew import Crew
from geopanoptic.pipeline.memory import default_budget_bytes
from geopanoptic.pipeline.parameters import Parameters
from geopanoptic.pipeline.planning.plan import Plan, drawing_sizes, make_plan
from geopanoptic.pipeline.preparing import plan_run, remember_rate
from geopanoptic.pipeline.progress import Silent
from geopanoptic.pipeline.record import Record

CREW = Crew.of_threads(2)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def planned(side_px: int, **asked: object) -> Plan:
    return make_plan(scene(side_px), load_bundle(), crew=CREW, **asked)


def test_large_scenes_are_laid_out_like_small_ones():
    plans = [planned(side_px, memory="6GB") for side_px in (1024, 2048, 4096, 10980)]
    assert {plan.layout.batch for plan in plans} == {2}
    assert all(512 <= plan.layout.tile_px <= 576 for plan in plans)
    first, *_, last = [plan.memory_bytes for plan in plans]
    assert last <= 1.8 * first
    assert last < 4 << 30
    assert not plans[-1].troubles


def test_the_graph_of_a_large_scene_is_told_where_it_exceeds_the_budget():
    plan = planned(10980, memory="2GB")
    assert plan.memory_bytes > plan.budget_bytes
    (trouble,) = plan.troubles
    assert "more than the budget of 2.0 GB" in trouble
    assert plan.to_dict()["warnings"] == [trouble]
    # What a map says of itself must not depend on the budget.
    assert not plan.warnings


def test_the_disk_that_is_shown_is_that_of_all_layers():
    # Ten bytes of quantised layers, four of pieces and four of labels for every output pixel.
    assert planned(512).disk_bytes == 1024**2 * 18 + 2**26


def test_a_small_budget_gives_small_tiles_and_a_large_one_no_larger_ones():
    small, usual, large = (planned(4096, memory=memory) for memory in ("1.5GB", "6GB", "60GB"))
    assert small.layout.tile_px < usual.layout.tile_px == large.layout.tile_px
    assert small.memory_bytes <= small.budget_bytes


@pytest.mark.parametrize(("threads", "memory"), [(16, "6GB"), (32, "2GB"), (2, "1.5GB")])
def test_a_block_that_a_run_began_with_is_no_reason_to_refuse(threads, memory):
    bundle, crew = load_bundle(), Crew.of_threads(threads)
    plan = make_plan(scene(10980), bundle, crew=crew, memory=memory, block_px=1120)
    assert plan.layout.block_px == 1120
    assert 1 <= plan.grouping_tasks <= threads
    larger = make_plan(scene(10980), bundle, crew=crew, memory=memory, block_px=8000)
    assert larger.grouping_tasks == 1
    assert any("Grouping blocks of 8000 px takes about" in trouble for trouble in larger.troubles)


def test_the_default_budget_grows_with_the_cores(monkeypatch):
    monkeypatch.setattr("geopanoptic.pipeline.memory.available_bytes", lambda: 200 << 30)
    assert default_budget_bytes(cores=2) == 6 << 30
    assert default_budget_bytes(cores=32) == 64 << 30
    assert default_budget_bytes(cores=128) == 100 << 30


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


def test_a_tile_that_is_asked_for_and_too_large_is_told():
    plan = make_plan(scene(10980), load_bundle(), crew=Crew.of_threads(8), memory="2GB", tile_px=1024)
    assert (plan.layout.tile_px, plan.layout.batch) == (1024, 1)
    assert any("The network on tiles of 1024 px, 1 at a time, takes about" in each for each in plan.troubles)


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


def test_a_scene_without_any_band_of_the_model_is_refused(tiny_bundle):
    radar = tiny_bundle.manifest.model_copy(update={"bands": ("vv", "vh")})
    with pytest.raises(SceneError, match=r"takes vv, vh .* one of them; the scene has blue, green, red, nir"):
        make_plan(scene(64), replace(tiny_bundle, manifest=radar), crew=CREW)


def test_the_least_area_and_the_simplification_are_those_of_the_ground():
    wkt = pyproj.CRS.from_epsg(32632).to_wkt()
    grid = Grid(crs_wkt=wkt, transform=Affine(10, 0, 600_000, 0, -20, 5_800_000), height=100, width=100)
    min_area_px, simplify_m = drawing_sizes(grid, 1000, None)
    assert min_area_px == 5
    assert simplify_m == pytest.approx(20, rel=0.01)
    assert drawing_sizes(grid.scaled(2), None, None, scale=2)[0] == 4 * drawing_sizes(grid, None, None)[0]
