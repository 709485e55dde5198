"""One date as a satellite brings it home: its radiometry and place, haze, clouds, shadows, and what a mask says.

Clouds have soft edges and throw shadows; swaths end somewhere. Masks of real products miss thin clouds or take
bright ground for one, and some scenes come without any: ``MASKS`` says which faults a scene's masks have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geopanoptic.training.synthetic.noise import smooth_noise
from geopanoptic.training.synthetic.painting import VEIL, sensed
from geopanoptic.training.synthetic.spectra import BANDS

Image = NDArray[np.float32]

_CLOUD = np.array([1, 0.97, 0.96, 0.97, 0.98, 0.98, 1, 1, 0.72, 0.55], np.float32)
"""Brightness of clouds by band: ice and drops absorb in the short infrared."""
_SHADE = np.array([0.75, 0.85, 0.92, 0.95, 1.05, 1.08, 1.08, 1.08, 1.1, 1.1], np.float32)
"""How much of the light a shadow takes, by band: the blue sky still lights it."""
_SEEN_CLOUD, _SEEN_SHADE = 0.12, 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """What all dates of one scene have in common: the faults of its masks, how far dates lie apart in pixels, how
    often skies are clear, and how unequal sensors are (standard deviation of log gain)."""

    mask: str
    apart_px: float
    clear_share: float
    gain: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Habits:
        names = list(MASKS)
        return cls(
            mask=names[rng.choice(len(names), p=[0.5, 0.25, 0.15, 0.1])],
            apart_px=float(rng.choice([0.0, rng.uniform(0, 0.5)], p=[0.3, 0.7])),
            clear_share=float(rng.uniform(0.2, 0.75)),
            gain=float(rng.uniform(0.005, 0.06)),
        )


CLEAR = Habits(mask="good", apart_px=0.0, clear_share=1.0, gain=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overflight:
    """``image_chw`` reflectance, 0 beyond the swath; ``swath_hw``: data is there; ``masked_hw``: called cloud."""

    image_chw: Image
    swath_hw: NDArray[np.bool_]
    masked_hw: NDArray[np.bool_]


def fly_over(
    fine: Image, rng: np.random.Generator, *, habits: Habits, pixel_m: float, weather: bool
) -> Overflight:
    """The ground ``fine`` (10, 2h, 2w) as (10, h, w) of ``pixel_m``."""
    image = sensed(fine, rng)
    if habits.apart_px:
        offset = rng.uniform(-habits.apart_px, habits.apart_px, 2)
        image = np.stack([ndimage.shift(band, offset, order=1, mode="nearest") for band in image])
    image *= np.exp(rng.normal(0, habits.gain) + rng.normal(0, 0.3 * habits.gain, (len(BANDS), 1, 1)))
    shape = image.shape[1:]
    if not weather:
        whole = np.ones(shape, bool)
        return Overflight(image_chw=_in_range(image), swath_hw=whole, masked_hw=~whole)
    if rng.random() < 0.35:
        veil = rng.uniform(0, 0.05) * (1 + 0.5 * np.tanh(smooth_noise(shape, 1200 / pixel_m, rng)))
        image += VEIL[:, None, None] * veil.astype(np.float32)
    bright = image[: BANDS.index("rededge1")].sum(0)
    cloud, shade = _clouds(shape, rng, habits, pixel_m)
    image *= 1 - _SHADE[:, None, None] * np.float32(rng.uniform(0.35, 0.6)) * shade
    if cloud.any():
        billow = np.exp(0.12 * smooth_noise(shape, 150 / pixel_m, rng)) * np.float32(rng.uniform(0.35, 0.85))
        image += cloud * (_CLOUD[:, None, None] * billow - image)
    swath = _swath(shape, rng) if rng.random() < 0.12 else np.ones(shape, bool)
    masked = MASKS[habits.mask](cloud, shade, bright, rng)
    return Overflight(image_chw=_in_range(image) * swath, swath_hw=swath, masked_hw=masked & swath)


def _in_range(image: Image) -> Image:
    return np.clip(image, 0.0005, 1.2).astype(np.float32)


def _clouds(
    shape: tuple[int, ...], rng: np.random.Generator, habits: Habits, pixel_m: float
) -> tuple[Image, Image]:
    """How much of the ground clouds hide, and shadows darken, (h, w) from 0 to 1."""
    nothing = np.zeros(shape, np.float32)
    if rng.random() < habits.clear_share:
        return nothing, nothing
    share = rng.uniform(0.6, 1.1) if rng.random() < 0.35 else rng.uniform(0.02, 0.5)
    far_px = np.asarray(rng.uniform(8, 45) * 10 / pixel_m)
    # Clouds beyond the scene's edge throw their shadows into it.
    edge = int(far_px) + 1
    large = (shape[0] + 2 * edge, shape[1] + 2 * edge)
    field = smooth_noise(large, rng.uniform(300, 2500) / pixel_m, rng)
    field += rng.uniform(0.15, 0.5) * smooth_noise(large, 220 / pixel_m, rng)
    field += 0.12 * smooth_noise(large, 60 / pixel_m, rng)
    least = np.quantile(field, 1 - min(share, 1)) - max(share - 1, 0) * 4
    cover = np.clip((field - least) / rng.uniform(0.25, 0.8), 0, 1) * rng.uniform(0.55, 1)
    # Where the sun stands in the south, shadows fall to the north.
    angle = rng.uniform(-1.2, 1.2)
    step = np.round(far_px * np.array([-np.cos(angle), np.sin(angle)])).astype(int)
    here = np.s_[edge : edge + shape[0], edge : edge + shape[1]]
    from_there = np.s_[edge - step[0] : edge - step[0] + shape[0], edge - step[1] : edge - step[1] + shape[1]]
    return cover[here].astype(np.float32), cover[from_there].astype(np.float32)


def _swath(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Ground on one side of a steep line: the edge of an orbit's strip."""
    row, col = np.ogrid[: shape[0], : shape[1]]
    lean = rng.uniform(0.12, 0.3) * rng.choice([-1, 1])
    across = col + lean * (row - shape[0] / 2) - rng.uniform(0.1, 0.9) * shape[1]
    return np.asarray(across * rng.choice([-1, 1]) > 0)


