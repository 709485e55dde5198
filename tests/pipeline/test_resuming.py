"""Identity, manifest, shards and work folders: what a run may continue, and what it refuses."""

from __future__ import annotations

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from geopanoptic.errors import LockedError, OutputError, SceneError, UsageError
from geopanoptic.grid import Grid
from geopanoptic.pipeline.progress import Silent
from geopanoptic.pipeline.resuming.fingerprints import PIECE_BYTES, PIECES, fingerprint
from geopanoptic.pipeline.resuming.identity import differences, files_of, identity_of
from geopanoptic.pipeline.resuming.manifest import Manifest, agree, read_manifest
from geopanoptic.pipeline.resuming.shards import Shard, shard_block_px, shards_of
from geopanoptic.pipeline.resuming.workfolder import (
    claimed,
    clear,
    kept_if_useful,
    make,
    open_store,
    require_unused,
    work_folder,
)
from geopanoptic.products.commit import Commit
from geopanoptic.scene import Normalisation, open_scene

BANDS = ("blue", "green", "red", "nir")


@pytest.fixture
def scene_file(tmp_path) -> Path:
    path = tmp_path / "scene.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=4,
        height=64,
        width=80,
        dtype="uint16",
        crs="EPSG:32632",
        transform=Affine(10, 0, 600_000, 0, -10, 5_800_000),
    ) as file:
        file.write(np.random.default_rng(0).integers(1, 999, (4, 64, 80), np.uint16))
        file.descriptions = BANDS
    return path


def identity(scene_file, bundle, *, bands=BANDS, aoi=None, runtime="torch 2"):
    return identity_of(open_scene(scene_file), bundle, bands=bands, aoi=aoi, runtime=runtime)


def manifest(identity, **changes) -> Manifest:
    normalisation = Normalisation(bands=BANDS, low=(0.1, 0, 0, 1 / 3), high=(1, 2, 3, 4))
    return Manifest(
        **({"identity": identity, "block_px": 32, "normalisation": normalisation.to_json()} | changes)
    )


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES + 1, PIECES * PIECE_BYTES, 3 * PIECES * PIECE_BYTES + 7])
@pytest.mark.parametrize("place", [0, 0.4, 1])
def test_a_fingerprint_sees_both_ends_and_between(size, place, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(size))
    before = fingerprint(path)
    assert before["size_bytes"] == size
    # Between two sampled pieces lie less than three that are not.
    changed = min(3 * PIECE_BYTES, size)
    with path.open("r+b") as file:
        file.seek(int(place * (size - changed)))
        file.write(b"x" * changed)
    os.utime(path, (0, 0))
    after = fingerprint(path)
    assert after["modified"].startswith("1970-01-01")
    assert (after["content"] != before["content"]) == (size > 0)


@pytest.mark.parametrize("place", [0, -1])
def test_a_fingerprint_sees_the_first_and_the_last_byte(place, tmp_path):
    path = tmp_path / "file"
    content = bytearray(3 * PIECES * PIECE_BYTES)
    path.write_bytes(content)
    before = fingerprint(path)["content"]
    content[place] = 1
    path.write_bytes(content)
    assert fingerprint(path)["content"] != before


def test_a_missing_file_has_no_fingerprint(tmp_path):
    with pytest.raises(SceneError, match="cannot be read"):
        fingerprint(tmp_path / "gone.tif")


def test_equal_runs_have_equal_identities(scene_file, tiny_bundle):
    first = identity(scene_file, tiny_bundle)
    assert first == identity(scene_file, tiny_bundle)
    assert json.loads(json.dumps(first)) == first


def test_a_mask_beside_the_image_is_part_of_it(scene_file, tiny_bundle):
    def write_mask(rows):
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(scene_file, "r+") as file:
            file.write_mask(np.arange(64)[:, None].repeat(80, axis=1) < rows)

    without = identity(scene_file, tiny_bundle)
    write_mask(60)
    before = identity(scene_file, tiny_bundle)
    assert any("scene.tif.msk" in line and "was not part" in line for line in differences(without, before))
    write_mask(10)
    told = differences(before, identity(scene_file, tiny_bundle))
    assert any(line.startswith("file scene.tif, scene.tif.msk, content: was") for line in told)


