"""Painting a landscape: ten-band reflectance as a 10 m sensor would see it."""

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
    smooth_noise,
)
from geopanoptic.training.synthetic.spectra import BANDS, mixtures

COARSE_BANDS = tuple(BANDS.index(name) for name in BANDS if name not in ("blue", "green", "red", "nir"))
"""Bands that Sentinel-2 records at 20 m."""


def paint(landscape: Landscape, rng: np.random.Generator) -> NDArray[np.float32]:
    """Reflectance (10, h / 2, w / 2) float32 of a landscape drawn at twice the image resolution."""
    shape = landscape.cover.shape
    fine = _ground(landscape, rng)
    blur = rng.uniform(0.6, 1.5)
    image = np.empty((len(BANDS), shape[0] // 2, shape[1] // 2), np.float32)
    for band in range(len(BANDS)):
        coarse = band in COARSE_BANDS
        seen = ndimage.gaussian_filter(fine[band], blur * (1.8 if coarse else 1.0))
        image[band] = (
            seen[: shape[0] // 2 * 2, : shape[1] // 2 * 2]
            .reshape(shape[0] // 2, 2, shape[1] // 2, 2)
            .mean((1, 3))
        )
    noise = rng.uniform(0.002, 0.015)
    image *= 1 + noise * np.asarray(rng.normal(size=image.shape), np.float32)
    image += 0.001 * np.asarray(rng.normal(size=image.shape), np.float32)
    if rng.random() < 0.25:
        # Haze: additive, strongest at short wavelengths, uneven over the scene.
        veil = rng.uniform(0.0, 0.06) * (1 + 0.5 * np.tanh(smooth_noise(image.shape[1:], 120, rng)))
        falloff = np.array([1, 0.75, 0.55, 0.45, 0.38, 0.33, 0.3, 0.28, 0.1, 0.06], np.float32)
        image += falloff[:, None, None] * veil
    return np.clip(image, 0.0005, 1.2)


def normalise(image: NDArray[np.float32], rng: np.random.Generator | None = None) -> NDArray[np.float32]:
    """The model's input range: 0 at the 2nd, 1 at the 98th percentile of each band, clipped to -1..2.

    With ``rng`` the percentiles wander as they do between a scene and the crops within it.
    """
    low, high = np.percentile(image.reshape(len(image), -1), (2, 98), axis=1)
    span = np.maximum(high - low, 1e-4)
    if rng is not None:
        low, high = low - span * rng.uniform(-0.05, 0.15), high + span * rng.uniform(-0.1, 0.5)
    span = np.maximum(high - low, 1e-4)
    return np.clip((image - low[:, None, None]) / span[:, None, None], -1, 2).astype(np.float32)


def _ground(landscape: Landscape, rng: np.random.Generator) -> NDArray[np.float32]:
    """Reflectance at label resolution, (10, h, w)."""
    cover, instances = landscape.cover, landscape.instances
    shape = cover.shape
    kinds = mixtures()
    fine = np.empty((len(BANDS), *shape), np.float32)

    # One season: a handful of crop states occur, some of them in most fields.
    crop, grass = kinds["crop"], kinds["grass"]
    n = int(instances.max()) + 1
    palette = rng.choice(len(crop.weight), size=int(rng.integers(2, 7)), replace=False)
    prototype = np.concatenate(
        [crop.draw(rng, 1, components=palette[i : i + 1]) for i in range(len(palette))]
        + [grass.draw(rng, 1, components=rng.choice(len(grass.weight), 1)) for _ in range(2)]
    )
    share = rng.dirichlet(np.full(len(prototype), 0.8))
    if rng.random() < 0.15:  # grassland country: 98 % of Dutch parcels of the wet west
        share[-1] += 3
        share /= share.sum()
    which = rng.choice(len(prototype), n, p=share)
    vigour = rng.normal(0, rng.uniform(0.03, 0.2), size=(n, 1))
    tint = rng.normal(0, rng.uniform(0.02, 0.08), size=(n, len(BANDS)))
    mean = prototype[which] * np.exp(tint)
    # Vigour moves a field between soil and leaf: red and short infrared fall while near infrared rises.
    leaf = np.array([-0.6, -0.3, -1.0, -0.4, 0.5, 0.8, 0.8, 0.8, -0.4, -0.8])
    mean = np.clip(mean * np.exp(vigour * leaf), 1e-3, 1)
    fine[:] = mean.T[:, instances].astype(np.float32)

    # Within fields: smooth vigour, patches, headlands.
    ripple = np.zeros(shape, np.float32)
    amplitude = np.abs(rng.normal(0, rng.uniform(0.04, 0.2), n)).astype(np.float32)
    ripple += amplitude[instances] * smooth_noise(shape, rng.uniform(8, 50), rng)
    fine_grain = np.abs(rng.normal(0, 0.05, n)).astype(np.float32)
    ripple += fine_grain[instances] * smooth_noise(shape, 3, rng)
    if rng.random() < 0.4:
        ripple += _headlands(instances, rng)
    if rng.random() < 0.4:
        ripple += _rows(instances, n, rng)
    for band in range(len(BANDS)):
        fine[band] *= np.exp(np.float32(leaf[band]) * ripple)
    brightness = np.exp(0.03 * smooth_noise(shape, 6, rng)).astype(np.float32)
    fine *= brightness

    _paint_cover(fine, cover == OTHER_VEGETATION, ("grass", "shrub"), rng, grain_px=5, contrast=0.14)
    _paint_cover(fine, cover == WOODLAND, ("woodland",), rng, grain_px=2.5, contrast=0.13)
    _paint_cover(fine, cover == WATER, ("water",), rng, grain_px=60, contrast=0.06)
    _paint_cover(fine, cover == BARE, ("bare", "crop"), rng, grain_px=6, contrast=0.1)
    _paint_town(fine, cover == BUILT_UP, rng)
    _cast_shadows(fine, cover == WOODLAND, rng)
    return fine


def _paint_cover(
    fine: NDArray[np.float32],
    where: NDArray[np.bool_],
    kinds: tuple[str, ...],
    rng: np.random.Generator,
    *,
    grain_px: float,
    contrast: float,
) -> None:
    """Two spectra of a kind blended by patches, under texture of the given grain."""
    if not where.any():
        return
    shape = where.shape
    kind = mixtures()[kinds[int(rng.random() < 0.25) % len(kinds)]]
    a, b = kind.draw(rng, 2, spread=0.6)
    if kinds == ("bare", "crop") and kind is mixtures()["crop"]:
        a = b = mixtures()["bare"].draw(rng, 1, spread=0.7)[0]
    blend = 1 / (1 + np.exp(-2 * smooth_noise(shape, max(grain_px * 8, 40), rng)[where]))
    texture = np.exp(contrast * rng.uniform(0.4, 1.4) * smooth_noise(shape, grain_px, rng)[where])
    for band in range(len(BANDS)):
        fine[band][where] = (a[band] * blend + b[band] * (1 - blend)) * texture


def _paint_town(fine: NDArray[np.float32], where: NDArray[np.bool_], rng: np.random.Generator) -> None:
    """Roofs, streets, gardens and trees of two to six label pixels each."""
    if not where.any():
        return
    shape = where.shape
    kinds = mixtures()
    pieces = np.concatenate(
        [kinds["built-up"].draw(rng, 5), kinds["grass"].draw(rng, 2), kinds["woodland"].draw(rng, 1)]
    )
    pieces[:2] *= rng.uniform(1.0, 1.9)
    size = int(rng.integers(2, 6))
    green = rng.uniform(0.1, 0.45)
    weight = np.array([*[(1 - green) / 5] * 5, green / 3, green / 3, green / 3])
    coarse = rng.choice(len(pieces), size=(shape[0] // size + 2, shape[1] // size + 2), p=weight)
    picked = np.kron(coarse, np.ones((size, size), np.int64))[: shape[0], : shape[1]][where]
    for band in range(len(BANDS)):
        fine[band][where] = pieces[picked, band]


def _cast_shadows(fine: NDArray[np.float32], woods: NDArray[np.bool_], rng: np.random.Generator) -> None:
    """A dark rim on one side of woods."""
    if rng.random() < 0.5 or not woods.any():
        return
    step = tuple(int(s) for s in rng.integers(-2, 3, size=2))
    shade = np.roll(woods, step, (0, 1)) & ~woods
    fine[:, shade] *= np.float32(rng.uniform(0.5, 0.8))


def _headlands(instances: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.float32]:
    edge = np.zeros(instances.shape, bool)
    edge[:, 1:] |= instances[:, 1:] != instances[:, :-1]
    edge[1:] |= instances[1:] != instances[:-1]
    depth = ndimage.distance_transform_edt(~edge)
    strength = rng.normal(0, 0.15, int(instances.max()) + 1).astype(np.float32)
    return (strength[instances] * (depth < rng.uniform(2, 5))).astype(np.float32)


def _rows(instances: NDArray[np.int32], n: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Stripes of tillage and tramlines, each field in its own direction."""
    row, col = np.mgrid[: instances.shape[0], : instances.shape[1]].astype(np.float32)
    angle = rng.uniform(0, np.pi) + rng.normal(0, 0.2, n) + rng.choice([0, np.pi / 2], n)
    period = rng.uniform(2.5, 9, n)
    strength = np.where(rng.random(n) < 0.3, rng.uniform(0.03, 0.15, n), 0).astype(np.float32)
    phase = (
        row * np.sin(angle)[instances].astype(np.float32) + col * np.cos(angle)[instances].astype(np.float32)
    ) / period[instances].astype(np.float32)
    return strength[instances] * np.sin(2 * np.pi * phase).astype(np.float32)
