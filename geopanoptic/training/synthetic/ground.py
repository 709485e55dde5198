"""The ground as it is before a sensor sees it: reflectance in ten bands on the pixels of a landscape.

Crops lie close to the line from bare soil to dense leaf: parcels of one crop differ by vigour along it. Soils
run on below parcels, so that their patches cross borders; rows, tramlines and headlands follow the parcel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geopanoptic.training.synthetic.landscape import (
    BARE,
    BUILT_UP,
    OTHER_VEGETATION,
    WATER,
    WOODLAND,
    Landscape,
)
from geopanoptic.training.synthetic.noise import smooth_noise
from geopanoptic.training.synthetic.partition import border_chance
from geopanoptic.training.synthetic.spectra import BANDS, mixtures

LEAF = np.array([-0.6, -0.3, -1.0, -0.4, 0.5, 0.8, 0.8, 0.8, -0.4, -0.8], np.float32)
"""Change of log reflectance with vigour: red and short infrared fall while near infrared rises."""
_INVISIBLE = 0.07  # difference of log reflectance, root mean square, below which a border needs a furrow
_COLOURED = slice(0, 7, 2)  # blue, red, rededge2 and nir tell crops apart

Reflectance = NDArray[np.float32]


def ground(
    landscape: Landscape, rng: np.random.Generator, *, month: int, alike_edges: float = 1.0
) -> Reflectance:
    """Reflectance (10, h, w) of a landscape on its own pixels in a month (1..12) of the north; ``alike_edges`` as of
    ``synthesize``."""
    cover = landscape.cover
    fine = _parcels(landscape, rng, month, alike_edges)
    paint = _Painter(fine, landscape.pixel_m, month, rng)
    paint.patches(cover == OTHER_VEGETATION, "shrub" if rng.random() < 0.2 else "grass", 25, 0.12)
    paint.patches(cover == WOODLAND, "woodland", 14, 0.16)
    paint.patches(cover == WATER, "water", 300, 0.05)
    paint.patches(cover == BARE, "bare", 30, 0.10)
    paint.town(cover == BUILT_UP)
    paint.shadows(cover == WOODLAND)
    return fine


def _parcels(landscape: Landscape, rng: np.random.Generator, month: int, alike_edges: float) -> Reflectance:
    instances = landscape.instances
    shape = instances.shape
    n = int(instances.max()) + 1
    log_mean, leafy = _crops(landscape, rng, month, n)
    vigour = unevenness(landscape, rng)
    soil, strength = soil_under(landscape, rng)
    brightness = (strength * (1 - leafy)).astype(np.float32)[instances] * soil
    strength_of_furrow = furrow_strength(rng)
    furrow = furrows(
        instances,
        log_mean,
        strength=strength_of_furrow,
        often=rng.uniform(0, 0.25),
        where_alike=alike_edges,
    )
    fine = np.empty((len(BANDS), *shape), np.float32)
    for band, leaf in enumerate(LEAF):
        np.exp(
            log_mean[:, band].astype(np.float32)[instances] + leaf * (vigour + furrow) + brightness,
            out=fine[band],
        )
    return fine


def unevenness(
    landscape: Landscape, rng: np.random.Generator, orchard: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Vigour (h, w) within parcels, along the line from soil to leaf: patches, gradients, rows, headlands.

    ``orchard`` (n + 1,) says which parcels have crowns of trees or vines; by the landscape's character if None.
    """
    instances, pixel_m = landscape.instances, landscape.pixel_m
    shape = instances.shape
    n = int(instances.max()) + 1
    vigour = np.zeros(shape, np.float32)
    uneven = np.abs(rng.normal(0, rng.uniform(0.03, 0.12), n)).astype(np.float32)
    vigour += uneven[instances] * smooth_noise(shape, rng.uniform(30, 90) / pixel_m, rng)
    vigour += 0.8 * uneven[instances] * smooth_noise(shape, rng.uniform(150, 400) / pixel_m, rng)
    grain = np.abs(rng.normal(0, 0.03, n)).astype(np.float32)
    vigour += grain[instances] * smooth_noise(shape, 12 / pixel_m, rng)
    across_m, inside_m = _across_and_inside(instances, pixel_m)
    if rng.random() < 0.5:
        depth_m = rng.uniform(8, 22)
        headland = np.where(rng.random(n) < 0.4, rng.normal(0, 0.12, n), 0).astype(np.float32)
        vigour += headland[instances] * (inside_m < depth_m)
    if rng.random() < 0.7:
        vigour += _rows(instances, across_m, n, rng)
    if orchard is None:
        orchard = rng.random(n) < landscape.character.orchards
    if orchard.any():
        crowns = smooth_noise(shape, 9 / pixel_m, rng)
        vigour += (orchard * rng.uniform(0.03, 0.14, n)).astype(np.float32)[instances] * crowns
    return vigour


