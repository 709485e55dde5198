"""Whether data are those that a run learned from."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from tiny_training import write_patchwork, write_pool

from geopanoptic.pipeline.resuming.identity import differences
from geopanoptic.training.datasets.identity import identity_of
from geopanoptic.training.datasets.settings import PoolData, VectorData


def test_other_labels_and_other_pixels_are_other_data_and_copies_are_not(tmp_path: Path) -> None:
    scene, fields = write_patchwork(tmp_path)
    labels = tmp_path / "fields.geojson"
    fields.to_crs(4326).to_file(labels)
    data = [VectorData(kind="vectors", scene=str(scene), labels=labels)]
    before = identity_of(data)
    for path in (scene, labels):
        os.utime(path, (0, 0))
    fields.assign(looked_at="today").to_crs(4326).to_file(labels)
    assert identity_of(data) == before
    fields.iloc[:50].to_crs(4326).to_file(labels)
    (told,) = differences(before, identity_of(data))
    assert told.startswith(f"labels {labels}: was ")
    content = bytearray(scene.read_bytes())
    content[-1] ^= 1
    scene.write_bytes(content)
    assert [each.split(",")[0] for each in differences(before, identity_of(data))] == [
        f"labels {labels}: was {before[f'labels {labels}']}",
        f"scene {scene}",
    ]


def test_a_pool_with_one_sample_more_is_another(tmp_path: Path) -> None:
    data = [PoolData(kind="pool", folder=write_pool(tmp_path / "pool"))]
    before = identity_of(data)
    np.savez(tmp_path / "pool" / "c.npz", image=np.zeros(3))
    assert differences(before, identity_of(data))[0] == f"folder {tmp_path / 'pool'}, files: was 2, is 3"
