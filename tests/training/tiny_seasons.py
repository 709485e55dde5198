"""Small series that the tests of training share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tiny_training import TINY_NETWORK, tiny_config

from geopanoptic.evaluation.pools.season_samples import SEASON_CLASSES
from geopanoptic.training.config import TrainingConfig
from geopanoptic.training.samples.season_crops import SeriesSample
from geopanoptic.training.synthetic import BANDS

SERIES_CLASSES = [
    {"id": number, "name": name, "kind": "thing" if number <= 4 else "stuff", "colour": f"#{number:06x}"}
    for number, name in enumerate(SEASON_CLASSES, 1)
]
TINY_TEMPORAL = {"heads": 4, "key_channels": 2, "harmonics": 2}
DAYS = (100.0, 150.0, 200.0, 250.0)


def write_season_pool(
    folder: Path, *, dates: int = len(DAYS), size_px: int = 48, n_bands: int = len(BANDS)
) -> Path:
    """Two series of a quartered square: a winter crop, a summer crop, a parcel of unknown kind, and water.

    The first date is all cloud, the second has one band less, the first column is never seen.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    half = size_px // 2
    instances = np.array([[1, 2], [3, 0]], np.int32).repeat(2 * half, 0).repeat(2 * half, 1)
    valid = np.ones((dates, size_px, size_px), bool)
    valid[0] = False
    valid[:, :, 0] = False
    available = np.ones((dates, n_bands), bool)
    available[1, -1] = False
    for name in ("a", "b"):
        image = np.kron(rng.random((dates, n_bands, 2, 2)), np.ones((half, half)))
        SeriesSample(
            image_tchw=(image * valid[:, None]).astype(np.float32),
            available_tc=available,
            valid_thw=valid,
            day_t=np.array(DAYS[:dates], np.float32),
            instances=instances,
            stuff=np.array([4, 0, 1, 255], np.uint8)[instances],
        ).save(folder / f"{name}.npz")
    return folder


def tiny_season_config(data: list[dict[str, Any]], **changes: Any) -> TrainingConfig:
    """As ``tiny_config``, of a network of series."""
    network = {**TINY_NETWORK, "temporal": TINY_TEMPORAL}
    return tiny_config(data, **{"network": network, "classes": SERIES_CLASSES, **changes})
