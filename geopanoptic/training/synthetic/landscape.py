"""Landscapes as label maps: parcels with real or procedural outlines, and the stuff between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geopanoptic.training.synthetic.characters import CHARACTERS, Character, character_of
from geopanoptic.training.synthetic.noise import along_a_line, smooth_noise
from geopanoptic.training.synthetic.partition import Cutting, border_chance, partition

PARCEL, WATER, WOODLAND, BUILT_UP, OTHER_VEGETATION, BARE = range(6)
"""Class indices in the order of the default bundle's classes."""

LABEL_PIXEL_M = 5.0
"""Pixel of a landscape under a 10 m image."""

SMALLEST_PARCEL_PX = 16
_CRUMB_SHARE = 0.12  # of the median parcel: what blocks cut off smaller than this joins its neighbour

_RAGGED_M = 25.0  # unevenness of the edge of a village
_BORDER_WIDTH_M = {"track": (4, 9), "grass": (3, 8), "hedge": (5, 14), "ditch": (3, 8)}
_BORDER_COVER = {
    "track": (BARE, OTHER_VEGETATION, BUILT_UP),
    "grass": (OTHER_VEGETATION,),
    "hedge": (WOODLAND,),
    "ditch": (WATER,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Landscape:
    """``instances`` (h, w) int32: parcels 1..n, 0 elsewhere; ``cover`` (h, w) uint8: class index.

    ``pixel_m`` is the side of their pixels, half of an image pixel; ``character`` how it was laid out.
    """

    instances: NDArray[np.int32]
    cover: NDArray[np.uint8]
    pixel_m: float = LABEL_PIXEL_M
    character: Character = CHARACTERS["mosaic"]


def procedural_landscape(
    shape: tuple[int, int],
    rng: np.random.Generator,
    *,
    character: str | None = None,
    pixel_m: float = LABEL_PIXEL_M,
) -> Landscape:
    """Blocks between tracks, each cut into parcels of its own size, shape and direction.

    ``shape`` and ``pixel_m`` are those of the labels; ``character`` is a name in ``CHARACTERS``, random if
    None. Parcels that touch have no pixel between them; most neighbours touch.
    """
    kind = character_of(character, rng)
    x_m, y_m = _bent_ground(shape, rng, kind.bend_m, pixel_m)
    area_m2 = 1e4 * kind.parcel_ha * float(np.exp(rng.normal(0, 0.3)))
    angle = rng.uniform(0, np.pi)
    block = _blocks(x_m, y_m, rng, kind=kind, area_m2=area_m2 * kind.block_parcels, angle=angle)
    n = int(block.max()) + 1
    turn = rng.choice([0, np.pi / 2], n) + rng.normal(0, kind.turned, n)
    is_pivot = rng.random(n) < kind.pivots
    cell = partition(
        x_m,
        y_m,
        block,
        Cutting(
            angle=angle + turn,
            skew=rng.normal(0, 0.25 * kind.irregular, n),
            area_m2=area_m2 * np.exp(rng.normal(0, 0.4, n)) * np.where(is_pivot, 4, 1),
            spread=np.full(n, kind.spread),
            aspect=np.where(is_pivot, 1.0, rng.choice(kind.aspects, n) * np.exp(rng.normal(0, 0.15, n))),
            irregular=kind.irregular * rng.uniform(0.3, 1.7, n),
            is_pivot=is_pivot,
        ),
        rng,
    )
    others = np.array([kind.woods, kind.built_up, kind.other_vegetation]) * rng.gamma(2, 0.5, 3)
    weights = np.array([max(1 - others.sum(), 0.02), 0.004, *others, 0.006])
    cover = rng.choice(6, n, p=weights / weights.sum()).astype(np.uint8)[block]
    if rng.random() < 0.6:
        cover[(cell % 2 == 1) & (cover == PARCEL)] = rng.choice([OTHER_VEGETATION, BARE])
    _draw_borders(cover, np.where(cover == PARCEL, cell, -1), kind.parcel_borders, rng, pixel_m)
    _draw_borders(cover, block, kind.block_borders, rng, pixel_m)
    _draw_nature(cover, x_m, y_m, rng, amount=kind.nature, pixel_m=pixel_m)
    _draw_settlements(cover, x_m, y_m, rng, per_km2=kind.villages_km2, pixel_m=pixel_m)
    crumb_px = max(SMALLEST_PARCEL_PX, int(_CRUMB_SHARE * area_m2 / pixel_m**2))
    instances, cover = _numbered(cell, cover, crumb_px)
    return Landscape(instances=instances, cover=cover, pixel_m=pixel_m, character=kind)


def landscape_of_outlines(
    outlines: Sequence[object],
    shape: tuple[int, int],
    rng: np.random.Generator,
    *,
    pixel_m: float = LABEL_PIXEL_M,
    nature: float = 0.4,
) -> Landscape:
    """Real parcel outlines (shapely geometries in label pixels, x right, y down) in a generated setting.

    Every outline is taken over; what lies between them becomes other land. ``nature`` is how likely water
    and woods are that lie over parcels: 0 keeps every outline whole.
    """
    from rasterio.features import rasterize

    x_m, y_m = _bent_ground(shape, rng, 15, pixel_m)
    numbered = [(outline, number) for number, outline in enumerate(outlines, 1)]
    parcels = rasterize(numbered, out_shape=shape, dtype="int32") if numbered else np.zeros(shape, np.int32)
    between = rng.choice([OTHER_VEGETATION, WATER, WOODLAND, BARE, BUILT_UP], p=[0.5, 0.15, 0.1, 0.1, 0.15])
    cover = np.where(parcels > 0, PARCEL, between).astype(np.uint8)
    # Ground without parcels is not one thing: villages, woods and meadows share it.
    patch = _blocks(x_m, y_m, rng, kind=CHARACTERS["mosaic"], area_m2=9e4, angle=rng.uniform(0, np.pi))
    kinds = rng.choice(
        [between, OTHER_VEGETATION, WOODLAND, BUILT_UP], int(patch.max()) + 1, p=[0.4, 0.25, 0.15, 0.2]
    )
    open_ground = ndimage.binary_opening(parcels == 0, iterations=4)
    cover[open_ground] = kinds[patch][open_ground]
    if nature:
        _draw_nature(cover, x_m, y_m, rng, amount=nature, pixel_m=pixel_m)
    instances, cover = _numbered(parcels, cover, SMALLEST_PARCEL_PX, join=False)
    return Landscape(instances=instances, cover=cover, pixel_m=pixel_m)


def _bent_ground(
    shape: tuple[int, int], rng: np.random.Generator, bend_m: float, pixel_m: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """x and y of every pixel in metres, bent: straight lines in them are winding on the ground."""
    y_m, x_m = np.mgrid[: shape[0], : shape[1]].astype(np.float32) * np.float32(pixel_m)
    amount = np.float32(bend_m * rng.gamma(1.5, 0.7))
    scale_px = max(rng.uniform(400, 1200), 8 * bend_m) / pixel_m
    return x_m + amount * smooth_noise(shape, scale_px, rng), y_m + amount * smooth_noise(
        shape, scale_px, rng
    )


def _blocks(
    x_m: NDArray[np.float32],
    y_m: NDArray[np.float32],
    rng: np.random.Generator,
    *,
    kind: Character,
    area_m2: float,
    angle: float,
) -> NDArray[np.int32]:
    """Numbers 0.. of the blocks that all ground is divided into."""
    cell = partition(
        x_m,
        y_m,
        np.zeros(x_m.shape, np.int32),
        Cutting(
            angle=np.array([angle]),
            skew=rng.normal(0, 0.2 * kind.irregular, 1),
            area_m2=np.array([area_m2]),
            spread=np.array([0.5]),
            aspect=np.array([1.5]),
            irregular=np.array([min(kind.irregular * 1.5, 1.0)]),
            is_pivot=np.array([False]),
        ),
        rng,
    )
    number = np.zeros(int(cell.max()) + 1, np.int32)
    number[cell.ravel()] = 1
    return (np.cumsum(number) - 1).astype(np.int32)[cell]


def _draw_borders(
    cover: NDArray[np.uint8],
    labels: NDArray[np.int32],
    shares: Mapping[str, float],
    rng: np.random.Generator,
    pixel_m: float,
) -> None:
    """Tracks, margins, hedges and ditches along some borders of ``labels``; -1 has none."""
    chance = border_chance(labels + 1, int(rng.integers(2**31)))
    low = 0.0
    for name, share in shares.items():
        # Countries differ more than their character says.
        high = low + min(share * float(rng.gamma(4, 0.25)), 0.95 - low)
        width_m = rng.uniform(*_BORDER_WIDTH_M[name])
        if width_m > 0.4 * pixel_m:
            edge = (chance >= low) & (chance < high)
            wider = round((width_m / pixel_m - 1) / 2)
            if wider > 0:
                edge = ndimage.binary_dilation(edge, iterations=wider)
            cover[edge] = rng.choice(_BORDER_COVER[name])
        low = high


def _draw_nature(
    cover: NDArray[np.uint8],
    x_m: NDArray[np.float32],
    y_m: NDArray[np.float32],
    rng: np.random.Generator,
    *,
    amount: float,
    pixel_m: float,
) -> None:
    """Woods and waters that follow no block: smooth blobs, lakes, streams, rivers, coasts, single trees."""
    shape = cover.shape
    if rng.random() < 0.45 * amount:
        rough = smooth_noise(shape, rng.uniform(300, 1000) / pixel_m, rng)
        rough += 0.15 * smooth_noise(shape, 40 / pixel_m, rng)
        cover[rough > rng.uniform(1.1, 2.2)] = WOODLAND
    if rng.random() < 0.15 * amount:
        lake = smooth_noise(shape, rng.uniform(400, 1200) / pixel_m, rng)
        cover[lake > rng.uniform(1.6, 2.6)] = WATER
    for _ in range(rng.poisson(0.6 * amount)):
        away_m = np.abs(along_a_line(x_m, y_m, rng, bend_m=rng.uniform(10, 120)))
        width_m = np.exp(rng.uniform(np.log(2), np.log(80)))
        bank = rng.choice([WOODLAND, OTHER_VEGETATION])
        cover[away_m < width_m + rng.uniform(3, 40)] = bank
        cover[away_m < width_m] = WATER
    if rng.random() < 0.05 * amount:
        line_m = along_a_line(x_m, y_m, rng, bend_m=150) + 60 * smooth_noise(shape, 350 / pixel_m, rng)
        cover[line_m > 0] = WATER
        cover[(line_m <= 0) & (line_m > -rng.uniform(5, 100))] = rng.choice([BARE, OTHER_VEGETATION])
    if rng.random() < 0.4 * amount:
        trees = rng.random(shape) < rng.uniform(0.2, 3) * 1e-6 * pixel_m**2
        trees = ndimage.binary_dilation(trees, iterations=max(1, round(rng.uniform(4, 12) / pixel_m)))
        cover[trees & (cover == PARCEL)] = WOODLAND


def _draw_settlements(
    cover: NDArray[np.uint8],
    x_m: NDArray[np.float32],
    y_m: NDArray[np.float32],
    rng: np.random.Generator,
    *,
    per_km2: float,
    pixel_m: float,
) -> None:
    """Roads through the country, villages and farmyards."""
    shape = cover.shape
    is_land = cover != WATER
    extent_km2 = cover.size * pixel_m**2 / 1e6
    ragged_m = _RAGGED_M * smooth_noise(shape, 60 / pixel_m, rng)
    road_width_m = rng.uniform(5, 13)
    nearest_road_m = np.full(shape, np.inf, np.float32)
    for _ in range(rng.poisson(0.35 + 0.12 * np.sqrt(extent_km2))):
        away_m = np.abs(along_a_line(x_m, y_m, rng, bend_m=rng.uniform(5, 60)))
        nearest_road_m = np.minimum(nearest_road_m, away_m)
    for _ in range(rng.poisson(per_km2 * extent_km2)):
        # Farmyards are many, villages few; villages stretch along the road.
        radius_m = rng.uniform(15, 45) if rng.random() < 0.7 else rng.uniform(80, 350)
        row, col = (int(rng.integers(length)) for length in shape)
        reach_px = int(1.5 * (radius_m + 4 * _RAGGED_M) / pixel_m) + 1
        near = (
            slice(max(row - reach_px, 0), row + reach_px + 1),
            slice(max(col - reach_px, 0), col + reach_px + 1),
        )
        away_m = np.hypot(x_m[near] - x_m[row, col], y_m[near] - y_m[row, col]) + ragged_m[near]
        if radius_m > 80:
            away_m += np.minimum(nearest_road_m[near], 400) * rng.uniform(0, 1)
        cover[near][(away_m < radius_m) & is_land[near]] = BUILT_UP
    if road_width_m > 0.6 * pixel_m:
        cover[(2 * nearest_road_m < road_width_m) & is_land] = BUILT_UP


def _numbered(
    labels: NDArray[np.int32], cover: NDArray[np.uint8], crumb_px: int, *, join: bool = True
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Parcels as 4-connected pieces 1..n; crumbs join the neighbour they touch most, or become vegetation."""
    cover = cover.copy()
    wanted = np.where(cover == PARCEL, labels.astype(np.int64) + 1, 0).astype(np.uint32)
    pieces = cc3d.connected_components(wanted, connectivity=4).astype(np.int64)
    size_px = np.bincount(pieces.ravel())
    crumb = size_px < crumb_px
    crumb[0] = False
    if join and crumb.any():
        pieces = _joined(pieces, crumb)[pieces]
        size_px = np.bincount(pieces.ravel(), minlength=len(size_px))
    keep = size_px >= SMALLEST_PARCEL_PX
    keep[0] = False
    cover[(pieces > 0) & ~keep[pieces]] = OTHER_VEGETATION
    return (np.cumsum(keep) * keep).astype(np.int32)[pieces], cover


def _joined(pieces: NDArray[np.int64], crumb: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For every piece the piece it becomes part of: itself, or for a crumb its whole neighbour."""
    sides = [(pieces[:, 1:], pieces[:, :-1]), (pieces[1:], pieces[:-1])]
    pairs = np.concatenate([np.stack([a[a != b], b[a != b]], 1) for a, b in sides])
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    pairs = pairs[crumb[pairs[:, 0]] & ~crumb[pairs[:, 1]] & (pairs[:, 1] > 0)]
    key, contact_px = np.unique(pairs[:, 0] * len(crumb) + pairs[:, 1], return_counts=True)
    order = np.argsort(contact_px, kind="stable")  # the longest contact is written last
    becomes = np.arange(len(crumb))
    becomes[key[order] // len(crumb)] = key[order] % len(crumb)
    return becomes
