"""COCO panoptic: colours, segments, categories."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image

from geopanoptic.errors import UsageError
from geopanoptic.training.config import TrainingConfig
from geopanoptic.training.datasets.coco import CocoPanoptic
from geopanoptic.training.datasets.settings import CocoData
from geopanoptic.training.patches.patch import Patch

CLASSES = TrainingConfig.model_fields["classes"].default
IDS = np.array([[70_000, 70_000, 5], [300, 0, 5], [300, 9, 9]])
"""Two parcels (70,000 and 300), a lake (5), a crowd of parcels (9), a void pixel; 10 x 10 pixels each."""


def write_coco(folder: Path, *, ids: np.ndarray = IDS) -> CocoData:
    """A data set of one image in the official layout."""
    for name in ("images", "panoptic"):
        (folder / name).mkdir()
    big = np.kron(ids, np.ones((10, 10), np.int64))
    colours = np.stack([big % 256, big // 256 % 256, big // 65_536], -1).astype(np.uint8)
    Image.fromarray(colours).save(folder / "panoptic" / "one.png")
    ramp = np.arange(900, dtype=np.float64).reshape(30, 30) / 4
    Image.fromarray(np.stack([ramp, ramp.T, 255 - ramp], -1).astype(np.uint8)).save(
        folder / "images" / "one.png"
    )
    infos = [(70_000, 1, 0), (300, 1, 0), (5, 2, 0), (9, 1, 1)]
    content = {
        "images": [{"id": 8, "file_name": "one.png", "width": 30, "height": 30}],
        "annotations": [
            {
                "image_id": 8,
                "file_name": "one.png",
                "segments_info": [{"id": i, "category_id": c, "iscrowd": crowd} for i, c, crowd in infos],
            }
        ],
        "categories": [
            {"id": 1, "name": "field", "isthing": 1},
            {"id": 2, "name": "water", "isthing": 0},
        ],
    }
    (folder / "panoptic.json").write_text(json.dumps(content))
    return CocoData(
        kind="coco",
        annotations=folder / "panoptic.json",
        panoptic=folder / "panoptic",
        images=folder / "images",
        classes={"field": "parcel"},
    )


def drawn(settings: CocoData, bands: tuple[str, ...] = ("blue", "green", "red", "nir")) -> Patch:
    source = CocoPanoptic.open(settings, bands=bands, classes=CLASSES)
    return source.draw(64, np.random.default_rng(0), sample=0)


def test_segments_become_instances_and_classes(tmp_path: Path) -> None:
    patch = drawn(write_coco(tmp_path))
    coarse = patch.instances_hw[10::20, 10::20]
    assert coarse[0, 0] == coarse[0, 1] > 0
    assert coarse[1, 0] == coarse[2, 0] > 0
    assert coarse[0, 0] != coarse[1, 0]
    assert (coarse[:2, 2] == 0).all()
    assert (coarse[[1, 2, 2], [1, 1, 2]] == -1).all()
    np.testing.assert_array_equal(patch.classes_hw[10::20, 10::20], [[0, 0, 1], [0, 255, 1], [0, 255, 255]])


def test_bands_go_by_name_and_are_stretched(tmp_path: Path) -> None:
    patch = drawn(write_coco(tmp_path))
    blue, _, red, nir = patch.image_chw
    assert red[0, 0] < 0.05 < 0.95 < red[-1, -1]
    assert blue[0, 0] > 0.95 > 0.05 > blue[-1, -1]
    assert not nir.any()
    assert not patch.seen_chw[3].any()


def test_ids_without_description_and_other_files_are_refused(tmp_path: Path) -> None:
    settings = write_coco(tmp_path, ids=np.where(IDS == 5, 6, IDS))
    with pytest.raises(UsageError, match="shows the id 6"):
        drawn(settings)
    (tmp_path / "panoptic.json").write_text('{"images": []}')
    with pytest.raises(UsageError, match="no COCO panoptic file"):
        drawn(settings)


@pytest.mark.parametrize("bands", ["red, green, blue", "r,g,b", "B04,B03,B02", "red,green,-"])
def test_bands_may_be_called_as_in_a_list_of_bands(tmp_path: Path, bands: str) -> None:
    settings = write_coco(tmp_path)
    patch, plain = drawn(settings.model_copy(update={"bands": bands})), drawn(settings)
    assert patch.seen_chw.any(axis=(1, 2)).tolist() == ["-" not in bands, True, True, False]
    np.testing.assert_array_equal(patch.image_chw[1:], plain.image_chw[1:])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bands": "rgb"}, "'rgb' is not a band name"),
        ({"bands": "swir16"}, "show swir16, none of the network's bands: blue, green, red, nir"),
        ({"classes": {"feild": "parcel"}}, "no category 'feild'"),
        ({"classes": {"field": "parcle"}}, "no class 'parcle'"),
        ({"classes": {"field": "bare"}}, "'field' has isthing 1, its class 'bare' is of kind stuff"),
        ({"classes": {"water": "parcel"}}, "'water' has isthing 0, its class 'parcel' is of kind thing"),
    ],
)
def test_settings_that_would_teach_nothing_or_contradictions_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    settings = write_coco(tmp_path).model_copy(update=changes)
    with pytest.raises(UsageError, match=message):
        drawn(settings)


def test_pixels_that_are_no_numbers_are_no_data(tmp_path: Path) -> None:
    settings = write_coco(tmp_path)
    values = np.random.default_rng(0).random((3, 30, 30), np.float32)
    values[1, 5, 6], values[0, 7, 8] = np.nan, np.inf
    # What a file is, its first bytes say, not its name.
    path, shape = tmp_path / "images" / "one.png", {"count": 3, "height": 30, "width": 30}
    with rasterio.open(
        path, "w", driver="GTiff", dtype="float32", transform=Affine.scale(10), **shape
    ) as image:
        image.write(values)
    patch = drawn(settings)
    assert np.argwhere(~patch.seen_chw[0]).tolist() == [[5, 6], [7, 8]]
    assert np.isfinite(patch.image_chw).all()
    assert patch.image_chw[:3].std() > 0.2
