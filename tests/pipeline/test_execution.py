"""Executors: order, bounded windows, failures; and P1 over threads, processes, a Dask cluster, dead workers."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import dask
import numpy as np
import psutil
import pytest
import rasterio
from distributed import Client, LocalCluster
from execution_tasks import Square, serve_cluster, what_a_worker_has
from first_block import AtFirstBlock

import geopanoptic
from geopanoptic.cli.main import invoke
from geopanoptic.errors import GeopanopticError, ResourceError, SceneError, UsageError
from geopanoptic.pipeline.execution import Threads, clusters, wait_for_interrupted, watching
from geopanoptic.pipeline.execution.clusters import connected, local_processes, size_of
from geopanoptic.pipeline.execution.crew import PROCESSES, Crew, crew_for
from geopanoptic.pipeline.execution.executor import in_order
from geopanoptic.pipeline.execution.on_dask import OnDask
from geopanoptic.training.synthetic import BANDS, generate_scene

LAYOUT = {"tile_px": 48, "block_px": 48, "device": "cpu", "runtime": "torch", "min_area_m2": 500.0}


@pytest.fixture(scope="module")
def client():
    """Two worker processes, of which a killed one is replaced."""
    with local_processes(Crew(scheduler=PROCESSES, processes=2, threads=1)) as client:
        yield client


@pytest.fixture(scope="module")
def cluster(client):
    return client.cluster


@pytest.fixture(scope="module")
def scene_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    write_scene(path)
    return path


def write_scene(path: Path) -> None:
    image = np.clip(generate_scene((120, 140), seed=7).image * 10_000, 1, 65_535).astype(np.uint16)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype="uint16",
        count=len(BANDS),
        height=120,
        width=140,
        crs="EPSG:32632",
        transform=rasterio.Affine(10, 0, 6e5, 0, -10, 5.8e6),
        nodata=0,
        tiled=True,
        blockxsize=32,
        blockysize=32,
        compress="deflate",
    ) as file:
        file.write(image)
        file.descriptions = BANDS


@pytest.fixture(scope="module")
def map_in_threads(scene_file, tiny_bundle, tmp_path_factory) -> str:
    out = tmp_path_factory.mktemp("threads") / "map.gpkg"
    geopanoptic.run(scene_file, out, model=tiny_bundle.path, **LAYOUT)
    return digest(out)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def kill_a_worker(client: Client) -> None:
    os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)


def test_results_come_in_order_whatever_finishes_first():
    numbers = list(range(40))
    task = Square(pause_s=0.01)
    assert list(Threads(workers=4).map(task, numbers)) == [number**2 for number in numbers]
    assert list(Threads(workers=4).map(task, numbers, network=True)) == [number**2 for number in numbers]
    assert list(Threads(workers=1).map(task, [])) == []


def test_a_bounded_number_of_tasks_is_under_way():
    unfinished, most, lock = 0, 0, threading.Lock()
    pool = ThreadPoolExecutor(8)

    def submit(number: int) -> Future[int]:
        nonlocal unfinished, most
        with lock:
            unfinished += 1
            most = max(most, unfinished)
        future = pool.submit(Square(pause_s=0.001), number)
        future.add_done_callback(done)
        return future

    def done(_: object) -> None:
        nonlocal unfinished
        with lock:
            unfinished -= 1

    assert sum(1 for _ in in_order(submit, range(200), window=6)) == 200
    assert 2 <= most <= 6
    pool.shutdown()


def test_the_first_failure_is_raised_at_its_place_and_ends_the_work():
    got = []
    with pytest.raises(ValueError, match="5 is bad"):
        got.extend([value for value in Threads(workers=2).map(Square(bad=5), range(10_000))])  # noqa: C416
    values = Threads(workers=2).map(Square(bad=5), range(9))
    assert [next(values) for _ in range(5)] == [0, 1, 4, 9, 16]
    with pytest.raises(ValueError, match="5 is bad"):
        next(values)


def test_nothing_happens_where_a_process_cannot_be_told():
    Threads(workers=2).everywhere(partial(Square(bad=1), 1))


def test_a_failure_may_be_given_a_value():
    values = Threads(workers=2).map(Square(bad=2), range(4), failed=lambda item, error: -item)
    assert list(values) == [0, 1, -2, 9]


def test_dask_does_what_threads_do(client):
    executor = OnDask(client=client)
    assert executor.workers == 2
    assert OnDask(client=client, expected=8).workers == 8
    assert list(executor.map(Square(), range(50))) == [number**2 for number in range(50)]
    values = executor.map(Square(bad=2), range(4), failed=lambda item, error: -item)
    assert list(values) == [0, 1, -2, 9]
    with pytest.raises(ValueError, match="2 is bad"):
        list(executor.map(Square(bad=2), range(4)))


def test_a_task_that_kills_its_workers_is_refused_in_words(client):
    told = []
    executor = OnDask(client=client)
    values = executor.map(Square(deadly=1), range(3), failed=lambda item, error: told.append(error) or -1)
    assert list(values) == [0, -1, 4]
    assert isinstance(told[0], ResourceError)
    assert "died" in told[0].message


def test_tasks_that_wait_beside_a_deadly_one_are_not_refused_with_it():
    level = logging.getLogger("distributed").level
    with local_processes(Crew(scheduler=PROCESSES, processes=1, threads=4)) as client:
        assert logging.getLogger("distributed").level == logging.CRITICAL
        # 0 and 3 still wait in the process that 1 kills, every time.
        task = Square(deadly=1, pause_s=0.3)
        values = OnDask(client=client).map(task, range(6), failed=lambda item, error: -item)
        assert list(values) == [0, -1, 4, 9, 16, 25]
    assert logging.getLogger("distributed").level == level


@pytest.fixture
def empty_cluster(monkeypatch):
    """A cluster without workers, looked at often."""
    monkeypatch.setattr(watching, "LOOK_S", 0.1)
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address=None, protocol="tcp") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def test_a_cluster_that_has_lost_its_workers_is_told_and_waited_for(empty_cluster):
    told: list[str] = []
    executor = OnDask(client=empty_cluster)

    def say(text: str) -> None:
        told.append(text)
        if len(told) == 1:
            empty_cluster.cluster.scale(1)

    with watching.watched(executor, say):
        assert list(executor.map(Square(pause_s=0.2), range(4))) == [0, 1, 4, 9]
    assert [text.split(" at ")[0] for text in told] == ["No worker is left", "1"]
    assert f"dask worker {empty_cluster.scheduler.address}" in told[0]


def test_a_cluster_whose_workers_do_not_come_back_is_given_up(empty_cluster, monkeypatch):
    monkeypatch.setattr(watching, "GIVE_UP_S", 0.3)
    executor = OnDask(client=empty_cluster)
    with (
        pytest.raises(ResourceError, match=r"No worker came back .*--resume"),
        watching.watched(executor, lambda text: None),
    ):
        list(executor.map(Square(), range(4)))


def after(pause_s, failure):
    time.sleep(pause_s)
    raise failure


def test_workers_may_go_while_no_task_waits_for_them(empty_cluster, monkeypatch):
    monkeypatch.setattr(watching, "GIVE_UP_S", 0.3)
    executor, told = OnDask(client=empty_cluster), []
    with pytest.raises(ValueError, match="stage"), watching.watched(executor, told.append):
        after(1.0, ValueError("of a stage that needs no workers"))
    assert told == []


def test_a_scheduler_that_hangs_keeps_nobody(monkeypatch):
    hung = threading.Event()
    client = SimpleNamespace(
        status="running",
        scheduler_info=lambda **_: (hung.wait(), {"workers": {}})[1],
        scheduler=SimpleNamespace(address="tcp://there"),
    )
    monkeypatch.setattr(watching, "LOOK_S", 0.01)
    with pytest.raises(KeyboardInterrupt), watching.watched(OnDask(client=client), print):
        after(0.1, KeyboardInterrupt())
    hung.set()


def test_a_busy_scheduler_is_asked_again(empty_cluster, monkeypatch):
    monkeypatch.setattr(watching, "GIVE_UP_S", 0.3)
    executor, looks = OnDask(client=empty_cluster), []

    def busy_at_first(self):
        looks.append(None)
        if len(looks) < 3:
            raise ResourceError("The Dask scheduler was lost.")
        return 0

    monkeypatch.setattr(OnDask, "present", busy_at_first)
    with pytest.raises(ResourceError, match="No worker came back"), watching.watched(executor, print):
        list(executor.map(Square(), range(4)))


def test_workers_without_a_gpu_are_none_for_tasks_that_need_one(cluster, client):
    executor = OnDask(client=client)
    assert executor.present() > 0
    executor._on_gpu.add(Future())
    assert executor.present() == 0


def test_a_port_that_accepts_and_says_nothing_is_no_scheduler(monkeypatch):
    monkeypatch.setattr(clusters, "CONNECT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ResourceError, match="No Dask scheduler answers"), connected(address):
            pass


@pytest.mark.parametrize(
    ("address", "refusal"),
    [
        ("tcp://127.0.0.1:1", r"No Dask scheduler answers at tcp://127\.0\.0\.1:1.*dask scheduler"),
        ("tls://127.0.0.1:1", r"cannot be reached in safety.*distributed\.comm\.tls"),
        ("http://127.0.0.1:1", r"is not the address of a Dask scheduler.*tcp://HOST:8786"),
        ("tcp://", "is not the address of a Dask scheduler"),
    ],
)
def test_a_scheduler_that_cannot_be_reached_is_told_without_a_client(address, refusal):
    # Warnings are errors, and an exception in a client that is thrown away is one.
    with pytest.raises(GeopanopticError, match=refusal), connected(address):
        pass


def test_a_scheduler_that_is_lost_ends_the_work_with_a_remedy():
    spawned = multiprocessing.get_context("spawn")
    addresses = spawned.SimpleQueue()
    cluster = spawned.Process(target=serve_cluster, args=(addresses,))
    cluster.start()
    with Client(addresses.get(), timeout=60, set_as_default=False) as client:
        executor, given = OnDask(client=client), []
        values = executor.map(Square(), range(100_000), failed=lambda item, error: given.append(item) or -1)
        assert next(values) == 0
        cluster.kill()
        with pytest.raises(ResourceError, match=r"scheduler was lost.*--resume"):
            list(values)
        assert not given
        with pytest.raises(ResourceError, match="scheduler was lost"):
            list(executor.map(Square(), range(3)))
        assert executor.worker_peak_bytes() is None
    cluster.join()


def test_the_map_is_the_same_on_a_cluster_and_when_a_worker_is_killed(
    cluster, client, scene_file, tiny_bundle, map_in_threads, tmp_path
):
    out = tmp_path / "address.gpkg"
    geopanoptic.run(scene_file, out, model=tiny_bundle.path, scheduler=cluster.scheduler_address, **LAYOUT)
    assert digest(out) == map_in_threads
    out = tmp_path / "killed.gpkg"
    progress = AtFirstBlock(partial(kill_a_worker, client))
    result = geopanoptic.run(
        scene_file, out, model=tiny_bundle.path, client=client, progress=progress, **LAYOUT
    )
    assert progress.acted
    assert digest(out) == map_in_threads
    assert result.report["plan"]["processes"] >= 1
    assert result.report["scheduler"] == client.scheduler.address
    assert result.report["worker_peak_memory_bytes"] > 1 << 20
    assert result.report["device"] == "cpu"


def test_a_work_folder_may_be_relative_to_where_the_run_began(
    scene_file, tiny_bundle, client, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    asked = {"model": tiny_bundle.path, **LAYOUT}
    geopanoptic.run_shard(scene_file, "1/1", "shared", scheduler=client.scheduler.address, **asked)
    geopanoptic.run(scene_file, "map.gpkg", work="shared", finish=True, client=client, **asked)
    assert Path("map.gpkg").is_file()


@pytest.mark.slow
def test_the_map_is_the_same_from_processes(scene_file, tiny_bundle, map_in_threads, tmp_path):
    out = tmp_path / "processes.gpkg"
    geopanoptic.run(
        scene_file, out, model=tiny_bundle.path, scheduler="processes", workers=2, threads=1, **LAYOUT
    )
    assert digest(out) == map_in_threads


@pytest.mark.slow
def test_a_process_that_is_killed_while_it_starts_is_replaced():
    killed = threading.Event()

    def kill_the_first() -> None:
        while not killed.wait(0.01):
            for child in psutil.Process().children():
                with contextlib.suppress(psutil.Error):
                    if "spawn_main" in " ".join(child.cmdline()):
                        child.kill()
                        killed.set()
                        return

    threading.Thread(target=kill_the_first, daemon=True).start()
    with local_processes(Crew(scheduler=PROCESSES, processes=1, threads=1)) as client:
        assert killed.is_set()
        assert client.submit(pow, 2, 3).result() == 8


@pytest.mark.parametrize("preload", ["json.tool", ["json.tool"]])
def test_what_a_user_has_workers_load_is_loaded_too(preload):
    with (
        dask.config.set({"distributed.worker.preload": preload}),
        local_processes(Crew(scheduler=PROCESSES, processes=1, threads=1)) as client,
    ):
        ((loaded, interrupts, level),) = client.run(what_a_worker_has, "json.tool").values()
    assert loaded
    assert (interrupts, level) == (signal.SIG_IGN, logging.CRITICAL)


@pytest.mark.slow
def test_a_script_without_a_guard_is_told_of_it(scene_file, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        f"import geopanoptic\ngeopanoptic.run({str(scene_file)!r}, scheduler='processes', workers=2)\n"
    )
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300)
    assert ended.returncode
    assert '`if __name__ == "__main__":`' in ended.stderr.strip().rsplit("\n", 1)[-1]


def test_what_cannot_be_decoded_fails_the_run_or_is_left_out(tiny_bundle, tmp_path, capsys):
    path, out = tmp_path / "scene.tif", tmp_path / "map.gpkg"
    write_scene(path)
    stored = bytearray(path.read_bytes())
    with rasterio.open(path) as scene:  # the second block, wherever GDAL has put it
        offset = int(scene.get_tag_item("BLOCK_OFFSET_1_0", "TIFF", bidx=1))
    stored[offset : offset + 200] = bytes([0x55]) * 200
    path.write_bytes(stored)
    with pytest.raises(SceneError, match="cannot be decoded"):
        geopanoptic.run(path, out, model=tiny_bundle.path, **LAYOUT)
    assert not out.exists()
    command = ["run", str(path), "--out", str(out), "--model", str(tiny_bundle.path), "--on-error", "skip"]
    maps, reports = [], []
    for size in ("48", "96"):
        options = ["--overwrite", "--json", "--runtime", "torch", "--tile", "48", "--block", size]
        assert invoke([*command, *options]) == 6
        reports.append(capsys.readouterr().out)
        maps.append(digest(out))
    assert maps[0] == maps[1]
    assert all("skipped_blocks" in report and "cannot be decoded" in report for report in reports)


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        ({"scheduler": "hamsters"}, UsageError),
        ({"workers": 0}, UsageError),
        ({"threads": -1}, UsageError),
        ({"scheduler": "tcp://127.0.0.1:1"}, ResourceError),
        ({"scheduler": "nonsense://here"}, UsageError),
        ({"client": "tcp://127.0.0.1:1"}, UsageError),
    ],
)
def test_a_crew_that_cannot_be_had_is_refused(options, refusal, monkeypatch):
    monkeypatch.setattr("geopanoptic.pipeline.execution.clusters.CONNECT_S", 1)
    with pytest.raises(refusal):
        crew_for(**({"scheduler": "threads", "workers": None, "threads": None} | options))


def test_a_client_whose_answers_are_awaited_is_refused():
    async def ask() -> None:
        async with Client(processes=False, dashboard_address=":0", asynchronous=True) as client:
            with pytest.raises(UsageError, match="answers at once"):
                crew_for("threads", workers=None, threads=None, client=client)

    asyncio.run(ask())


def test_the_crew_follows_what_is_asked_for():
    assert crew_for("threads", workers=3, threads=None) == Crew(scheduler="threads", processes=1, threads=3)
    assert crew_for("processes", workers=3, threads=2) == Crew(scheduler="processes", processes=3, threads=2)
    assert crew_for("processes", workers=5, threads=None).threads == 1


def test_what_an_interrupted_run_left_behind_is_waited_for():
    both, interrupted, finished = threading.Barrier(2), threading.Event(), threading.Event()

    def slow(item: int) -> int:
        both.wait()
        if item:
            interrupted.wait(60)
            finished.set()
        return item

    values = Threads(workers=2).map(slow, [0, 1])
    assert next(values) == 0
    with pytest.raises(KeyboardInterrupt):
        values.throw(KeyboardInterrupt())
    assert not finished.is_set()
    interrupted.set()
    wait_for_interrupted()
    assert finished.is_set()


def test_the_smallest_worker_counts():
    client = SimpleNamespace(status="running", nthreads=lambda: {"tcp://a": 4, "tcp://b": 2})
    assert size_of(client) == (2, 2)