def test_every_change_is_named(scene_file, tiny_bundle, tmp_path):
    before = identity(scene_file, tiny_bundle)
    outline = tmp_path / "area.geojson"
    outline.write_text("{}")
    with rasterio.open(scene_file, "r+") as file:
        file.offsets = (1, 0, 0, 0)
    other = replace(tiny_bundle, manifest=tiny_bundle.manifest.model_copy(update={"views": 4, "name": "big"}))
    found = differences(
        before, identity(scene_file, other, bands=BANDS[:3], aoi=outline, runtime="openvino 2026.4")
    )
    assert "bands: was blue, green, red, nir, is blue, green, red" in found
    assert "model, name: was tiny, is big" in found
    assert "runtime: was torch 2, is openvino 2026.4" in found
    assert "area of interest: was none, is area.geojson" in found
    named = {line.partition(":")[0] for line in found}
    assert {"file scene.tif, modified", "scale, offset, nodata and masks", "model, description"} <= named


def test_another_crs_is_named(scene_file, tiny_bundle):
    before = identity(scene_file, tiny_bundle)
    with rasterio.open(scene_file, "r+") as file:
        file.crs = "EPSG:32633"
    assert "grid, crs" in {
        line.partition(":")[0] for line in differences(before, identity(scene_file, tiny_bundle))
    }


def test_a_scene_that_was_moved_is_the_same_scene(scene_file, tiny_bundle, tmp_path):
    before = identity(scene_file, tiny_bundle)
    (tmp_path / "elsewhere").mkdir()
    assert identity(scene_file.rename(tmp_path / "elsewhere" / "scene.tif"), tiny_bundle) == before


def test_files_more_or_fewer_are_named():
    assert differences({"file a": {"size_bytes": 1}}, {"file b": {"size_bytes": 1}}) == [
        "file a: was part of that run and is not of this one",
        "file b: was not part of that run",
    ]