def soil_under(landscape: Landscape, rng: np.random.Generator) -> tuple[NDArray[np.float32], float]:
    """Brightness (h, w) of the soil, which runs on below borders, and how strongly it shows where it is bare."""
    shape, pixel_m = landscape.instances.shape, landscape.pixel_m
    soil = smooth_noise(shape, rng.uniform(120, 500) / pixel_m, rng)
    soil += 0.5 * smooth_noise(shape, rng.uniform(30, 80) / pixel_m, rng)
    return soil, float(rng.uniform(0.02, 0.16))


def leafiness(log_mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """How leafy ground of a log reflectance (..., 10) is, 0..1, by its vegetation index."""
    red, nir = np.exp(log_mean[..., BANDS.index("red")]), np.exp(log_mean[..., BANDS.index("nir")])
    return np.asarray(np.clip(((nir - red) / (nir + red) - 0.15) / 0.6, 0, 1))


def choices(
    instances: NDArray[np.int32], share: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.intp]:
    """What every parcel (and 0) grows, (n + 1,) of 0..k - 1: as often as ``share`` (k,), neighbours often alike."""
    # The field of preference has one pixel for about a dozen of the landscape's.
    step = 12
    coarse = tuple(length // step + 1 for length in instances.shape)
    n = int(instances.max()) + 1
    centre = np.zeros((n, 2), np.intp)
    for number, window in enumerate(ndimage.find_objects(instances), 1):
        centre[number] = [(side.start + side.stop) // 2 // step for side in window]
    local = rng.uniform(0, 1.2)
    score = np.log(share + 1e-9) + rng.gumbel(size=(n, len(share)))
    for kind in range(len(share)):
        score[:, kind] += local * smooth_noise(coarse, 8, rng)[tuple(centre.T)]
    return np.asarray(score.argmax(1))


def _crops(
    landscape: Landscape, rng: np.random.Generator, month: int, n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log reflectance (n, 10) of every parcel, and how leafy it is (n,), 0..1.

    A region grows a few crops in a few stages; neighbours grow the same more often than chance has it.
    """
    character = landscape.character
    crops = mixtures()["crop"].draw(rng, int(rng.integers(3, 9)), month=month, spread=0.7)
    meadows = mixtures()["grass"].draw(rng, 2, month=month, spread=0.6)
    prototype = np.log(np.concatenate([crops, meadows]))
    share = rng.dirichlet(np.full(len(crops), 1.2))
    grassland = np.clip(character.grassland * rng.gamma(3, 1 / 3), 0.01, 0.97)
    share = np.concatenate([(1 - grassland) * share, grassland * rng.dirichlet([1, 1])])
    log_mean = prototype[choices(landscape.instances, share, rng)]

    vigour = rng.normal(0, rng.uniform(0.04, 0.16), (n, 1))
    light = rng.normal(0, rng.uniform(0.01, 0.06), (n, 1))
    tint = rng.normal(0, 0.015, (n, len(BANDS)))
    log_mean = np.clip(log_mean + vigour * LEAF + light + tint, np.log(1e-3), 0)
    return log_mean, leafiness(log_mean)


def furrow_strength(rng: np.random.Generator) -> float:
    """Vigour of a furrow, more often a dark line than a green one."""
    return float(rng.uniform(0.2, 0.5) * rng.choice([-1, 1], p=[0.6, 0.4]))


def furrows(
    instances: NDArray[np.int32],
    log_mean: NDArray[np.float64],
    *,
    strength: float,
    often: float,
    where_alike: float = 1.0,
) -> NDArray[np.float32]:
    """Vigour (h, w) of the line between parcels that touch.

    A share ``often`` of borders has one, and of those between parcels that look alike (by ``log_mean``
    (n + 1, 10)) a share ``where_alike``: the same borders in every call.
    """
    furrow = np.zeros(instances.shape, np.float32)
    for axis in (0, 1):
        here, there = (
            instances[:-1] if axis == 0 else instances[:, :-1],
            instances[1:] if axis == 0 else instances[:, 1:],
        )
        place = np.nonzero((here != there) & (here > 0) & (there > 0))
        a, b = here[place], there[place]
        difference = (log_mean[a] - log_mean[b])[:, _COLOURED]
        alike = np.sqrt(np.mean(difference**2, axis=1)) < _INVISIBLE
        # The same number all along a border, without a table of borders.
        chance = np.modf(np.abs(np.sin(a.astype(np.float64) * 12.9898 + b * 78.233)) * 43758.5453)[0]
        furrow[place] = np.where(chance < np.where(alike, where_alike, often), strength, 0)
    return furrow


def _across_and_inside(
    instances: NDArray[np.int32], pixel_m: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Metres across the long axis of the parcel, and metres from its border, of every pixel."""
    row, col = (np.arange(length, dtype=np.float32) * np.float32(pixel_m) for length in instances.shape)
    y_m, x_m = np.broadcast_to(row[:, None], instances.shape), np.broadcast_to(col, instances.shape)
    flat = instances.ravel()
    size = np.maximum(np.bincount(flat), 1)
    x, y, xx, yy, xy = (
        np.bincount(flat, each.ravel()) / size for each in (x_m, y_m, x_m * x_m, y_m * y_m, x_m * y_m)
    )
    along = 0.5 * np.arctan2(2 * (xy - x * y), (xx - x * x) - (yy - y * y))
    sin, cos = np.sin(along).astype(np.float32), np.cos(along).astype(np.float32)
    inside_m = ndimage.distance_transform_edt(border_chance(instances, 0) > 1).astype(np.float32) * pixel_m
    return cos[instances] * y_m - sin[instances] * x_m, inside_m


def _rows(
    instances: NDArray[np.int32], across_m: NDArray[np.float32], n: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Tramlines and tillage along the parcel, of 15 to 60 m, seen in some parcels; never quite regular."""
    period_m = rng.uniform(15, 60, n).astype(np.float32)
    strength = np.where(rng.random(n) < rng.uniform(0.1, 0.7), rng.gamma(2, 0.02, n), 0).astype(np.float32)
    phase = across_m / period_m[instances]
    return strength[instances] * (
        np.sin(2 * np.pi * phase) + 0.6 * np.sin(2 * np.pi * 0.37 * phase + 1)
    ).astype(np.float32)


class _Painter:
    """Paints cover over ``fine`` (10, h, w), in place."""

    def __init__(self, fine: Reflectance, pixel_m: float, month: int, rng: np.random.Generator) -> None:
        self.fine, self.pixel_m, self.month, self.rng = fine, pixel_m, month, rng

    def noise(self, scale_m: float) -> NDArray[np.float32]:
        return smooth_noise(self.fine.shape[1:], scale_m / self.pixel_m, self.rng)

    def patches(self, where: NDArray[np.bool_], kind: str, grain_m: float, contrast: float) -> None:
        """Two spectra of a kind blended by patches, under texture of the given grain."""
        if not where.any():
            return
        rng = self.rng
        a, b = mixtures()[kind].draw(rng, 2, month=self.month, spread=0.6)
        blend = 1 / (1 + np.exp(-3 * self.noise(max(grain_m * 8, 150))[where]))
        texture = self.noise(grain_m)[where] + 0.7 * self.noise(4 * grain_m)[where]
        texture = np.exp(contrast * rng.uniform(0.4, 1.2) * texture)
        for band in range(len(BANDS)):
            self.fine[band][where] = (a[band] * blend + b[band] * (1 - blend)) * texture

    def town(self, where: NDArray[np.bool_]) -> None:
        """Roofs of a few colours, streets and gardens, ten metres and more each; the edges are greener."""
        if not where.any():
            return
        rng, kinds = self.rng, mixtures()
        depth = ndimage.distance_transform_edt(where)[where] * self.pixel_m
        dense = self.noise(11)[where] + 0.3 * np.minimum(depth / 60, 1) - rng.uniform(-0.5, 0.3)
        built = kinds["built-up"].draw(rng, 4, month=self.month)
        green = kinds["grass"].draw(rng, 1, month=self.month, spread=0.6)[0]
        trees = kinds["woodland"].draw(rng, 1, month=self.month, spread=0.6)[0]
        kind = np.clip(np.floor(self.noise(25)[where] * 1.2 + 2), 0, 3).astype(np.int64)
        light = np.exp(0.3 * self.noise(14)[where])
        wooded = self.noise(18)[where] > 0.4
        is_road = ~ndimage.binary_opening(
            where, np.ones((2, 2)), iterations=max(round(15 / self.pixel_m), 1)
        )[where]
        kind[is_road], light[is_road] = 0, 1
        is_built = (dense > 0) | is_road
        for band in range(len(BANDS)):
            garden = np.where(wooded, trees[band], green[band])
            self.fine[band][where] = np.where(is_built, built[kind, band] * light, garden)

    def shadows(self, woods: NDArray[np.bool_]) -> None:
        """A dark rim on the north side of woods."""
        if self.rng.random() < 0.4 or not woods.any():
            return
        length = round(self.rng.uniform(4, 16) / self.pixel_m)
        step = (-length, int(self.rng.integers(-length, length + 1)))
        shade = np.roll(woods, step, (0, 1)) & ~woods
        self.fine[:, shade] *= np.float32(self.rng.uniform(0.5, 0.85))
