"""Layouts within a budget: how cores and processes share it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from blank_scenes import scene

from geopanoptic.errors import ResourceError
from geopanoptic.models.bundle import load_bundle
from geopanoptic.pipeline.execution.crew import PROCESSES, Crew
from geopanoptic.pipeline.parameters import Parameters
from geopanoptic.pipeline.planning.fitting import budget_of
from geopanoptic.pipeline.planning.plan import Plan, make_plan
from geopanoptic.pipeline.preparing import crew_of


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


def test_a_tiny_budget_is_told_in_bytes():
    with pytest.raises(ResourceError, match="A memory budget of 5 bytes is too small"):
        make_plan(scene(512), load_bundle(), memory=5)


def test_larger_tiles_are_not_paid_for_by_grouping_fewer_blocks_at_a_time():
    plan = make_plan(scene(10980), load_bundle(), crew=Crew.of_threads(16), memory="16GB")
    assert (plan.layout.tile_px, plan.layout.batch, plan.grouping_tasks) == (384, 16, 15)


@pytest.mark.parametrize(("cores", "advised"), [(2, 2), (8, 7)])
def test_fewer_processes_are_advised_where_tiles_are_mostly_halo(monkeypatch, cores, advised):
    monkeypatch.setattr("geopanoptic.pipeline.planning.fitting.usable_cores", lambda: cores)
    large = scene(10980)

    def troubles(workers: int, memory: str) -> tuple[str, ...]:
        crew = crew_of(Parameters(scheduler="processes", workers=workers))
        return make_plan(large, load_bundle(), crew=crew, memory=memory).troubles

    (advice,) = troubles(8, "8GB")
    assert "tiles of 64 px within halos of 192 px" in advice
    assert f"--workers {advised} would take" in advice
    assert not troubles(advised, "8GB")
    assert not troubles(8, "16GB")


def test_more_memory_is_advised_where_tiles_are_mostly_halo():
    def planned(memory: str) -> Plan:
        return make_plan(scene(2048), load_bundle("fields-s"), crew=Crew.of_threads(2), memory=memory)

    (advice,) = planned("1GB").troubles
    more, share = re.search(r"--memory (\S+) would take about (\d+)%", advice).groups()  # type: ignore[union-attr]
    assert "tiles of 64 px within halos of 192 px" in advice
    assert int(share) <= 50
    assert planned(more).layout.tile_px > 192
    assert not planned(more).troubles
    assert not make_plan(scene(60), load_bundle("fields-s"), crew=Crew.of_threads(2), memory="1GB").troubles


def test_a_small_scene_has_a_tile_for_every_process():
    crew = Crew(scheduler=PROCESSES, processes=8, threads=1)
    eight, one = (
        make_plan(scene(1024), load_bundle(), crew=each, memory="64GB").n_tiles
        for each in (crew, replace(crew, processes=1))
    )
    assert eight >= 8 > one


def test_tiles_are_whole_strides_of_the_network():
    assert make_plan(scene(512), load_bundle(), tile_px=100).layout.tile_px == 112


def test_every_process_has_its_part_of_the_default_budget(monkeypatch):
    monkeypatch.setattr("geopanoptic.pipeline.memory.available_bytes", lambda: 200 << 30)
    assert budget_of(None, Crew(scheduler=PROCESSES, processes=16, threads=1)) == 32 << 30
    assert budget_of(None, Crew(scheduler="tcp://a:1", processes=16, threads=2)) == 6 << 30
