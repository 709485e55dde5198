"""Landscapes as label maps: parcels with real or procedural outlines, and the stuff between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cc3d
import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

PARCEL, WATER, WOODLAND, BUILT_UP, OTHER_VEGETATION, BARE = range(6)
"""Class indices in the order of the default bundle's classes."""

SMALLEST_PARCEL_PX = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Landscape:
    """``instances`` (h, w) int32: parcels 1..n, 0 elsewhere; ``cover`` (h, w) uint8: class index."""

    instances: NDArray[np.int32]
    cover: NDArray[np.uint8]


def procedural_landscape(shape: tuple[int, int], rng: np.random.Generator) -> Landscape:
    """Estates between roads, each cut into fields of its own size, shape and direction."""
    x, y = _warped_coordinates(shape, rng)
    # Side length of a typical field in label pixels of 5 m: smallholders (60 m) to large farms (700 m).
    field_px = float(np.clip(np.exp(rng.normal(np.log(36), 0.6)), 10, 140))
    estate_px = field_px * rng.uniform(3, 8)
    angle = rng.uniform(0, np.pi)
    u, v = _rotated(x, y, angle)
    estate = _recursive_split(u, v, rng, side=estate_px, aspect=1.5, irregular=0.3)
    n_estates = int(estate.max()) + 1
    kind = rng.choice(6, n_estates, p=_estate_weights(rng))

    parcels = np.zeros(shape, np.int64)
    for style in range(3):
        # Three field patterns per landscape: each estate follows one of them.
        turn = angle + rng.normal(0, 0.12) + rng.choice([0, np.pi / 2])
        uu, vv = _rotated(x, y, turn)
        side = field_px * rng.uniform(0.6, 1.6)
        if rng.random() < 0.2:
            pattern = _voronoi(uu, vv, rng, side)
        else:
            aspect = rng.choice([1.3, 2.0, 4.0, 8.0], p=[0.35, 0.35, 0.2, 0.1])
            pattern = _recursive_split(uu, vv, rng, side=side, aspect=aspect, irregular=rng.uniform(0.1, 0.6))
        follows = (np.arange(n_estates) % 3 == style)[estate]
        parcels[follows] = pattern[follows].astype(np.int64)
    parcels += (estate.astype(np.int64) + 1) * 1_000_003

    cover = kind[estate].astype(np.uint8)
    if rng.random() < 0.12:
        parcels, cover = _with_pivots(parcels, cover, rng, field_px)
    cover = _with_margins(parcels, cover, rng)
    cover = _with_roads(estate, cover, rng)
    return _finish(parcels, _with_nature(cover, x, y, rng))


def landscape_of_outlines(
    outlines: Sequence[object], shape: tuple[int, int], rng: np.random.Generator
) -> Landscape:
    """Real parcel outlines (shapely geometries in label pixels, x right, y down) in a generated setting.

    Every outline is taken over; what lies between them becomes one kind of land, with its own water, woods
    and villages.
    """
    from rasterio.features import rasterize

    x, y = _warped_coordinates(shape, rng)
    parcels = rasterize(
        [(outline, number) for number, outline in enumerate(outlines, 1)],
        out_shape=shape,
        fill=0,
        dtype="int32",
    ).astype(np.int64)
    between = rng.choice([OTHER_VEGETATION, WATER, WOODLAND, BARE, BUILT_UP], p=[0.5, 0.15, 0.1, 0.1, 0.15])
    cover = np.where(parcels > 0, PARCEL, between).astype(np.uint8)
    # Ground without parcels is not one thing: villages, woods and meadows share it.
    u, v = _rotated(x, y, rng.uniform(0, np.pi))
    patch = _recursive_split(u, v, rng, side=60.0, aspect=1.5, irregular=0.4)
    kinds = rng.choice(
        [between, OTHER_VEGETATION, WOODLAND, BUILT_UP], int(patch.max()) + 1, p=[0.4, 0.25, 0.15, 0.2]
    )
    open_ground = ndimage.binary_opening(parcels == 0, iterations=4)
    cover[open_ground] = kinds[patch][open_ground]
    return _finish(parcels, _with_nature(cover, x, y, rng, amount=0.4))


