"""Generated landscapes in the colours and textures of a real date.

A generator knows every outline but guesses at colours; a real scene has true colours but few outlines. Here
every generated parcel takes the mean colour of a real one and the texture of real ground, of one date, so that
the crops of a season, their soils, rows and noise are those that a sensor saw.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import find_boundaries

from geopanoptic.training.samples import crops
from geopanoptic.training.samples.series import Date
from geopanoptic.training.synthetic.landscape import PARCEL, Landscape
from geopanoptic.training.synthetic.painting import normalise, paint
from geopanoptic.training.synthetic.spectra import BANDS

_MIXED_PX = 2  # label pixels next to a border hold both neighbours' colours


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """Colours and texture of one date.

    ``mean_nc`` (parcels, bands) mean colour of real parcels in network range; ``texture_chw`` (bands, h, w)
    deviation from it at label resolution, 0 near borders and outside parcels.
    """

    bands: tuple[int, ...]
    mean_nc: NDArray[np.float32]
    texture_chw: NDArray[np.float32]

    @classmethod
    def of(cls, date: Date, instances: NDArray[np.int32]) -> Self:
        """From a date and its parcels (2h, 2w), as ``series.outlines`` gives them."""
        seen = date.valid_hw.repeat(2, 0).repeat(2, 1)
        mixed = ndimage.binary_dilation(find_boundaries(instances), iterations=_MIXED_PX - 1)
        numbers, labels = np.unique(np.where(seen & ~mixed, instances, 0).clip(0), return_inverse=True)
        labels = labels.reshape(instances.shape)
        fine = ndimage.zoom(date.image_chw, (1, 2, 2), order=1, grid_mode=True, mode="nearest")
        mean = np.stack([ndimage.mean(band, labels, range(len(numbers))) for band in fine], axis=1)
        texture = np.where(labels > 0, fine - mean.T[:, labels], 0).astype(np.float32)
        return cls(bands=date.bands, mean_nc=mean[1:].astype(np.float32), texture_chw=texture)

    def paint(self, landscape: Landscape, rng: np.random.Generator) -> NDArray[np.float32]:
        """Network input range (10, h / 2, w / 2) of a landscape drawn at twice the image resolution.

        What is no parcel keeps the colours of the generator.
        """
        height, width = landscape.cover.shape
        image = normalise(paint(landscape, rng), rng)
        n = int(landscape.instances.max()) + 1
        # One region grows a few corners: neighbours often look alike.
        corners = rng.choice(len(self.mean_nc), size=int(rng.integers(5, 40)))
        share = rng.dirichlet(np.full(len(corners), 0.7))
        colour = self.mean_nc[rng.choice(corners, size=n, p=share)]
        colour = colour + rng.normal(0, rng.uniform(0.01, 0.06), colour.shape)
        rows = (np.arange(height) + rng.integers(self.texture_chw.shape[1])) % self.texture_chw.shape[1]
        cols = (np.arange(width) + rng.integers(self.texture_chw.shape[2])) % self.texture_chw.shape[2]
        strength = rng.uniform(0.5, 1.3)
        is_parcel = landscape.cover == PARCEL
        blur = rng.uniform(0.7, 1.3)
        for band, real_colour, texture in zip(self.bands, colour.T, self.texture_chw, strict=True):
            between = image[band].repeat(2, 0).repeat(2, 1)
            inside = (
                real_colour.astype(np.float32)[landscape.instances] + strength * texture[rows[:, None], cols]
            )
            fine = ndimage.gaussian_filter(np.where(is_parcel, inside, between), blur)
            image[band] = fine.reshape(height // 2, 2, width // 2, 2).mean((1, 3))
        image += rng.normal(0, rng.uniform(0.003, 0.02), image.shape)
        return np.clip(image, -1, 2)


def collage(palette: Palette, landscape: Landscape, rng: np.random.Generator) -> list[crops.Sample]:
    """The four corners of a landscape of ``2 * crops.SCENE_PX`` label pixels."""
    image = palette.paint(landscape, rng)
    available = np.isin(np.arange(len(BANDS)), palette.bands)
    image[~available] = 0
    corners = []
    for row in (0, crops.SCENE_PX - crops.CROP_PX):
        for col in (0, crops.SCENE_PX - crops.CROP_PX):
            coarse = np.s_[row : row + crops.CROP_PX, col : col + crops.CROP_PX]
            fine = np.s_[2 * row : 2 * (row + crops.CROP_PX), 2 * col : 2 * (col + crops.CROP_PX)]
            corners.append(
                crops.Sample(
                    image=image[(slice(None), *coarse)],
                    available=available,
                    valid=np.ones((crops.CROP_PX, crops.CROP_PX), bool),
                    instances=landscape.instances[fine],
                    stuff=landscape.cover[fine],
                )
            )
    return corners
