"""Small label rasters of every kind that border tracing can meet."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray


def noise(rng: np.random.Generator) -> NDArray[np.int32]:
    """Independent pixels: many nodes, one-pixel regions, nodata everywhere; sometimes a single row or pixel."""
    return rng.integers(0, rng.integers(2, 6), rng.integers(1, 22, 2), dtype=np.int32)


def enlarged_noise(rng: np.random.Generator) -> NDArray[np.int32]:
    """Noise of three-pixel squares with single pixels spilled over it."""
    labels = np.kron(noise(rng), np.ones((3, 3), np.int32))
    spilled = rng.random(labels.shape) < 0.06
    labels[spilled] = rng.integers(0, 4, spilled.sum())
    return labels


def checkerboard(rng: np.random.Generator) -> NDArray[np.int32]:
    """Every inner corner is one where two diagonal pairs touch."""
    rows, cols = np.indices(rng.integers(2, 14, 2))
    return ((rows + cols) % 2 + rng.integers(0, 2)).astype(np.int32)


def nested(rng: np.random.Generator) -> NDArray[np.int32]:
    """Islands within islands, some of them nodata, in a frame of any width."""
    size = int(rng.integers(5, 30))
    rows, cols = np.indices((size, size))
    rings = np.maximum(abs(rows - size // 2), abs(cols - size // 2)) // rng.integers(1, 4)
    return rng.integers(0, 3, rings.max() + 1, dtype=np.int32)[rings]


def rotated_mosaic(rng: np.random.Generator) -> NDArray[np.int32]:
    """Oblique fields crossed by a narrow road, with a pond and a missing corner."""
    rows, cols = np.indices((60, 70))
    angle = rng.uniform(0, np.pi)
    along, across = cols * np.cos(angle) + rows * np.sin(angle), rows * np.cos(angle) - cols * np.sin(angle)
    field = along // 17 + 20 * (across // 11)
    labels = (10 + field - field.min()).astype(np.int32)
    labels[abs(along - across / 3 - rng.uniform(0, 20)) < rng.uniform(0.5, 2)] = 5
    labels[(rows - 30) ** 2 + (cols - 35) ** 2 < rng.uniform(2, 80)] = 6
    labels[rows + cols < 20] = 0
    return labels


KINDS = (noise, enlarged_noise, checkerboard, nested, rotated_mosaic)


def label_rasters() -> st.SearchStrategy[NDArray[np.int32]]:
    """A raster of any kind."""
    return st.builds(
        lambda kind, seed: kind(np.random.default_rng(seed)),
        st.sampled_from(KINDS),
        st.integers(0, 2**32 - 1),
    )
