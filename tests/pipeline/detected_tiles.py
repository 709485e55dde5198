"""Detections as torchvision gives them, of a generated scene with known parcels: a detector that sees well."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

from geopanoptic.grid import Window
from geopanoptic.training.synthetic import generate_scene

TRANSFORM = Affine(10, 0, 600_000, 0, -10, 4_200_000)


def parcels_of(shape=(140, 190), seed=3) -> np.ndarray:
    """Parcel of every pixel (h, w) int32, 0 between them."""
    return generate_scene(shape, seed=seed).instances


def write_scene(path: Path, shape: tuple[int, int]) -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=shape[0], width=shape[1], dtype="uint8",
        crs="EPSG:32618", transform=TRANSFORM,
    ) as file:  # fmt: skip
        file.write(np.full((1, *shape), 7, np.uint8))
    return path


def windows_of(shape: tuple[int, int], tile_px: int, overlap_px: int) -> list[Window]:
    step = tile_px - overlap_px
    starts = [range(0, max(side - overlap_px, 1), step) for side in shape]
    return [
        Window(row, col, min(row + tile_px, shape[0]), min(col + tile_px, shape[1]))
        for row in starts[0]
        for col in starts[1]
    ]


def detect(parcels: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """What ``maskrcnn_resnet50_fpn`` returns for one image, saved by numpy: boxes, labels, scores, masks."""
    boxes, masks = [], []
    numbers = [number for number in rng.permutation(np.unique(parcels)) if number]
    for number in numbers:
        inside = parcels == number
        rows, cols = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        boxes.append([cols[0], rows[0], cols[-1] + 1, rows[-1] + 1])
        masks.append(np.where(inside, 0.93, 0.04)[None])
    return {
        "boxes": np.array(boxes, np.float32).reshape(-1, 4),
        "labels": np.ones(len(boxes), np.int64),
        "scores": rng.uniform(0.6, 1, len(boxes)).astype(np.float32),
        "masks": np.array(masks, np.float32).reshape(-1, 1, *parcels.shape),
    }


def semantic_of(parcels: np.ndarray) -> np.ndarray:
    """Logits (2, h, w) of parcel and other."""
    logits = np.where(parcels > 0, 4.0, -4.0).astype(np.float32)
    return np.stack([logits, -logits])


def write_tiles(
    folder: Path, parcels: np.ndarray, *, tile_px=96, overlap_px=32, semantic=False, seed=0
) -> Path:
    """One NPZ per tile and ``tiles.json``."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    places = {}
    for number, window in enumerate(windows_of(parcels.shape, tile_px, overlap_px)):
        part = parcels[window.slices()]
        arrays = detect(part, rng) | ({"semantic": semantic_of(part)} if semantic else {})
        np.savez_compressed(folder / f"tile_{number}.npz", **arrays)
        places[f"tile_{number}"] = {
            "row0": window.row0,
            "col0": window.col0,
            "height": window.height,
            "width": window.width,
        }
    classes = [
        {"name": "parcel", "kind": "thing", "label": 1, "channel": 0},
        {"name": "other", "kind": "stuff", "channel": 1, "colour": "#d0d0d0"},
    ]
    (folder / "tiles.json").write_text(json.dumps({"tiles": places, "classes": classes}))
    return folder
