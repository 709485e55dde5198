"""A Sentinel-2 vegetation index with the Dutch parcel register."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import ndimage

from geopanoptic.training.samples import crops
from geopanoptic.training.synthetic.landscape import PARCEL
from geopanoptic.training.synthetic.spectra import BANDS

_NIR = BANDS.index("nir")
NDVI_VALIDATION_COLUMN = 830
"""The Dutch scene east of this column is left out of training, with a margin of 30 columns; so are the
outlines there (see ``Outlines``)."""


def netherlands(data: Path, *, validation: bool) -> Iterator[crops.Sample]:
    """Crops of a vegetation index of Sentinel-2 with the Dutch parcel register drawn over it.

    One index holds the real texture and blur of fields, ditches and towns, but no colour. Every crop comes
    twice: as grey in the visible bands, and, for training, as a rough guess of bare soil in red and leaves in
    near infrared. Outside the register, what is green may be a field that nobody declared: unknown. Thin gaps
    between parcels, water and sealed ground hold none.
    """
    import geopandas
    import rasterio
    from rasterio.features import rasterize
    from rasterio.transform import Affine

    folder = data / "ndvi-brp-netherlands"
    with rasterio.open(folder / "NDVI.tif") as source:
        ndvi, transform, crs = source.read(1), source.transform, source.crs
    parcels = geopandas.read_file(f"zip://{folder / 'fields_cropped.zip'}").to_crs(crs).geometry
    parcels = parcels.iloc[np.argsort(-parcels.area.to_numpy(), kind="stable")]
    fine_shape = (2 * ndvi.shape[0], 2 * ndvi.shape[1])
    instances = rasterize(
        zip(parcels, range(1, len(parcels) + 1), strict=True),
        out_shape=fine_shape,
        transform=transform @ Affine.scale(0.5),
        dtype="int32",
    )
    known = instances > 0
    bare = (ndvi < 0.3).repeat(2, 0).repeat(2, 1)
    gap = ndimage.binary_closing(np.pad(known, 4), iterations=3)[4:-4, 4:-4]
    instances[~known & ~bare & ~gap] = -1
    stuff = np.where(known, PARCEL, crops.UNLABELLED).astype(np.uint8)
    low, high = np.percentile(ndvi, (2, 98))
    green = np.clip((ndvi - low) / (high - low), -1, 2).astype(np.float32)

    first, last = (NDVI_VALIDATION_COLUMN, ndvi.shape[1]) if validation else (0, NDVI_VALIDATION_COLUMN - 30)
    width = min(crops.CROP_PX, last - first)
    cols = sorted({*range(first, last - width + 1, crops.CROP_PX // 2), last - width})
    step = crops.CROP_PX if validation else crops.CROP_PX // 2
    for row in sorted({*range(0, ndvi.shape[0] - crops.CROP_PX + 1, step), ndvi.shape[0] - crops.CROP_PX}):
        for col in cols:
            coarse = np.s_[row : row + crops.CROP_PX, col : col + width]
            fine = np.s_[2 * row : 2 * (row + crops.CROP_PX), 2 * col : 2 * (col + width)]
            if known[fine].mean() < 0.1:
                continue
            for coloured in (False,) if validation else (False, True):
                image = np.zeros((len(BANDS), crops.CROP_PX, width), np.float32)
                available = np.zeros(len(BANDS), bool)
                image[:3] = green[coarse]
                available[:3] = True
                if coloured:
                    slopes = np.array([-0.6, -0.3, -0.9], np.float32)[:, None, None]
                    image[:3] = 0.45 + slopes * (green[coarse] - 0.5)
                    image[_NIR], available[_NIR] = green[coarse], True
                yield crops.Sample(
                    image=crops.padded(image, crops.CROP_PX, 0),
                    available=available,
                    valid=crops.padded(np.ones((crops.CROP_PX, width), bool), crops.CROP_PX, 0),
                    instances=crops.padded(instances[fine], 2 * crops.CROP_PX, -1),
                    stuff=crops.padded(stuff[fine], 2 * crops.CROP_PX, crops.UNLABELLED),
                )
