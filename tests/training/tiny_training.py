"""Small pools, scenes and settings that the tests of training share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import rasterio
import torch
from affine import Affine
from numpy.typing import NDArray
from safetensors import safe_open
from shapely import box
from torch import Tensor

from geopanoptic.training.config import TrainingConfig
from geopanoptic.training.datasets.mixture import Mixture
from geopanoptic.training.learning.feed import Feed
from geopanoptic.training.synthetic import BANDS

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


def same(one: Path, other: Path, *, tolerance: float = 0.0) -> bool:
    first, second = tensors_of(one), tensors_of(other)
    return first.keys() == second.keys() and all(
        torch.allclose(first[name].float(), second[name].float(), rtol=0, atol=tolerance) for name in first
    )


def write_scene(path: Path, image: NDArray[np.floating], bands: tuple[str, ...] = BANDS) -> Path:
    """Reflectance (bands, h, w) as a GeoTIFF of 10 m pixels in UTM, its corner at 600 km, 5,700 km."""
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=image.shape[2],
        height=image.shape[1],
        count=len(bands),
        dtype="uint16",
        crs="EPSG:32632",
        transform=Affine(10, 0, 600_000, 0, -10, 5_700_000),
    ) as target:
        target.write((image * 10_000).clip(1, 65_535).astype("uint16"))
        target.descriptions = bands
    return path


def write_patchwork(
    folder: Path, *, bands: tuple[str, ...] = BANDS, size_px: int = 192
) -> tuple[Path, geopandas.GeoDataFrame]:
    """A scene of rectangular fields of 8 to 24 px a side, ditches of 1 px between them, and all the fields."""
    rng = np.random.default_rng(0)
    image = np.full((len(bands), size_px, size_px), 0.03)
    outlines = []
    row = 0
    while row < size_px - 8:
        bottom = min(row + int(rng.integers(8, 25)), size_px)
        col = 0
        while col < size_px - 8:
            right = min(col + int(rng.integers(8, 25)), size_px)
            image[:, row : bottom - 1, col : right - 1] = rng.uniform(0.05, 0.4, (len(bands), 1, 1))
            x, y = 600_000 + 10 * col, 5_700_000 - 10 * row
            outlines.append(box(x, y - 10 * (bottom - 1 - row), x + 10 * (right - 1 - col), y))
            col = right
        row = bottom
    image += rng.normal(0, 0.005, image.shape)
    path = write_scene(folder / "scene.tif", image, bands)
    return path, geopandas.GeoDataFrame(geometry=outlines, crs="EPSG:32632")


def feed_of(config: TrainingConfig, part: slice = slice(None)) -> Feed:
    """The batches of a run, of which one process takes a ``part`` of each."""
    return Feed(
        source=Mixture.open(config.data, bands=config.bands, classes=config.classes),
        augmentation=config.augmentation,
        crop_px=config.crop_px,
        batch=config.batch,
        seed=config.seed,
        part=part,
        season=None if config.network.temporal is None else config.season,
    )
