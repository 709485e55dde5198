"""Painting a landscape: ten-band reflectance as a sensor in orbit would see it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geopanoptic.training.synthetic.ground import ground
from geopanoptic.training.synthetic.landscape import Landscape
from geopanoptic.training.synthetic.noise import smooth_noise
from geopanoptic.training.synthetic.spectra import BANDS

COARSE_BANDS = tuple(BANDS.index(name) for name in BANDS if name not in ("blue", "green", "red", "nir"))
"""Bands that Sentinel-2 records at 20 m."""

VEIL = np.array([1, 0.75, 0.55, 0.45, 0.38, 0.33, 0.3, 0.28, 0.1, 0.06], np.float32)
"""Haze by band: strongest at short wavelengths."""
_SEASON = np.array([1, 1, 2, 4, 6, 6, 6, 5, 4, 3, 1, 1]) / 40
"""How often scenes of a month are used for mapping fields."""


def paint(
    landscape: Landscape,
    rng: np.random.Generator,
    *,
    month: int | None = None,
    weather: bool = True,
    alike_edges: float = 1.0,
) -> NDArray[np.float32]:
    """Reflectance (10, h / 2, w / 2) float32, 0..1.2, of a landscape drawn at twice the image resolution.

    ``month`` (1..12, of the north) is random if None. ``weather`` lets some scenes have haze, thin clouds and
    their shadows; ``alike_edges`` as of ``synthesize``. The point spread has a standard deviation of 0.4 to 0.75 image pixels, twice that in the
    bands that are coarser.
    """
    month = random_month(rng) if month is None else month
    image = sensed(ground(landscape, rng, month=month, alike_edges=alike_edges), rng)
    if weather:
        _add_weather(image, rng, 2 * landscape.pixel_m)
    return np.clip(image, 0.0005, 1.2)


def sensed(fine: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Ground (10, h, w) as a sensor of half its resolution records it: blurred, (10, h / 2, w / 2), with noise."""
    blur_px = rng.uniform(0.65, 1.4)
    image = np.stack(
        [_seen(each, blur_px * (1.8 if band in COARSE_BANDS else 1)) for band, each in enumerate(fine)]
    )
    image *= 1 + np.float32(rng.uniform(0.002, 0.012)) * rng.standard_normal(image.shape, np.float32)
    image += np.float32(0.001) * rng.standard_normal(image.shape, np.float32)
    return image


def random_month(rng: np.random.Generator) -> int:
    """A month, 1..12, as often as its scenes are used for mapping fields."""
    return int(rng.choice(12, p=_SEASON)) + 1


def _seen(fine: NDArray[np.float32], blur_px: float) -> NDArray[np.float32]:
    rows, cols = (length // 2 for length in fine.shape)
    seen = ndimage.gaussian_filter(fine, blur_px, truncate=3)[: 2 * rows, : 2 * cols]
    return np.asarray(seen.reshape(rows, 2, cols, 2).mean((1, 3)))


def _add_weather(image: NDArray[np.float32], rng: np.random.Generator, pixel_m: float) -> None:
    shape = image.shape[1:]
    if rng.random() < 0.25:
        veil = rng.uniform(0.0, 0.06) * (1 + 0.5 * np.tanh(smooth_noise(shape, 1200 / pixel_m, rng)))
        image += VEIL[:, None, None] * veil.astype(np.float32)
    if rng.random() < 0.08:
        cloud = smooth_noise(shape, rng.uniform(800, 2500) / pixel_m, rng)
        cloud += 0.3 * smooth_noise(shape, 200 / pixel_m, rng)
        # Thin: the ground stays visible, so that labels below hold.
        cover = (0.45 * np.clip(cloud - rng.uniform(0.8, 1.8), 0, 1)).astype(np.float32)
        shift = rng.integers(-80, 81, 2)
        image *= 1 - 0.8 * ndimage.shift(cover, shift, order=0)
        image += cover * (np.float32(rng.uniform(0.4, 0.7)) - image)


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
