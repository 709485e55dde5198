"""Runs that are stopped, resumed, cut into shards: the bytes are those of one undisturbed run."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine

import geopanoptic
from geopanoptic.errors import ResourceError, UsageError
from geopanoptic.pipeline.progress import Silent
from geopanoptic.pipeline.sharding import run_shard
from geopanoptic.training.synthetic import BANDS, generate_scene

LAYOUT = {"tile_px": 32, "block_px": 32, "batch": 1, "threads": 1}
N_BLOCKS = 4 * 3


class StopsAfter(Silent):
    """Ctrl-C after some blocks of the network."""

    def __init__(self, blocks: int) -> None:
        self.left = blocks

    @contextmanager
    def stage(self, name, *, total, unit):
        yield self if name == "network" else super()

    def advance(self, amount):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


class Remembers(Silent):
    """Counts the blocks that went through the network, and keeps notes."""

    def __init__(self) -> None:
        self.computed, self.notes = 0, []

    @contextmanager
    def stage(self, name, *, total, unit):
        counting = self if name == "network" else Ignores()
        yield counting

    def advance(self, amount):
        self.computed += 1

    def note(self, text):
        self.notes.append(text)


class Ignores:
    def advance(self, amount):
        pass


@pytest.fixture(scope="module")
def scene_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    image = generate_scene((120, 90), seed=7).image
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=120,
        width=90,
        count=len(BANDS),
        dtype="uint16",
        crs="EPSG:32632",
        transform=Affine(10, 0, 600_000, 0, -10, 5_800_000),
    ) as file:
        file.write(np.clip(image * 10_000, 1, 65_535).astype(np.uint16))
        file.descriptions = BANDS
    return path


@pytest.fixture(scope="module")
def bundle(tiny_bundle, tmp_path_factory) -> Path:
    """The tiny bundle, merging nothing: its meaningless map has many regions."""
    folder = tmp_path_factory.mktemp("bundle") / "tiny"
    shutil.copytree(tiny_bundle.path, folder)
    described = json.loads((folder / "bundle.json").read_text())
    described["thresholds"] |= {"centre": 0.0, "merge_boundary": 0.0, "drop_field": 0.0}
    (folder / "bundle.json").write_text(json.dumps(described))
    return folder


@pytest.fixture(scope="module")
def expected(scene_file, bundle, tmp_path_factory) -> bytes:
    """The GeoPackage of one undisturbed run with another layout."""
    out = tmp_path_factory.mktemp("map") / "parcels.gpkg"
    result = geopanoptic.run(scene_file, out, model=bundle, threads=1)
    assert len(result.parcels) > 10
    return out.read_bytes()


@pytest.fixture
def out(tmp_path) -> Path:
    (tmp_path / "map").mkdir()
    return tmp_path / "map" / "parcels.gpkg"


@pytest.fixture
def stopped(scene_file, bundle, out):
    """A run that was stopped after five blocks; its output folder."""
    with pytest.raises(KeyboardInterrupt):
        geopanoptic.run(scene_file, out, model=bundle, progress=StopsAfter(5), **LAYOUT)
    assert [path.name for path in out.parent.iterdir()] == [".parcels.gpkg.geopanoptic"]
    return out


@pytest.mark.parametrize("compiled", [True, False])
def test_only_where_nothing_is_compiled_yet_a_run_says_so(compiled, scene_file, bundle, out, monkeypatch):
    monkeypatch.setattr("geopanoptic.pipeline.network.inference.was_compiled", lambda: compiled)
    progress = Remembers()
    geopanoptic.run(scene_file, out, model=bundle, progress=progress, threads=1)
    assert any("compile" in note for note in progress.notes) is not compiled


def resume(scene_file, bundle, out, **changes):
    progress = Remembers()
    geopanoptic.run(
        scene_file,
        out,
        progress=progress,
        **({"model": bundle, "resume": True} | LAYOUT | changes),
    )
    return progress


def test_a_resumed_run_gives_the_same_bytes(scene_file, bundle, stopped, expected):
    # Another layout: the stored blocks go before it.
    progress = resume(scene_file, bundle, stopped, tile_px=64, block_px=96)
    assert stopped.read_bytes() == expected
    assert 5 <= N_BLOCKS - progress.computed < N_BLOCKS
    assert sorted(path.name for path in stopped.parent.iterdir()) == ["parcels.gpkg", "parcels.run.json"]


def test_rotten_and_cut_blocks_are_computed_again(scene_file, bundle, stopped, expected):
    heat, field = (
        next(stopped.parent.glob(f".*/work/blocks/{layer}/*64_000000000.npy")) for layer in ("heat", "field")
    )
    content = bytearray(heat.read_bytes())
    content[300] ^= 1
    heat.write_bytes(content)
    other = field.with_name(field.name.replace("000000064_000000000", "000000000_000000064"))
    other.write_bytes(other.read_bytes()[:100])
    progress = resume(scene_file, bundle, stopped)
    assert stopped.read_bytes() == expected
    assert progress.computed >= 2


def test_a_run_without_resume_starts_afresh(scene_file, bundle, stopped, expected):
    progress = resume(scene_file, bundle, stopped, resume=False)
    assert any("--resume would have" in note for note in progress.notes)
    assert progress.computed == N_BLOCKS
    assert stopped.read_bytes() == expected
    assert sorted(path.name for path in stopped.parent.iterdir()) == ["parcels.gpkg", "parcels.run.json"]


def test_what_changed_is_listed_and_refused(scene_file, bundle, stopped):
    with pytest.raises(UsageError, match=r"(?s)another run.*bands: was .*, is .*--work"):
        resume(scene_file, bundle, stopped, bands="red,green,blue" + ",-" * (len(BANDS) - 3))
    assert list(stopped.parent.glob(".*/work/blocks/heat/*.npy"))


def test_nothing_to_resume_is_a_run_from_the_beginning(scene_file, bundle, out, expected):
    progress = resume(scene_file, bundle, out)
    assert progress.computed == N_BLOCKS
    assert any(note.startswith("There is nothing to resume in ") for note in progress.notes)
    assert out.read_bytes() == expected


def test_kept_work_serves_another_map_without_the_network(scene_file, bundle, out, tmp_path, expected):
    work = tmp_path / "work"
    first = resume(
        scene_file,
        bundle,
        out.with_stem("pixels"),
        simplify_m=0,
        work=work,
        keep_work=True,
        resume=False,
    )
    with pytest.raises(UsageError, match="--resume"):
        resume(scene_file, bundle, out, work=work, resume=False)
    second = resume(scene_file, bundle, out, work=work)
    assert (first.computed, second.computed) == (N_BLOCKS, 0)
    assert out.read_bytes() == expected
    assert not any(work.iterdir())
    with pytest.raises(UsageError, match="--keep-work needs"):
        resume(scene_file, bundle, out, keep_work=True)


@pytest.mark.parametrize("count", [1, 3, 7])
def test_shards_give_the_same_bytes(count, scene_file, bundle, out, tmp_path, expected):
    work = tmp_path / "shared"
    for number in reversed(range(1, count + 1)):
        other_machine = {"tile_px": 32 * number, "block_px": 32 + number, "threads": 1 + number % 2}
        done = run_shard(scene_file, f"{number}/{count}", work, model=bundle, **other_machine)
        assert done.blocks_found == 0
    again = run_shard(scene_file, f"1/{count}", work, model=bundle, threads=1)
    assert again.blocks_computed == 0
    geopanoptic.run(scene_file, out, model=bundle, work=work, finish=True, threads=1)
    assert out.read_bytes() == expected
    assert not any(work.iterdir())


def test_missing_shards_are_named_and_can_be_made_up_for(scene_file, bundle, out, tmp_path, expected):
    work = tmp_path / "shared"
    finish = {"model": bundle, "work": work, "threads": 1}
    with pytest.raises(UsageError, match="no run to finish"):
        geopanoptic.run(scene_file, out, finish=True, **finish)
    for number in (1, 3):
        run_shard(scene_file, f"{number}/4", work, model=bundle, **LAYOUT)
    with pytest.raises(UsageError, match=r"6 of 12 blocks.*shards 2/4, 4/4.*--shard 2/4"):
        geopanoptic.run(scene_file, out, finish=True, **finish)
    with pytest.raises(UsageError, match="bands: was"):
        run_shard(scene_file, "2/4", work, model=bundle, bands="red,green,blue" + ",-" * (len(BANDS) - 3))
    geopanoptic.run(scene_file, out, resume=True, **finish)
    assert out.read_bytes() == expected


def test_what_a_shard_could_not_decode_is_told_by_the_map(scene_file, bundle, tmp_path):
    torn, work = tmp_path / "torn.tif", tmp_path / "shared"
    rasterio.shutil.copy(
        scene_file, torn, driver="GTiff", compress="deflate", tiled=True, blockxsize=32, blockysize=32
    )
    stored = bytearray(torn.read_bytes())
    with rasterio.open(torn) as scene:
        offset = int(scene.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
    stored[offset : offset + 200] = bytes([0x55]) * 200
    torn.write_bytes(stored)
    asked = {"model": bundle, "threads": 1, "precision": "f32"}
    whole = geopanoptic.run(torn, tmp_path / "whole.gpkg", on_error="skip", **asked)
    (lost,) = whole.report["skipped_blocks"]
    assert lost["file"] == str(torn)

    for number in (1, 2):
        run_shard(torn, f"{number}/2", work, on_error="skip", tile_px=32, block_px=32, **asked)
    in_shards = geopanoptic.run(torn, tmp_path / "shards.gpkg", work=work, finish=True, **asked)
    assert in_shards.report["skipped_blocks"] == [lost]
    assert (tmp_path / "shards.gpkg").read_bytes() == (tmp_path / "whole.gpkg").read_bytes()


def test_a_shard_may_leave_out_its_only_missing_block(scene_file, bundle, out, tmp_path, monkeypatch):
    work = tmp_path / "shared"
    for number in (1, 2):
        run_shard(scene_file, f"{number}/2", work, model=bundle, **LAYOUT)
    (first, *_) = (work / "blocks" / "field").iterdir()
    first.unlink()
    monkeypatch.setattr("geopanoptic.pipeline.network.dense._write", _fails_once())
    geopanoptic.run(
        scene_file, out, model=bundle, work=work, resume=True, on_error="skip", keep_work=True, threads=1
    )
    told = json.loads(out.with_suffix(".run.json").read_text())
    (lost,) = told["skipped_blocks"]
    assert "a worker died" in lost["reason"]
    again = geopanoptic.run(
        scene_file, out, model=bundle, work=work, finish=True, overwrite=True, keep_work=True, threads=1
    )
    assert again.report["skipped_blocks"] == [lost]
    geopanoptic.run(scene_file, out, model=bundle, work=work, resume=True, overwrite=True, threads=1)
    assert not json.loads(out.with_suffix(".run.json").read_text())["skipped_blocks"]


def test_blocks_that_fail_again_are_left_out_again(scene_file, bundle, tmp_path, monkeypatch):
    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr("geopanoptic.pipeline.network.dense._write", _fails_once(times=2))
            part = run_shard(scene_file, "1/2", tmp_path, model=bundle, on_error="skip", **LAYOUT)
        assert len(part.skipped) == 2


def test_a_shard_that_fails_as_a_whole_is_not_skipped(scene_file, bundle, out, tmp_path, monkeypatch):
    work = tmp_path / "shared"
    with monkeypatch.context() as patched:
        patched.setattr("geopanoptic.pipeline.network.dense._write", _fails_once(times=2 * N_BLOCKS))
        with pytest.raises(ResourceError, match="a worker died"):
            run_shard(scene_file, "1/2", work, model=bundle, on_error="skip", **LAYOUT)
    with pytest.raises(UsageError, match="7 of 12 blocks are missing"):
        geopanoptic.run(scene_file, out, model=bundle, work=work, finish=True, threads=1)


def test_a_preview_without_a_shard_does_not_make_up_for_it(scene_file, bundle, out, tmp_path, expected):
    work = tmp_path / "shared"
    run_shard(scene_file, "1/2", work, model=bundle, **LAYOUT)
    asked = {"model": bundle, "work": work, "finish": True, "threads": 1}
    preview = geopanoptic.run(scene_file, tmp_path / "preview.gpkg", on_error="skip", keep_work=True, **asked)
    assert len(preview.report["skipped_blocks"]) == N_BLOCKS // 2
    with pytest.raises(UsageError, match="6 of 12 blocks are missing"):
        geopanoptic.run(scene_file, out, **asked)
    run_shard(scene_file, "2/2", work, model=bundle, **LAYOUT)
    geopanoptic.run(scene_file, out, **asked)
    assert out.read_bytes() == expected


def test_losses_that_are_lost_make_a_block_missing(scene_file, bundle, out, tmp_path, monkeypatch):
    work = tmp_path / "shared"
    with monkeypatch.context() as patched:
        patched.setattr("geopanoptic.pipeline.network.dense._write", _fails_once())
        run_shard(scene_file, "1/1", work, model=bundle, on_error="skip", **LAYOUT)
    (losses,) = (work / "blocks" / "losses").iterdir()
    losses.write_text("torn")
    with pytest.raises(UsageError, match="1 of 12 blocks are missing"):
        geopanoptic.run(scene_file, out, model=bundle, work=work, finish=True, threads=1)


def _fails_once(times: int = 1):
    from geopanoptic.pipeline.network import dense

    write, failures = dense._write, [ResourceError("a worker died", remedy="Try again.")] * times

    def write_or_fail(store, *what):
        if failures and "in part" not in store.seal:
            raise failures.pop()
        write(store, *what)

    return write_or_fail


def test_two_at_the_same_shard_do_no_harm(scene_file, bundle, out, tmp_path, expected):
    work = tmp_path / "shared"
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: run_shard(scene_file, "1/1", work, model=bundle, **LAYOUT), range(2)))
    assert max(each.blocks_computed for each in both) == N_BLOCKS
    geopanoptic.run(scene_file, out, model=bundle, work=work, finish=True, threads=1)
    assert out.read_bytes() == expected
