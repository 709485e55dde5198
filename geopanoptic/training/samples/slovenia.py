"""A small Sentinel-2 patch with a land-use raster (eo-learn example data, MIT)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from geopanoptic.training.samples import crops
from geopanoptic.training.synthetic.landscape import BARE, BUILT_UP, OTHER_VEGETATION, WATER, WOODLAND
from geopanoptic.training.synthetic.painting import normalise
from geopanoptic.training.synthetic.spectra import BANDS

SLOVENIA_CLASSES = {2: WOODLAND, 3: OTHER_VEGETATION, 4: OTHER_VEGETATION, 5: WATER, 8: BUILT_UP, 9: BARE}


def slovenia(data: Path) -> Iterator[crops.Sample]:
    """The clear dates of a small ten-band patch with a land-use raster (eo-learn example data, MIT)."""
    folder = data / "eo-patch-slovenia"
    scenes = np.load(folder / "REFERENCE_SCENES.npy").astype(np.float32)
    use = np.load(folder / "TestEOPatch" / "mask_timeless" / "LULC.npy")[..., 0]
    height, width = use.shape
    stuff = np.full((2 * height, 2 * width), crops.UNLABELLED, np.uint8)
    fine_use = use.repeat(2, 0).repeat(2, 1)
    for code, cover in SLOVENIA_CLASSES.items():
        stuff[fine_use == code] = cover
    instances = np.where(stuff == crops.UNLABELLED, -1, 0).astype(np.int32)
    # Grassland of the land-use map is often mown and parcelled: known as stuff, unknown as a parcel.
    instances[fine_use == 3] = -1
    stuff[fine_use == 3] = crops.UNLABELLED
    order = [1, 2, 3, 4, 5, 6, 7, 8, 11, 12]  # of the thirteen Sentinel-2 bands
    for scene in scenes:
        if np.median(scene[..., 1]) > 0.15:  # a cloudy date: a forest's blue reflectance is a few per cent
            continue
        image = normalise(np.ascontiguousarray(scene[..., order].transpose(2, 0, 1)), None)
        yield crops.Sample(
            image=crops.padded(image, crops.CROP_PX, 0),
            available=np.ones(len(BANDS), bool),
            valid=crops.padded(np.ones((height, width), bool), crops.CROP_PX, 0),
            instances=crops.padded(instances, 2 * crops.CROP_PX, -1),
            stuff=crops.padded(stuff, 2 * crops.CROP_PX, crops.UNLABELLED),
        )
