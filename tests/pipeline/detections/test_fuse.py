"""Detections of tiles become one map: parcels that tiles cut come out whole, whatever the blocks."""

from __future__ import annotations

import json
import os
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from detected_tiles import detect, parcels_of, write_scene, write_tiles
from scipy import ndimage

from geopanoptic.errors import SceneError, UsageError
from geopanoptic.panoptic.fusion.rules import FUSION_RULES
from geopanoptic.pipeline.detections.fuse import fuse

EXACT = {"min_area_m2": 0, "simplify_m": 0}


@pytest.fixture(scope="module")
def parcels() -> np.ndarray:
    return parcels_of()


@pytest.fixture(scope="module")
def scene(parcels, tmp_path_factory) -> Path:
    return write_scene(tmp_path_factory.mktemp("scene") / "scene.tif", parcels.shape)


def best_iou(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Of every true parcel the IoU with the best found one."""
    both = np.zeros((truth.max() + 1, found.max() + 1), np.int64)
    np.add.at(both, (truth.ravel(), found.ravel()), 1)
    union = both.sum(1, keepdims=True) + both.sum(0, keepdims=True) - both
    return (both / np.maximum(union, 1))[1:, 1:].max(1)


def raster(folder: Path, name: str) -> np.ndarray:
    with rasterio.open(folder / f"{name}.tif") as file:
        return file.read(1)


@pytest.mark.parametrize(
    ("fusion", "semantic"), [*((fusion, True) for fusion in FUSION_RULES), ("upsnet", False)]
)
def test_parcels_that_tiles_cut_come_out_whole_by_every_rule(fusion, semantic, parcels, scene, tmp_path):
    tiles = write_tiles(tmp_path / "tiles", parcels, semantic=semantic)
    out = tmp_path / "parcels.gpkg"
    told = fuse(tiles, scene, out, fusion=fusion, rasters=tmp_path, **EXACT).report
    found = raster(tmp_path, "parcel_id")
    n = int(parcels.max())
    assert told["detections"] > told["objects"] == told["parcels"] == n
    assert (best_iou(found, parcels) == 1).all()
    layer = geopandas.read_file(out, layer="parcels")
    assert len(layer) == n
    assert layer.geometry.is_valid.all()
    everything = np.concatenate([layer.geometry, geopandas.read_file(out, layer="landcover").geometry])
    assert shapely.coverage_is_valid(everything)


def noisy(folder: Path, parcels: np.ndarray) -> Path:
    """Tiles in which masks are frayed, some shifted and found twice, and semantics doubtful."""
    write_tiles(folder, parcels, semantic=True, seed=4, tile_px=64, overlap_px=24)
    rng = np.random.default_rng(8)
    for path in sorted(folder.glob("*.npz")):
        arrays = dict(np.load(path))
        soft = ndimage.gaussian_filter(arrays["masks"], (0, 0, 1.5, 1.5))
        masks = soft + rng.normal(0, 0.08, soft.shape)
        shifted = np.roll(masks[:5], 4, axis=-1)
        arrays["masks"] = np.clip(np.concatenate([masks, shifted]), 0, 1).astype(np.float32)
        arrays["boxes"] = np.concatenate([arrays["boxes"], arrays["boxes"][:5]])
        arrays["scores"] = np.concatenate([arrays["scores"], arrays["scores"][:5] - 0.05])
        arrays["labels"] = np.concatenate([arrays["labels"], arrays["labels"][:5]])
        arrays["semantic"] = arrays["semantic"] + rng.normal(0, 4, arrays["semantic"].shape)
        np.savez_compressed(path, **arrays)
    return folder


@pytest.mark.parametrize("fusion", FUSION_RULES)
def test_the_map_is_the_same_for_every_block_size_and_number_of_threads(fusion, parcels, scene, tmp_path):
    tiles = noisy(tmp_path / "tiles", parcels[:110, :100])
    maps = []
    for block_px, threads in ((1024, 1), (50, 2)):
        folder = tmp_path / str(block_px)
        folder.mkdir()
        fuse(
            tiles,
            scene,
            folder / "map.gpkg",
            fusion=fusion,
            rasters=folder,
            block_px=block_px,
            threads=threads,
        )
        maps.append([(folder / "map.gpkg").read_bytes(), *(raster(folder, name) for name in RASTERS)])
    for other in maps[1:]:
        assert other[0] == maps[0][0]
        for ours, theirs in zip(maps[0][1:], other[1:], strict=True):
            np.testing.assert_array_equal(ours, theirs)


RASTERS = ("class", "parcel_id", "confidence")


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_masks_as_run_lengths_give_the_same_parcels(parcels, scene, tmp_path):
    from pycocotools import mask as coco

    tiles = write_tiles(tmp_path / "tiles", parcels)
    for path in sorted(tiles.glob("*.npz"))[::2]:
        arrays = dict(np.load(path))
        results = []
        for box, score, label, mask in zip(
            arrays["boxes"], arrays["scores"], arrays["labels"], arrays["masks"], strict=True
        ):
            encoded = coco.encode(np.asfortranarray((mask[0] > 0.5).astype(np.uint8)))
            encoded["counts"] = encoded["counts"].decode()
            x0, y0, x1, y1 = box.tolist()
            results.append(
                {
                    "image_id": 1,
                    "category_id": int(label),
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "score": float(score),
                    "segmentation": encoded,
                }
            )
        path.unlink()
        path.with_suffix(".json").write_text(json.dumps(results))
    fuse(tiles, scene, tmp_path / "map.gpkg", rasters=tmp_path, **EXACT)
    assert (best_iou(raster(tmp_path, "parcel_id"), parcels) == 1).all()


def test_masks_of_28_pixels_are_drawn_into_their_boxes(scene, tmp_path, parcels):
    truth = np.zeros(parcels.shape, np.int32)
    truth[20:180, 30:60], truth[40:70, 70:170] = 1, 2
    tiles = write_tiles(tmp_path / "tiles", truth)
    for path in tiles.glob("*.npz"):
        arrays = dict(np.load(path))
        n = len(arrays.pop("masks"))
        np.savez(path, mask_logits=np.full((n, 28, 28), 3.0), **arrays)
    fuse(tiles, scene, tmp_path / "map.gpkg", rasters=tmp_path, **EXACT)
    found = raster(tmp_path, "parcel_id")
    np.testing.assert_array_equal(found > 0, truth > 0)
    assert (best_iou(found, truth) == 1).all()


def test_tiles_with_a_geotiff_beside_them_need_no_list(parcels, scene, tmp_path):
    folder = tmp_path / "tiles"
    folder.mkdir()
    with rasterio.open(scene) as whole:
        for number, col in enumerate((0, 70)):
            part = parcels[:120, col : col + 120]
            np.savez(folder / f"t{number}.npz", **detect(part, np.random.default_rng(number)))
            place = whole.transform @ rasterio.Affine.translation(col, 0)
            profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "crs": whole.crs, "transform": place}
            with rasterio.open(folder / f"t{number}.tif", "w", height=120, width=120, **profile) as tile:
                tile.write(np.zeros((1, 120, 120), np.uint8))
    told = fuse(folder, scene, tmp_path / "map.gpkg", rasters=tmp_path, **EXACT).report
    shown = np.unique(parcels[:120, :190])
    assert told["parcels"] == len(shown) - 1
    # What no tile shows is no ground of the map.
    assert not raster(tmp_path, "class")[120:].any()


def test_tiles_may_reach_beyond_the_scene_and_what_they_say_there_does_not_count(parcels, tmp_path):
    tiles = write_tiles(tmp_path / "tiles", parcels, semantic=True)
    told = json.loads((tiles / "tiles.json").read_text())
    for place in told["tiles"].values():
        place["row0"], place["col0"] = place["row0"] - 10, place["col0"] - 10
    (tiles / "tiles.json").write_text(json.dumps(told))
    part = parcels[10:-20, 10:-30]
    scene = write_scene(tmp_path / "scene.tif", part.shape)
    report = fuse(tiles, scene, tmp_path / "map.gpkg", fusion="upsnet", rasters=tmp_path, **EXACT).report
    assert report["objects"] == len(np.unique(part)) - 1
    np.testing.assert_array_equal(raster(tmp_path, "parcel_id") > 0, part > 0)
    told["tiles"]["tile_0"]["row0"] = part.shape[0]
    (tiles / "tiles.json").write_text(json.dumps(told))
    with pytest.raises(UsageError, match="the scene has"):
        fuse(tiles, scene, tmp_path / "beyond.gpkg")


def test_detections_that_no_class_names_are_told(parcels, scene, tmp_path):
    tiles = write_tiles(tmp_path / "tiles", parcels)
    whole = fuse(tiles, scene, tmp_path / "whole.gpkg").report
    assert not whole["warnings"]
    # Labels counted from 0 by one and from 1 by the other.
    sidecar = tiles / "tiles.json"
    sidecar.write_text(sidecar.read_text().replace('"label": 1', '"label": 0'))
    told = fuse(tiles, scene, tmp_path / "none.gpkg").report
    assert (told["objects"], told["detections"]) == (0, whole["detections"])
    (warning,) = told["warnings"]
    assert f"names no thing for: {whole['detections']:,} of label 1." in warning
    above = fuse(tiles, scene, tmp_path / "none.gpkg", min_score=0.8, overwrite=True).report
    assert 0 < above["detections"] < whole["detections"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "tiles.json").write_text("{"), "tiles.json"),
        (lambda folder: (folder / "tiles.json").write_text('{"classes": []}'), "no place"),
        (lambda folder: np.savez(folder / "tile_0.npz", boxes=np.zeros((1, 4))), "missing"),
        (lambda folder: (folder / "tile_0.npz").write_bytes(b"no archive"), "holds no detections"),
        (lambda folder: [path.unlink() for path in folder.glob("*.npz")], "holds no detections"),
    ],
)
def test_what_cannot_be_read_is_refused_and_nothing_is_written(spoil, message, parcels, scene, tmp_path):
    tiles = write_tiles(tmp_path / "tiles", parcels)
    spoil(tiles)
    with pytest.raises(UsageError, match=message):
        fuse(tiles, scene, tmp_path / "map.gpkg")
    assert not (tmp_path / "map.gpkg").exists()


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("--min-score", {"min_score": 50}),
        ("--min-area", {"min_area_m2": -1}),
        ("--simplify", {"simplify_m": np.nan}),
    ],
)
def test_options_that_cannot_be_meant_are_refused(name, option, parcels, scene, tmp_path):
    tiles = write_tiles(tmp_path / "tiles", parcels)
    with pytest.raises(UsageError, match=name):
        fuse(tiles, scene, tmp_path / "map.gpkg", **option)


def test_the_least_area_may_be_larger_than_any_scene(parcels, scene, tmp_path):
    tiles = write_tiles(tmp_path / "tiles", parcels)
    told = fuse(tiles, scene, tmp_path / "map.gpkg", min_area_m2=1e30).report
    assert (told["parcels"], told["min_area_output_px"]) == (0, parcels.size + 1)


def test_what_was_read_before_a_stop_is_not_read_again(parcels, scene, tmp_path):
    tiles = write_tiles(tmp_path / "tiles", parcels, semantic=True)
    fuse(tiles, scene, tmp_path / "whole.gpkg", **EXACT)
    # The last tile's file is damaged: a fuse stops there.
    *earlier, last = sorted(tiles.glob("*.npz"), key=lambda path: int(path.stem.partition("_")[2]))
    whole = last.read_bytes()
    last.write_bytes(b"no archive")
    out = tmp_path / "map.gpkg"
    with pytest.raises(UsageError, match=last.name):
        fuse(tiles, scene, out, threads=1, **EXACT)
    last.write_bytes(whole)
    # Whoever read the others again would find nothing in them.
    for path in earlier:
        state = path.stat()
        path.write_bytes(bytes(state.st_size))
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    fuse(tiles, scene, out, resume=True, **EXACT)
    assert out.read_bytes() == (tmp_path / "whole.gpkg").read_bytes()
    with pytest.raises(UsageError, match="holds no detections"):
        fuse(tiles, scene, out, overwrite=True, **EXACT)


def test_a_scene_without_a_place_is_refused(parcels, tmp_path):
    tiles = write_tiles(tmp_path / "tiles", parcels)
    with pytest.raises(SceneError, match=r"nowhere\.tif"):
        fuse(tiles, tmp_path / "nowhere.tif", tmp_path / "map.gpkg")


def test_the_command_line_writes_the_products(parcels, scene, tmp_path, capsys):
    from geopanoptic.cli.main import invoke

    tiles = write_tiles(tmp_path / "tiles", parcels, semantic=True)
    out = tmp_path / "map.gpkg"
    arguments = ["fuse", str(tiles), "--scene", str(scene), "--out", str(out), "--fusion", "upsnet"]
    assert invoke([*arguments, "--quiet"]) == 0
    assert json.loads(out.with_suffix(".run.json").read_text())["fusion"] == "upsnet"
    assert invoke(arguments) == 5
    assert invoke([*arguments, "--overwrite"]) == 0
    assert "parcels of" in capsys.readouterr().out
