"""Small pools, scenes and settings that the tests of training share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import rasterio
import shapely
from affine import Affine
from rasterio.features import shapes
from safetensors import safe_open
from shapely.geometry import shape
from torch import Tensor

from geopanoptic.training.config import TrainingConfig
from geopanoptic.training.synthetic import BANDS, generate_scene

TINY_NETWORK = {"encoder_depth": 3, "decoder_channels": [8, 8], "detail_channels": 4, "head_channels": 4}


def write_pool(folder: Path, *, invalid_column: bool = True) -> Path:
    """Two samples of a quartered square, three parcels and water; the last column has no data."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    labels = np.kron(np.array([[1, 2], [3, 0]], np.int32), np.ones((48, 48), np.int32))
    valid = np.ones((48, 48), bool)
    valid[:, -1] = not invalid_column
    for name in ("a", "b"):
        image = np.kron(rng.random((len(BANDS), 2, 2)), np.ones((24, 24)))
        np.savez(
            folder / f"{name}.npz",
            image=image.astype(np.float16),
            available=np.ones(len(BANDS), bool),
            valid=valid,
            instances=labels,
            stuff=np.where(labels > 0, 0, 1).astype(np.uint8),
        )
    return folder


def tiny_config(data: list[dict[str, Any]], **changes: Any) -> TrainingConfig:
    """A run of a few steps on the CPU."""
    defaults = {
        "data": data,
        "network": TINY_NETWORK,
        "crop_px": 32,
        "batch": 4,
        "steps": 6,
        "device": "cpu",
        "picture_steps": 0,
        "log_steps": 2,
        "warm_up_steps": 2,
    }
    return TrainingConfig.model_validate(defaults | changes)


def tensors_of(checkpoint: Path) -> dict[str, Tensor]:
    with safe_open(checkpoint, framework="pt") as stored:
        return {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118  no mapping


def write_labelled_scene(
    folder: Path, *, bands: tuple[str, ...] = BANDS, size_px: int = 192, seed: int = 3
) -> tuple[Path, geopandas.GeoDataFrame]:
    """A generated scene as a GeoTIFF, and its parcels of at least 0.3 ha."""
    scene = generate_scene((size_px, size_px), seed=seed)
    path = folder / "scene.tif"
    transform = Affine(10, 0, 600_000, 0, -10, 5_700_000)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=size_px,
        height=size_px,
        count=len(bands),
        dtype="uint16",
        crs="EPSG:32632",
        transform=transform,
    ) as target:
        numbers = (scene.image * 10_000).clip(1, 65_535).astype("uint16")
        target.write(numbers[[BANDS.index(band) for band in bands]])
        target.descriptions = bands
    label_px = [
        shape(outline) for outline, _ in shapes(scene.instances, mask=scene.instances > 0, connectivity=4)
    ]
    outlines = shapely.transform(label_px, lambda xy: xy * (5, -5) + (600_000, 5_700_000))
    frame = geopandas.GeoDataFrame(geometry=outlines, crs="EPSG:32632")
    return path, frame[frame.area >= 3000].reset_index(drop=True)