def test_a_manifest_comes_back_exactly(tmp_path):
    stored = agree(tmp_path, manifest({"bands": ["red"]}, shards=7))
    assert stored == read_manifest(tmp_path) == manifest({"bands": ["red"]}, shards=7)
    assert Normalisation.from_json(stored.normalisation).low == (0.1, 0, 0, 1 / 3)
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_whoever_comes_first_decides_for_all(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        agreed = list(pool.map(lambda size: agree(tmp_path, manifest({}, block_px=size)), range(32, 96)))
    assert len({each.block_px for each in agreed}) == len({each.seal for each in agreed}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_a_file_system_without_links_will_do(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    assert agree(tmp_path, manifest({})) == manifest({})
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_another_run_is_refused_with_its_differences(tmp_path):
    agree(tmp_path, manifest({"bands": ["red"], "runtime": "torch"}))
    with pytest.raises(UsageError, match=r"(?s)- bands: was red, is blue.*- runtime: was torch, is openvino"):
        agree(tmp_path, manifest({"bands": ["blue"], "runtime": "openvino"}))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"identity": {}}', '{"unknown": 1}'])
def test_a_damaged_manifest_is_refused(text, tmp_path):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UsageError, match="damaged"):
        read_manifest(tmp_path)


@given(rows=st.integers(1, 9), cols=st.integers(1, 9), count=st.integers(1, 100))
def test_shards_share_the_blocks_evenly(rows, cols, count):
    blocks = list(Grid(crs_wkt="", transform=Affine.identity(), height=rows, width=cols).blocks(1))
    parts = [Shard(number=number, count=count).part(blocks) for number in range(1, count + 1)]
    assert [block for part in parts for block in part] == blocks
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    missing = blocks[:: max(len(blocks) // 3, 1)]
    found = shards_of(missing, blocks, count)
    assert [shard.number for shard in found] == [
        number for number, part in enumerate(parts, 1) if set(part) & set(missing)
    ]


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "1/0", "-1/4", "1/4/2", "a/b"])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(UsageError, match="--shard"):
        Shard.parse(text)


def test_shards_get_blocks_enough():
    assert str(Shard.parse(" 3/16 ")) == "3/16"
    assert shard_block_px((10_980, 10_980), 4096, 16) == 1024
    assert shard_block_px((10_980, 10_980), 4096, 2) == 4096
    assert shard_block_px((300, 300), 600, 16) == 600


def test_only_one_run_claims_a_work_folder(tmp_path):
    work = tmp_path / "new" / "work"
    with claimed(work), pytest.raises(LockedError, match="Another run"), claimed(work):
        pass
    with claimed(work):
        pass


@pytest.mark.parametrize(
    ("failure", "results", "stays"),
    [
        (KeyboardInterrupt(), "tiles/*/*.npy", True),
        (KeyboardInterrupt(), "blocks/*/*.npy", False),
        (OSError(errno.ENOSPC, "No space left on device"), "tiles/*/*.npy", True),
    ],
)
def test_work_outlives_a_failure_where_it_is_of_use(failure, results, stays, tmp_path):
    work = tmp_path / "work"
    (work / "tiles" / "a").mkdir(parents=True)
    (work / "tiles" / "a" / "fields.npy").write_bytes(b"")
    with pytest.raises(type(failure)), kept_if_useful(work, results):
        raise failure
    assert work.is_dir() == stays


@pytest.mark.parametrize("beside_the_output", [True, False])
def test_a_full_disk_loses_nothing(beside_the_output, tmp_path):
    out, named = tmp_path / "a.gpkg", None if beside_the_output else tmp_path / "work"

    def run(*, resume: bool) -> list[str]:
        with (
            Commit([out], resumable=True) as commit,
            work_folder(commit, named, resume=resume, keep=False, progress=Silent()) as work,
        ):
            found = sorted(path.name for path in work.glob("blocks/*/*.npy"))
            (work / "blocks" / "heat").mkdir(parents=True, exist_ok=True)
            (work / "blocks" / "heat" / "0.npy").write_bytes(b"")
            if not resume:
                raise OSError(
                    errno.ENOSPC, "No space left on device", str(work / "blocks" / "heat" / "1.npy")
                )
            return found

    with pytest.raises(OutputError, match=r"heat is full .* what was computed is kept") as refusal:
        run(resume=False)
    assert "--resume" in refusal.value.remedy
    assert str(named or out.with_name(".a.gpkg.geopanoptic")) in refusal.value.remedy
    assert run(resume=True) == ["0.npy"]


def test_a_folder_of_other_things_is_no_work_folder(tmp_path):
    (tmp_path / "letter.txt").touch()
    with pytest.raises(UsageError, match=r"letter\.txt"):
        make(tmp_path)
    with pytest.raises(OutputError, match="cannot be used"):
        make(tmp_path / "letter.txt")


def test_an_unfinished_run_is_not_continued_unasked(tmp_path):
    require_unused(tmp_path, {"bands": ["red"]})
    open_store(tmp_path, manifest({"bands": ["red"]}), (64, 80))
    with pytest.raises(UsageError, match="--resume"):
        require_unused(tmp_path, {"bands": ["red"]})
    with pytest.raises(UsageError, match="was red, is blue"):
        require_unused(tmp_path, {"bands": ["blue"]})


def test_a_cleared_folder_is_empty(tmp_path):
    store, _ = open_store(tmp_path, manifest({}), (64, 80))
    for block in store.blocks():
        store.write("heat", block, np.zeros(block.shape, np.uint16))
    clear(tmp_path)
    assert not list(tmp_path.iterdir())


def test_blocks_of_a_run_with_other_numbers_are_not_held(tmp_path):
    store, agreed = open_store(tmp_path, manifest({}), (64, 80))
    block = store.blocks()[0]
    store.write("heat", block, np.zeros(block.shape, np.uint16))
    assert replace(store, seal=agreed.seal).holds(["heat"], block)
    other = manifest({}, normalisation=agreed.normalisation | {"low": [0.2, 0, 0, 0]})
    assert not replace(store, seal=other.seal).holds(["heat"], block)


def test_images_of_one_name_in_a_mosaic_are_told_apart(tmp_path, tiny_bundle):
    sources = ""
    for place, name in enumerate(("a", "b")):
        (tmp_path / name).mkdir()
        profile = {
            "driver": "GTiff",
            "width": 8,
            "height": 8,
            "count": 1,
            "dtype": "uint8",
            "crs": "EPSG:32632",
        }
        at = Affine(10, 0, 600_000 + 80 * place, 0, -10, 5_800_000)
        with rasterio.open(tmp_path / name / "rgb.tif", "w", **profile, transform=at) as file:
            file.write(np.full((1, 8, 8), 1 + place, np.uint8))
        sources += (
            f'<SimpleSource><SourceFilename relativeToVRT="1">{name}/rgb.tif</SourceFilename><SourceBand>1</SourceBand>'
            f'<SrcRect xOff="0" yOff="0" xSize="8" ySize="8"/><DstRect xOff="{8 * place}" yOff="0" xSize="8" ySize="8"/>'
            "</SimpleSource>"
        )
    bands = "".join(f'<VRTRasterBand dataType="Byte" band="{n}">{sources}</VRTRasterBand>' for n in (1, 2, 3))
    mosaic = tmp_path / "mosaic.vrt"
    mosaic.write_text(
        '<VRTDataset rasterXSize="16" rasterYSize="8"><SRS>EPSG:32632</SRS>'
        f"<GeoTransform>600000,10,0,5800000,0,-10</GeoTransform>{bands}</VRTDataset>"
    )

    def now():
        scene = open_scene(mosaic, bands="red,green,blue", allow_vrt=True)
        return identity_of(scene, tiny_bundle, bands=("red", "green", "blue"), aoi=None, runtime="torch 2")

    for name in ("a", "b"):
        before = now()
        with rasterio.open(tmp_path / name / "rgb.tif", "r+") as file:
            file.write(np.full((1, 8, 8), 99, np.uint8))
        assert differences(before, now())


def test_an_empty_claimed_folder_is_left_empty(tmp_path):
    with claimed(tmp_path / "work"):
        pass
    assert not list((tmp_path / "work").iterdir())


def test_files_of_one_name_are_told_apart(scene_file, tmp_path):
    other = tmp_path / "other" / scene_file.name
    other.parent.mkdir()
    other.write_bytes(scene_file.read_bytes()[:-1] + b"\1")
    sources = [source for each in (scene_file, other) for source in open_scene(each).sources]
    found = files_of(SimpleNamespace(sources=sources))
    assert list(found) == ["file scene.tif", "file scene.tif (2)"]
    assert found["file scene.tif"]["content"] != found["file scene.tif (2)"]["content"]


def test_how_masks_are_read_is_part_of_a_run(scene_file, tiny_bundle, tmp_path):
    folder = tmp_path / "dated"
    folder.mkdir()
    (folder / "20210615_image.tif").write_bytes(scene_file.read_bytes())
    with rasterio.open(scene_file) as image:
        profile = image.profile | {"count": 1, "dtype": "uint8"}
    with rasterio.open(folder / "20210615_SCL.tif", "w", **profile) as file:
        file.write(np.full((1, 64, 80), 4, np.uint8))
    masked, bare = (
        identity_of(open_scene(folder, cloud_mask=how), tiny_bundle, bands=BANDS, aoi=None, runtime="torch 2")
        for how in ("auto", "none")
    )
    name = "scale, offset, nodata and masks"
    assert masked[name] != bare[name]
