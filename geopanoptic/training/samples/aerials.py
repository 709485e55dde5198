"""Aerial images of the US Midwest (NAIP) with drawn fields, reduced to the pixels of satellites."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy import ndimage

from geopanoptic.training.samples import crops
from geopanoptic.training.synthetic.landscape import PARCEL
from geopanoptic.training.synthetic.painting import normalise
from geopanoptic.training.synthetic.spectra import BANDS

NAIP_VALIDATION = {2: 2.5, 4: 5.0, 8: 10.0}
"""Reductions of the validation images and the pixel sizes they stand for, about: the files do not say theirs."""


def naip_split(data: Path) -> tuple[list[str], list[str]]:
    """Image names for training (26) and validation (4): every seventh of the sorted list validates."""
    names = sorted(json.loads((data / "fields-naip-midwest" / "annotations.json").read_text()))
    validation = names[3::7][:4]
    return [name for name in names if name not in validation], validation


def naip(data: Path, name: str, reduction: float, rng: np.random.Generator | None) -> crops.Sample:
    """One aerial image reduced ``reduction`` times; a random crop of it, or without ``rng`` the whole.

    Only what lies inside labelled fields, and thin gaps between them, is known; the rest is unlabelled.
    Images that become smaller than a crop are padded with invalid pixels.
    """
    import rasterio
    from rasterio.features import rasterize
    from shapely import Polygon, affinity, make_valid
    from skimage.transform import rescale

    folder = data / "fields-naip-midwest"
    annotation = json.loads((folder / "annotations.json").read_text())[name]
    with rasterio.open(folder / "images" / annotation["filename"]) as source:
        rgb = source.read((3, 2, 1)).astype(np.float32)
    small = np.stack([rescale(band, 1 / reduction, order=1, anti_aliasing=True) for band in rgb])
    height, width = small.shape[1:]
    fine_shape = (2 * height, 2 * width)
    stretch = (fine_shape[1] / rgb.shape[2], fine_shape[0] / rgb.shape[1])
    fields = []
    for region in annotation["regions"]:
        shape = region["shape_attributes"]
        if shape["name"] == "polygon" and len(shape["all_points_x"]) > 2:
            outline = make_valid(Polygon(zip(shape["all_points_x"], shape["all_points_y"], strict=True)))
            fields.append(affinity.scale(outline, *stretch, origin=(0, 0)))
    fields.sort(key=lambda field: -field.area)
    instances = rasterize(
        [(field, number) for number, field in enumerate(fields, 1)], out_shape=fine_shape, dtype="int32"
    )
    known = instances > 0
    gap = ndimage.binary_closing(np.pad(known, 6), iterations=4)[6:-6, 6:-6] & ~known
    instances[~known & ~gap] = -1
    stuff = np.where(known, PARCEL, crops.UNLABELLED).astype(np.uint8)

    image = np.zeros((len(BANDS), height, width), np.float32)
    image[:3] = normalise(small, None)
    row, col, size = 0, 0, max(height, width)
    if rng is not None:
        size = crops.CROP_PX
        row, col = (int(rng.integers(max(length - size, 0) + 1)) for length in (height, width))
    coarse = (slice(row, row + size), slice(col, col + size))
    fine = (slice(2 * row, 2 * (row + size)), slice(2 * col, 2 * (col + size)))
    available = np.zeros(len(BANDS), bool)
    available[:3] = True
    valid = np.ones((height, width), bool)
    return crops.Sample(
        image=crops.padded(image[:, coarse[0], coarse[1]], size, 0),
        available=available,
        valid=crops.padded(valid[coarse], size, 0),
        instances=crops.padded(instances[fine], 2 * size, -1),
        stuff=crops.padded(stuff[fine], 2 * size, crops.UNLABELLED),
    )