def _good(cloud: Image, shade: Image, bright: Image, rng: np.random.Generator) -> NDArray[np.bool_]:
    return _grown((cloud > _SEEN_CLOUD) | (shade > _SEEN_SHADE), 2)


def _holey(cloud: Image, shade: Image, bright: Image, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Without shadows, thin clouds and some of the others."""
    lost = smooth_noise(cloud.shape, 40, rng) > 1.2
    return np.asarray((cloud > rng.uniform(0.3, 0.7)) & ~lost)


def _eager(cloud: Image, shade: Image, bright: Image, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Wide around clouds, and over some bright and some ordinary ground."""
    taken = (bright > np.quantile(bright, rng.uniform(0.95, 1))) | (smooth_noise(cloud.shape, 30, rng) > 2.2)
    return _grown((cloud > _SEEN_CLOUD / 2) | (shade > _SEEN_SHADE / 2), 4) | _grown(taken, 1)


def _none(cloud: Image, shade: Image, bright: Image, rng: np.random.Generator) -> NDArray[np.bool_]:
    return np.zeros(cloud.shape, bool)


MASKS: dict[str, Callable[[Image, Image, Image, np.random.Generator], NDArray[np.bool_]]] = {
    "good": _good,
    "holey": _holey,
    "eager": _eager,
    "none": _none,
}
"""Cloud masks (h, w) of cloud, shade and brightness, by their faults."""


def _grown(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    return np.asarray(ndimage.binary_dilation(mask, iterations=pixels))
