"""Probabilities of no network, and layouts to compute them in."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

LAYOUTS = [
    {"tile_px": 64, "block_px": 64, "batch": 1, "workers": 1},
    {"tile_px": 32, "block_px": 97, "batch": 3, "workers": 2},
    {"tile_px": 128, "block_px": 33, "batch": 2, "workers": 4},
    {"tile_px": 256, "block_px": 400, "batch": 1, "workers": 2},
    {"tile_px": 48, "block_px": 50, "batch": 4, "workers": 3},
    {"tile_px": 16, "block_px": 128, "batch": 8, "workers": 2},
]


def smooth(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> np.ndarray:
    noise = ndimage.gaussian_filter(rng.normal(size=shape), sigma)
    return ((noise - noise.min()) / np.ptp(noise)).astype(np.float32)


def noisy_maps(seed: int, shape=(230, 190)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    maps = np.stack([smooth(rng, shape, sigma) for sigma in (6, 5, 5, 5, 5, 5, 4, 2, 3)])
    maps[:6] /= maps[:6].sum(0)
    maps[:6] = maps[:6] ** 4 / (maps[:6] ** 4).sum(0)
    return maps, smooth(rng, shape, 8) > 0.3
