"""The parts of a benchmark: processes are measured whole, stages sum up, tiles are the run's own."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

import geopanoptic
from geopanoptic.benchmark.bare import Tiles, run_bare
from geopanoptic.benchmark.benchmark import model_of_largest
from geopanoptic.benchmark.processes import run_measured
from geopanoptic.benchmark.scenes import BANDS, write_mosaic
from geopanoptic.benchmark.stages import STAGES, peaks_by_stage, seconds_by_stage
from geopanoptic.errors import GeopanopticError, SceneError

CHILD = "import time; block = bytearray(300 << 20); time.sleep(1.5)"
PARENT = f"import subprocess, sys; print('done'); subprocess.run([sys.executable, '-c', {CHILD!r}])"


def test_the_memory_and_the_work_of_child_processes_count():
    finished = run_measured([sys.executable, "-c", PARENT])
    assert finished.output == "done\n"
    assert 300 << 20 < finished.peak_bytes < 600 << 20
    assert finished.seconds > 1.5
    assert finished.processor_s > 0


@pytest.mark.parametrize(
    ("code", "told", "kind", "message"),
    [
        (3, '{"error": "no band", "remedy": "name it", "exit_code": 3}', SceneError, "no band name it"),
        (9, "trouble", GeopanopticError, "ended with 9: trouble"),
    ],
)
def test_a_failure_keeps_its_kind(code, told, kind, message):
    program = f"import sys; print({told!r}, file=sys.stderr); sys.exit({code})"
    with pytest.raises(kind) as raised:
        run_measured([sys.executable, "-c", program])
    assert type(raised.value) is kind
    assert message in str(raised.value)


seconds = st.floats(0, 1e4)
names = st.sampled_from(
    ["plan", "normalise", "load model", "network", "group", "trace", "write", "new stage"]
)


def test_the_peak_of_a_stage_is_that_of_its_largest_part():
    report = {
        "stage_peak_memory_bytes": {"plan": 3, "load model": 7, "network": 20, "simplify": 5, "trace": 4}
    }
    peaks = peaks_by_stage(report)
    assert (peaks["start"], peaks["network"], peaks["trace"], peaks["write"]) == (7, 20, 5, 0)
    assert not any(peaks_by_stage({}).values())


@given(st.dictionaries(names, seconds), seconds, seconds)
def test_stages_sum_to_the_run(by_name, network_s, unnamed_s):
    total = sum(by_name.values()) + unnamed_s
    report = {"seconds": by_name, "network_seconds": network_s, "seconds_total": total}
    spent = seconds_by_stage(report)
    assert list(spent) == list(STAGES)
    assert sum(spent.values()) == pytest.approx(total)
    assert min(spent.values()) >= 0


def test_a_mosaic_repeats_its_country_mirrored(tmp_path, monkeypatch):
    monkeypatch.setattr("geopanoptic.benchmark.scenes.TILE_PX", 64)
    write_mosaic(tmp_path / "one.tif", 64)
    write_mosaic(tmp_path / "more.tif", 150)
    with rasterio.open(tmp_path / "one.tif") as one, rasterio.open(tmp_path / "more.tif") as more:
        expected = np.pad(one.read(), [(0, 0), (0, 86), (0, 86)], mode="symmetric")
        np.testing.assert_array_equal(more.read(), expected)
        assert more.descriptions == BANDS


@pytest.mark.parametrize(("bundle", "dates"), [("tiny_bundle", 1), ("tiny_series_bundle", 3)])
def test_the_bare_network_takes_every_tile_of_the_layout_on_every_date(bundle, dates, request):
    tiles = Tiles(
        model=str(request.getfixturevalue(bundle).path),
        dates=dates,
        bands=("blue", "green", "red"),
        runtime="torch",
        precision="f32",
        device="cpu",
        shape=(100, 70),
        pixel_m=10.0,
        tile_px=48,
        halo_px=48,
        block_px=64,
        side_by_side=2,
        threads=1,
    )
    bare = run_bare(tiles)
    # Rows 0-64 in two tiles of 32, rows 64-100 in one of 40; columns likewise, 64-70 in one of 8.
    heights, widths = (32, 32, 40), (32, 32, 8)
    px = sum(height + 96 for height in heights) * sum(width + 96 for width in widths)
    assert bare.network_px == px * dates
    assert bare.px_per_s > 0


def test_tiles_are_those_of_the_model_and_the_dates_that_ran(tmp_path):
    for day in ("20210415", "20210715"):
        write_mosaic(tmp_path / f"season_{day}.tif", 64)
    planned = geopanoptic.plan(tmp_path).to_dict()
    report = {name: planned[name] for name in ("model", "bands", "dates")} | {
        "plan": planned,
        "device": "cpu",
    }
    tiles = Tiles.of_report(report, None)
    assert (tiles.model, tiles.dates) == ("fields-series", 2)


def test_scenes_of_several_sizes_are_mapped_by_what_the_largest_takes(tmp_path):
    """By default a larger scene may take a faster model."""
    plans = []
    for side in (300, 6000, 600):
        path = tmp_path / f"{side}.tif"
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=3,
            height=side,
            width=side,
            dtype="uint8",
            tiled=True,
            crs="EPSG:32632",
            transform=Affine.scale(10, -10),
            SPARSE_OK=True,
        ) as file:
            file.descriptions = ("red", "green", "blue")
        plans.append(geopanoptic.plan(path).to_dict())
    assert {plan["model"] for plan in plans} == {"fields-m", "fields-s"}
    assert model_of_largest(plans) == "fields-s"
    assert model_of_largest(plans[:1]) == "fields-m"
