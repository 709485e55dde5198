"""Random fields: what is irregular in a generated scene comes from here."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_FINEST_PX = 2.0  # below it the field is drawn at every pixel, above it at coarser steps and interpolated


def smooth_noise(shape: tuple[int, int], scale_px: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Gaussian noise (h, w) of unit variance that varies over about ``scale_px`` pixels."""
    step = max(1, int(scale_px / _FINEST_PX))
    coarse = rng.standard_normal((shape[0] // step + 4, shape[1] // step + 4), np.float32)
    coarse = ndimage.gaussian_filter(coarse, max(scale_px / step / 2, 0.5))
    coarse /= max(float(coarse.std()), 1e-6)
    fine = _interpolated(_interpolated(coarse, step).T, step).T if step > 1 else coarse
    return np.ascontiguousarray(fine[: shape[0], : shape[1]])


def _interpolated(coarse: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """``step`` rows, linear, for every row but the last."""
    share = (np.arange(step, dtype=np.float32) / np.float32(step))[:, None]
    rows = coarse[:-1, None] * (1 - share) + coarse[1:, None] * share
    return rows.reshape(-1, coarse.shape[1])


def along_a_line(
    x_m: NDArray[np.float32], y_m: NDArray[np.float32], rng: np.random.Generator, *, bend_m: float
) -> NDArray[np.float32]:
    """Signed distance in metres, about, from a random winding line across the plane."""
    angle = rng.uniform(0, 2 * np.pi)
    across = np.float32(np.cos(angle)) * x_m + np.float32(np.sin(angle)) * y_m
    along = np.float32(np.cos(angle)) * y_m - np.float32(np.sin(angle)) * x_m
    across -= np.float32(rng.uniform(across.min(), across.max()))
    for _ in range(2):
        wave_m = rng.uniform(12, 40) * max(bend_m, 25)
        across += np.float32(bend_m) * np.sin(
            along * np.float32(2 * np.pi / wave_m) + np.float32(rng.uniform(0, 6))
        )
    return across
