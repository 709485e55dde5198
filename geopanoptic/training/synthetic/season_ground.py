"""The ground of one landscape on any day of the year: what changes does, what does not stays where it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geopanoptic.training.synthetic import landscape as covers
from geopanoptic.training.synthetic.ground import (
    LEAF,
    Reflectance,
    furrow_strength,
    furrows,
    leafiness,
    soil_under,
    unevenness,
)
from geopanoptic.training.synthetic.landscape import Landscape
from geopanoptic.training.synthetic.noise import smooth_noise
from geopanoptic.training.synthetic.phenology import LogReflectance, at_day, phenology
from geopanoptic.training.synthetic.seasons import PERMANENT, ParcelSeasons, draw_seasons
from geopanoptic.training.synthetic.spectra import BANDS

_PATCHES = (
    (covers.OTHER_VEGETATION, "other vegetation", 25, 0.12),
    (covers.WOODLAND, "woodland", 14, 0.16),
    (covers.WATER, "water", 300, 0.05),
    (covers.BARE, "bare", 30, 0.10),
)
"""Value of cover, its season, grain of its texture in metres, contrast."""
_COVER_SPREAD = 0.6
_FRESH_SHARE = 0.3  # of the unevenness within parcels, that is new on every date


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mosaic:
    """Pixels (p,) of one cover, each a blend of the ``log_nmb`` (k, 12, 10) seasons ``first`` and ``second``."""

    pixels: NDArray[np.intp]
    log_nmb: LogReflectance
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    blend: NDArray[np.float32]
    texture: NDArray[np.float32]

    def paint(self, fine: Reflectance, day: float) -> None:
        seen = np.exp(at_day(self.log_nmb, np.full(len(self.log_nmb), day))).astype(np.float32)
        for band, plane in enumerate(fine.reshape(len(BANDS), -1)):
            mixed = seen[self.first, band] * self.blend + seen[self.second, band] * (1 - self.blend)
            plane[self.pixels] = mixed * self.texture


@dataclass(frozen=True, slots=True, kw_only=True)
class SeasonGround:
    """A landscape with a season in every parcel and cover; ``at`` paints a day of it."""

    landscape: Landscape
    seasons: ParcelSeasons
    vigour: NDArray[np.float32]
    soil: NDArray[np.float32]
    soil_strength: float
    furrow: float
    furrow_often: float
    mosaics: tuple[_Mosaic, ...]

    @classmethod
    def draw(cls, landscape: Landscape, rng: np.random.Generator) -> SeasonGround:
        """Seasons, textures and patches for a landscape."""
        seasons = draw_seasons(landscape, rng)
        soil, strength = soil_under(landscape, rng)
        return cls(
            landscape=landscape,
            seasons=seasons,
            vigour=unevenness(landscape, rng, orchard=seasons.kind == PERMANENT),
            soil=soil,
            soil_strength=strength,
            furrow=furrow_strength(rng),
            furrow_often=float(rng.uniform(0, 0.2)),
            mosaics=tuple(_mosaics(landscape, rng)),
        )

    def at(self, day: float, rng: np.random.Generator) -> Reflectance:
        """Reflectance (10, h, w) on the landscape's pixels on a day of the year; ``rng`` for what is new then."""
        instances = self.landscape.instances
        log_mean = self.seasons.at(day)
        bare = 1 - leafiness(log_mean)
        fresh = smooth_noise(instances.shape, rng.uniform(30, 200) / self.landscape.pixel_m, rng)
        vigour = np.float32(rng.uniform(0.5, 1.2)) * self.vigour
        vigour += np.float32(_FRESH_SHARE * rng.uniform(0.02, 0.12)) * fresh
        vigour += furrows(
            instances,
            log_mean,
            strength=self.furrow,
            often=self.furrow_often,
            where_alike=rng.uniform(0.1, 0.6),
        )
        brightness = (self.soil_strength * bare).astype(np.float32)[instances] * self.soil
        fine = np.empty((len(BANDS), *instances.shape), np.float32)
        for band, leaf in enumerate(LEAF):
            np.exp(
                log_mean[:, band].astype(np.float32)[instances] + leaf * vigour + brightness, out=fine[band]
            )
        for mosaic in self.mosaics:
            mosaic.paint(fine, day)
        return fine


def _mosaics(landscape: Landscape, rng: np.random.Generator) -> list[_Mosaic]:
    mosaics = []
    for cover, kind, grain_m, contrast in _PATCHES:
        pixels = np.flatnonzero(landscape.cover == cover)
        if not len(pixels):
            continue
        coarse = _noise(landscape, max(grain_m * 8, 150), rng).ravel()[pixels]
        texture = _noise(landscape, grain_m, rng) + 0.7 * _noise(landscape, 4 * grain_m, rng)
        mosaics.append(
            _Mosaic(
                pixels=pixels,
                log_nmb=phenology().seasons[kind].draw(rng, 2, spread=_COVER_SPREAD),
                first=np.zeros(len(pixels), np.intp),
                second=np.ones(len(pixels), np.intp),
                blend=(1 / (1 + np.exp(-3 * coarse))).astype(np.float32),
                texture=np.exp(contrast * rng.uniform(0.4, 1.2) * texture.ravel()[pixels]).astype(np.float32),
            )
        )
    town = landscape.cover == covers.BUILT_UP
    return [*mosaics, _town(landscape, town, rng)] if town.any() else mosaics


def _town(landscape: Landscape, where: NDArray[np.bool_], rng: np.random.Generator) -> _Mosaic:
    """Roofs of four colours, streets, gardens and trees; the edges are greener."""
    pixel_m = landscape.pixel_m
    depth_m = ndimage.distance_transform_edt(where)[where] * pixel_m
    dense = _noise(landscape, 11, rng)[where] + 0.3 * np.minimum(depth_m / 60, 1) - rng.uniform(-0.5, 0.3)
    roof = np.clip(np.floor(_noise(landscape, 25, rng)[where] * 1.2 + 2), 0, 3).astype(np.intp)
    light = np.exp(0.3 * _noise(landscape, 14, rng)[where])
    wooded = _noise(landscape, 18, rng)[where] > 0.4
    opened = ndimage.binary_opening(where, np.ones((2, 2)), iterations=max(round(15 / pixel_m), 1))
    is_road = ~opened[where]
    roof[is_road], light[is_road] = 0, 1
    is_built = (dense > 0) | is_road
    seasons = phenology().seasons
    kind = np.where(is_built, roof, np.where(wooded, 5, 4))
    return _Mosaic(
        pixels=np.flatnonzero(where),
        log_nmb=np.concatenate([
            seasons["built-up"].draw(rng, 4, spread=0.8),
            seasons["grassland"].draw(rng, 1, spread=_COVER_SPREAD),
            seasons["woodland"].draw(rng, 1, spread=_COVER_SPREAD),
        ]),
        first=kind,
        second=kind,
        blend=np.ones(len(kind), np.float32),
        texture=np.where(is_built, light, 1).astype(np.float32),
    )  # fmt: skip


def _noise(landscape: Landscape, scale_m: float, rng: np.random.Generator) -> NDArray[np.float32]:
    return smooth_noise(landscape.cover.shape, scale_m / landscape.pixel_m, rng)
