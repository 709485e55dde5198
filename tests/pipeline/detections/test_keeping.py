"""Tiles as they are read mask by mask, and as they are kept."""

from __future__ import annotations

import numpy as np
import pytest
from detected_tiles import detect, parcels_of, semantic_of

from geopanoptic.errors import UsageError
from geopanoptic.grid import Window
from geopanoptic.pipeline.detections.folder import DetectionFolder
from geopanoptic.pipeline.detections.keeping import keep, kept
from geopanoptic.pipeline.detections.mask_stack import MaskStack
from geopanoptic.pipeline.detections.reading import read_tile

PLACE = Window(40, 70, 240, 310)


@pytest.fixture
def arrays():
    parcels = parcels_of((100, 120))  # labels are twice as fine
    return detect(parcels, np.random.default_rng(1)) | {"semantic": semantic_of(parcels)}


def same(a, b):
    assert len(a.detections) == len(b.detections)
    for ours, theirs in zip(a.detections, b.detections, strict=True):
        assert (ours.label, ours.score, ours.window) == (theirs.label, theirs.score, theirs.window)
        np.testing.assert_array_equal(ours.mask, theirs.mask)
    assert (a.semantic is None) == (b.semantic is None)
    if a.semantic is not None:
        np.testing.assert_array_equal(a.semantic, b.semantic)


@pytest.mark.parametrize("semantic", [True, False])
def test_a_kept_tile_is_the_one_that_was_read(arrays, semantic, tmp_path):
    if not semantic:
        del arrays["semantic"]
    np.savez_compressed(tmp_path / "tile.npz", **arrays)
    tile = read_tile(tmp_path / "tile.npz", PLACE)
    assert kept(tmp_path / "kept" / "a", PLACE) is None
    for _ in range(2):
        keep(tile, tmp_path / "kept" / "a")
    same(kept(tmp_path / "kept" / "a", PLACE), tile)
    assert [each.name for each in (tmp_path / "kept").iterdir()] == ["a"]


def test_a_tile_without_detections_is_kept_too(tmp_path):
    empty = detect(np.zeros(PLACE.shape, np.int32), np.random.default_rng(0))
    np.savez(tmp_path / "tile.npz", **empty)
    keep(read_tile(tmp_path / "tile.npz", PLACE), tmp_path / "a")
    found = kept(tmp_path / "a", PLACE)
    assert found.detections == ()
    assert found.window == PLACE


@pytest.mark.parametrize("name", ["fields", "masks", "semantic"])
@pytest.mark.parametrize("left", [0, 40, -7])
def test_a_kept_tile_that_is_not_whole_is_kept_again(name, left, arrays, tmp_path):
    np.savez(tmp_path / "tile.npz", **arrays)
    tiles = DetectionFolder(
        paths=(tmp_path / "tile.npz",),
        places=(PLACE,),
        windows=(PLACE,),
        stamps=("a",),
        kept=tmp_path / "kept",
    )
    keep(read_tile(tmp_path / "tile.npz", PLACE), tmp_path / "kept" / "a")
    file = tmp_path / "kept" / "a" / f"{name}.npy"
    whole = file.read_bytes()
    file.write_bytes(whole[:left])
    assert kept(tmp_path / "kept" / "a", PLACE) is None
    same(tiles.read(0), read_tile(tmp_path / "tile.npz", PLACE))
    assert file.read_bytes() == whole


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize(
    "change", [lambda masks: masks, lambda masks: masks[:, 0], lambda masks: masks > 0.5]
)
def test_masks_one_by_one_are_those_of_the_whole_array(arrays, change, compressed, tmp_path):
    masks = change(arrays["masks"])
    (np.savez_compressed if compressed else np.savez)(tmp_path / "tile.npz", **arrays | {"masks": masks})
    stack = MaskStack.of(tmp_path / "tile.npz", "masks")
    assert len(stack) == len(masks)
    for ours, theirs in zip(stack, masks.reshape(-1, *masks.shape[-2:]), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_masks_that_do_not_lie_one_by_one_are_read_whole(arrays, tmp_path):
    np.savez(tmp_path / "rows.npz", **arrays)
    np.savez(tmp_path / "columns.npz", **arrays | {"masks": np.asfortranarray(arrays["masks"])})
    assert MaskStack.of(tmp_path / "columns.npz", "masks") is None
    same(read_tile(tmp_path / "columns.npz", PLACE), read_tile(tmp_path / "rows.npz", PLACE))


@pytest.mark.parametrize("tile", [(96, 80), (48, 48), (200, 72)])
def test_masks_of_a_padded_or_scaled_tile_are_not_squeezed_into_boxes(tile, tmp_path):
    masks = np.zeros((1, 96, 72 if tile[1] == 72 else 96), bool)
    masks[0, 20:40, 10:30] = True
    arrays = {"boxes": [[10, 20, 30, 40]], "scores": [0.9], "labels": [1]}
    np.savez(tmp_path / "tile.npz", masks=masks, **arrays)
    with pytest.raises(UsageError, match="masks have 96 x "):
        read_tile(tmp_path / "tile.npz", Window(0, 0, *tile))


@pytest.mark.parametrize(
    ("shape", "tile"), [((28, 28), (96, 20)), ((28, 28), (20, 20)), ((20, 40), (96, 80))]
)
def test_masks_that_may_be_cropped_to_their_boxes_are(shape, tile, tmp_path):
    arrays = {"boxes": [[-22.2, -2.4, 17.8, 17.6]], "scores": [0.9], "labels": [1]}
    np.savez(tmp_path / "tile.npz", masks=np.ones((1, *shape), bool), **arrays)
    (found,) = read_tile(tmp_path / "tile.npz", Window(5, 5, 5 + tile[0], 5 + tile[1])).detections
    assert found.window == Window(5, 5, 23, 23)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("masks", lambda masks: masks * 8 - 4, "call logits mask_logits"),
        ("masks", lambda masks: (masks > 0.5).astype(np.uint8) * 255, "from 0 to 255, .* give them as bool"),
        ("scores", lambda scores: scores * 100, "not from 0 to 1"),
        ("labels", lambda labels: labels * np.inf, "infinity"),
    ],
)
def test_numbers_that_mean_something_else_are_refused(name, change, message, arrays, tmp_path):
    np.savez(tmp_path / "tile.npz", **arrays | {name: change(arrays[name])})
    with pytest.raises(UsageError, match=message):
        read_tile(tmp_path / "tile.npz", PLACE)


def test_scores_that_rounding_brought_above_one_are_one(arrays, tmp_path):
    np.savez(tmp_path / "tile.npz", **arrays | {"scores": np.float32(1 + 1e-6) + 0 * arrays["scores"]})
    assert {each.score for each in read_tile(tmp_path / "tile.npz", PLACE).detections} == {1.0}
