"""COCO panoptic: colours, segments, categories."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geopanoptic.errors import UsageError
from geopanoptic.training.config import TrainingConfig
from geopanoptic.training.datasets.coco import CocoPanoptic
from geopanoptic.training.datasets.settings import CocoData
from geopanoptic.training.patch import Patch

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