def smooth_noise(shape: tuple[int, int], scale_px: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Gaussian noise of unit variance that varies over about ``scale_px`` pixels."""
    step = max(1, int(scale_px / 2))
    coarse = rng.normal(size=(shape[0] // step + 4, shape[1] // step + 4)).astype(np.float32)
    coarse = ndimage.gaussian_filter(coarse, max(scale_px / step / 2, 0.5))
    fine = (
        ndimage.zoom(coarse, step, order=1)[: shape[0], : shape[1]]
        if step > 1
        else coarse[: shape[0], : shape[1]]
    )
    return fine / max(float(coarse.std()), 1e-6)


def _estate_weights(rng: np.random.Generator) -> NDArray[np.float64]:
    """Shares of parcels, water, woodland, built-up, other vegetation and bare ground."""
    if rng.random() < 0.12:  # a forest, a town, a marsh: landscapes almost without parcels
        return rng.dirichlet([0.15, 0.4, 1.0, 0.7, 0.8, 0.3])
    return rng.dirichlet([30, 0.5, 2.5, 1.5, 2.5, 0.5])


def _warped_coordinates(
    shape: tuple[int, int], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    amount = rng.choice([0.0, 2.0, 6.0, 14.0], p=[0.25, 0.3, 0.3, 0.15])
    scale = rng.uniform(60, 220)
    return x + amount * smooth_noise(shape, scale, rng), y + amount * smooth_noise(shape, scale, rng)


def _rotated(
    x: NDArray[np.float32], y: NDArray[np.float32], angle: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cos * x + sin * y, cos * y - sin * x


def _recursive_split(
    u: NDArray[np.float32],
    v: NDArray[np.float32],
    rng: np.random.Generator,
    *,
    side: float,
    aspect: float,
    irregular: float,
) -> NDArray[np.int32]:
    """Leaf number of every pixel in a random binary partition of the (u, v) plane.

    Cells are cut across their longer side, measured with ``v`` stretched by ``aspect``, until they are
    about ``side ** 2`` large; ``irregular`` (0..1) moves the cut away from the middle.
    """
    axis: list[int] = []
    cut: list[float] = []
    child: list[tuple[int, int]] = []

    def grow(u0: float, u1: float, v0: float, v1: float) -> int:
        node = len(axis)
        axis.append(-1)
        cut.append(0.0)
        child.append((0, 0))
        area = (u1 - u0) * (v1 - v0)
        stop = side**2 * np.exp(rng.normal(0.3, 0.5))
        if area <= stop or min(u1 - u0, v1 - v0) < 4:
            return node
        along_u = (u1 - u0) * aspect > (v1 - v0)
        share = float(np.clip(rng.normal(0.5, 0.18 * irregular + 0.03), 0.2, 0.8))
        if along_u:
            middle = u0 + share * (u1 - u0)
            left, right = grow(u0, middle, v0, v1), grow(middle, u1, v0, v1)
        else:
            middle = v0 + share * (v1 - v0)
            left, right = grow(u0, u1, v0, middle), grow(u0, u1, middle, v1)
        axis[node], cut[node], child[node] = (0 if along_u else 1), middle, (left, right)
        return node

    grow(float(u.min()) - 1, float(u.max()) + 1, float(v.min()) - 1, float(v.max()) + 1)
    return _descend(u, v, np.array(axis), np.array(cut, np.float32), np.array(child))


@njit(nogil=True, cache=True)
def _descend(u, v, axis, cut, child):  # type: ignore[no-untyped-def]
    leaf = np.empty(u.shape, np.int32)
    for row in range(u.shape[0]):
        for col in range(u.shape[1]):
            node = 0
            while axis[node] >= 0:
                value = u[row, col] if axis[node] == 0 else v[row, col]
                node = child[node, 1] if value > cut[node] else child[node, 0]
            leaf[row, col] = node
    return leaf


def _voronoi(
    u: NDArray[np.float32], v: NDArray[np.float32], rng: np.random.Generator, side: float
) -> NDArray[np.int32]:
    from scipy.spatial import cKDTree

    stretch = rng.uniform(1, 2.5)
    low, high = (u.min(), v.min()), (u.max(), v.max())
    n = int((high[0] - low[0]) * (high[1] - low[1]) / side**2) + 4
    points = rng.uniform(low, high, size=(n, 2)) * (1, stretch)
    _, nearest = cKDTree(points).query(np.stack([u.ravel(), v.ravel() * stretch], 1))
    return nearest.reshape(u.shape).astype(np.int32)


def _with_pivots(
    parcels: NDArray[np.int64], cover: NDArray[np.uint8], rng: np.random.Generator, field_px: float
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Centre-pivot circles on a lattice, on land that holds parcels."""
    radius = float(np.clip(field_px * rng.uniform(1.0, 2.0), 20, 80))
    pitch = 2 * radius * rng.uniform(1.02, 1.3)
    row, col = np.ogrid[: parcels.shape[0], : parcels.shape[1]]
    cell_row, cell_col = (row // pitch).astype(np.int64), (col // pitch).astype(np.int64)
    distance = np.hypot(row - (cell_row + 0.5) * pitch, col - (cell_col + 0.5) * pitch)
    chosen = rng.random((int(cell_row.max()) + 1, int(cell_col.max()) + 1)) < 0.6
    inside = (distance < radius) & chosen[cell_row, cell_col] & (cover == PARCEL)
    parcels, cover = parcels.copy(), cover.copy()
    parcels[inside] = (-1 - (cell_row * 100_000 + cell_col))[inside]
    corner = (distance >= radius) & chosen[cell_row, cell_col] & (cover == PARCEL)
    if rng.random() < 0.6:
        cover[corner] = rng.choice([OTHER_VEGETATION, BARE])
    return parcels, cover


def _edges(labels: NDArray[np.integer], width_px: int) -> NDArray[np.bool_]:
    """Pixels within about ``width_px / 2`` of a change of label; empty for 0."""
    edge = np.zeros(labels.shape, bool)
    if width_px == 0:
        return edge
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edge[1:] |= labels[1:] != labels[:-1]
    return ndimage.binary_dilation(edge, iterations=width_px // 2) if width_px > 1 else edge


def _with_margins(
    parcels: NDArray[np.int64], cover: NDArray[np.uint8], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Grass margins, hedges or ditches along some of the field borders; most neighbours simply touch."""
    cover = cover.copy()
    share = rng.choice([0.0, 0.2, 0.6], p=[0.4, 0.35, 0.25])
    if share:
        some = smooth_noise(parcels.shape, 40, rng) < np.quantile(rng.normal(size=999), share)
        kind = rng.choice([OTHER_VEGETATION, WOODLAND, WATER], p=[0.65, 0.25, 0.1])
        edge = _edges(parcels, int(rng.choice([1, 2], p=[0.7, 0.3]))) & some & (cover == PARCEL)
        cover[edge] = kind
    return cover


def _with_roads(
    estate: NDArray[np.int32], cover: NDArray[np.uint8], rng: np.random.Generator
) -> NDArray[np.uint8]:
    cover = cover.copy()
    width = int(rng.choice([0, 1, 2, 3, 4], p=[0.15, 0.3, 0.3, 0.15, 0.1]))
    kind = rng.choice([BARE, BUILT_UP, OTHER_VEGETATION], p=[0.4, 0.3, 0.3])
    cover[_edges(estate, width)] = kind
    return cover


def _with_nature(
    cover: NDArray[np.uint8],
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    rng: np.random.Generator,
    *,
    amount: float = 1.0,
) -> NDArray[np.uint8]:
    """Woods and waters that follow no estate: smooth blobs, lakes, rivers, single trees."""
    cover = cover.copy()
    shape = cover.shape
    if rng.random() < 0.5 * amount:
        rough = smooth_noise(shape, rng.uniform(60, 200), rng) + 0.15 * smooth_noise(shape, 8, rng)
        cover[rough > rng.uniform(1.1, 2.2)] = WOODLAND
    if rng.random() < 0.25 * amount:
        cover[smooth_noise(shape, rng.uniform(80, 250), rng) > rng.uniform(1.5, 2.5)] = WATER
    if rng.random() < 0.35 * amount:
        across, along = _rotated(x, y, rng.uniform(0, np.pi))
        bend = smooth_noise((1, shape[0] + shape[1]), 60, rng)[0] * rng.uniform(4, 25)
        position = np.clip((along - along.min()).astype(np.int64), 0, len(bend) - 1)
        away = np.abs(across - rng.uniform(across.min(), across.max()) + bend[position])
        width = rng.uniform(1, 14)
        cover[away < width + rng.uniform(0, 8)] = rng.choice([WOODLAND, OTHER_VEGETATION])
        cover[away < width] = WATER
    if rng.random() < 0.12 * amount:  # a coast
        across, _ = _rotated(x, y, rng.uniform(0, 2 * np.pi))
        line = np.quantile(across, rng.uniform(0.5, 0.9)) + 12 * smooth_noise(shape, 70, rng)
        cover[across > line] = WATER
        cover[(across <= line) & (across > line - rng.uniform(0, 20))] = rng.choice([BARE, OTHER_VEGETATION])
    if rng.random() < 0.4 * amount:
        trees = ndimage.binary_dilation(rng.random(shape) < 2e-4, iterations=int(rng.integers(1, 4)))
        cover[trees & (cover == PARCEL)] = WOODLAND
    return cover


def _finish(parcels: NDArray[np.int64], cover: NDArray[np.uint8]) -> Landscape:
    """Number connected parcels; crumbs that no one would draw become other vegetation."""
    _, compact = np.unique(np.where(cover == PARCEL, parcels, np.iinfo(np.int64).min), return_inverse=True)
    numbered = compact.reshape(parcels.shape).astype(np.uint32) + 1
    numbered[cover != PARCEL] = 0
    pieces = cc3d.connected_components(numbered, connectivity=4)
    size = np.bincount(pieces.ravel())
    keep = size >= SMALLEST_PARCEL_PX
    keep[0] = False
    number = np.cumsum(keep) * keep
    cover = cover.copy()
    cover[(pieces > 0) & ~keep[pieces]] = OTHER_VEGETATION
    return Landscape(instances=number[pieces].astype(np.int32), cover=cover)
