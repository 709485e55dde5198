"""Classical segmentations to compare with: three methods of scikit-image, at label resolution.

All see the visible bands of a sample; every segment is a parcel. Their parameters are searched on the very
images that they are scored on, in their favour.
"""

from __future__ import annotations

import functools
import heapq
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geopanoptic.evaluation.pools.samples import LabelledImage, Prediction

Choice = Mapping[str, float]
_KEPT_MERGINGS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """``segment(image, **choice)`` gives labels (2h, 2w) >= 0; ``grid`` are the values that a search tries, the
    middle one first."""

    name: str
    source: str
    segment: Callable[..., NDArray[np.integer]]
    grid: Mapping[str, tuple[float, ...]]

    @property
    def start(self) -> dict[str, float]:
        return {name: values[len(values) // 2] for name, values in self.grid.items()}

    def __call__(self, image: LabelledImage, choice: Choice) -> Prediction:
        labels = np.asarray(self.segment(image, **choice)).astype(np.int32)
        labels[~image.valid.repeat(2, 0).repeat(2, 1)] = 0
        return Prediction(labels=labels, n_things=int(labels.max(initial=0)), score=np.zeros(0))


def _picture(image: LabelledImage) -> NDArray[np.float32]:
    """Red, green and blue (2h, 2w, 3) in 0..1."""
    # The bands of a sample begin with blue, green, red; SLIC measures distances as eyes do.
    rgb = np.clip(image.image[2::-1], 0, 1).transpose(1, 2, 0)
    return ndimage.zoom(rgb, (2, 2, 1), order=1, grid_mode=True, mode="nearest")


def _felzenszwalb(
    image: LabelledImage, *, scale: float, sigma: float, min_size: float
) -> NDArray[np.integer]:
    from skimage.segmentation import felzenszwalb

    return felzenszwalb(_picture(image), scale=scale, sigma=sigma, min_size=int(min_size)) + 1


def _slic_merged(
    image: LabelledImage, *, segment_px: float, compactness: float, difference: float
) -> NDArray[np.integer]:
    """Superpixels, then the two most similar neighbours are joined until none differ by less in mean colour."""
    pieces, merges, level = _merging(image, segment_px, compactness)
    n = int(pieces.max()) + 1
    merges = merges[: int(np.searchsorted(level, difference))]
    root = np.arange(n + len(merges))
    for number in range(len(merges) - 1, -1, -1):
        root[merges[number]] = root[n + number]
    return root[pieces] + 1


@functools.lru_cache(maxsize=_KEPT_MERGINGS)
def _merging(
    image: LabelledImage, segment_px: float, compactness: float
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float64]]:
    """Superpixels (h, w) from 0 to n - 1 and their unions down to one: all thresholds share them.

    Union k makes region n + k of the two regions in row k of the second array; the third is the largest
    difference of mean colour among the unions up to it.
    """
    from skimage.segmentation import slic

    picture = _picture(image)
    n_segments = max(2, int(picture[..., 0].size / segment_px))
    pieces = slic(picture, n_segments=n_segments, compactness=compactness, start_label=0).astype(np.int32)
    size = np.bincount(pieces.ravel()).tolist()
    total = np.stack(
        [np.bincount(pieces.ravel(), picture[..., band].ravel()) for band in range(3)], axis=1
    ).tolist()
    along = [(pieces[:-1], pieces[1:]), (pieces[:, :-1], pieces[:, 1:])]
    pairs = np.concatenate([np.stack([a.ravel(), b.ravel()], axis=1)[(a != b).ravel()] for a, b in along])
    near: list[set[int]] = [set() for _ in size]
    for first, second in np.unique(pairs, axis=0).tolist():
        near[first].add(second)
        near[second].add(first)

    def apart(first: int, second: int) -> tuple[float, int, int]:
        means = ([value / size[region] for value in total[region]] for region in (first, second))
        return math.dist(*means), first, second

    queue = [apart(first, second) for first in range(len(near)) for second in near[first] if first < second]
    heapq.heapify(queue)
    merges, level = [], [0.0]
    while queue:
        gap, first, second = heapq.heappop(queue)
        if not (near[first] and near[second]):  # one of them has become part of another region
            continue
        merged, around = len(near), (near[first] | near[second]) - {first, second}
        size.append(size[first] + size[second])
        total.append([a + b for a, b in zip(total[first], total[second], strict=True)])
        near.append(around)
        for other in around:
            near[other] -= {first, second}
            near[other].add(merged)
            heapq.heappush(queue, apart(other, merged))
        near[first], near[second] = set(), set()
        merges.append((first, second))
        level.append(max(gap, level[-1]))
    return pieces, np.array(merges, np.int64).reshape(-1, 2), np.array(level[1:])


def _edge_watershed(
    image: LabelledImage, *, sigma: float, depth: float, min_size: float
) -> NDArray[np.integer]:
    """Watershed of the gradient from its minima of at least ``depth``; small basins are no parcels."""
    from skimage.morphology import h_minima
    from skimage.segmentation import watershed

    picture = _picture(image)
    gradient = np.max(
        [ndimage.gaussian_gradient_magnitude(picture[..., band], sigma) for band in range(3)], axis=0
    )
    seeds, _ = ndimage.label(h_minima(gradient, depth))
    basins = watershed(gradient, seeds)
    large = np.bincount(basins.ravel()) >= min_size
    return np.where(large[basins], basins, 0)


BASELINES = {
    each.name: each
    for each in (
        Baseline(
            name="felzenszwalb",
            source="Felzenszwalb and Huttenlocher, IJCV 59 (2004)",
            segment=_felzenszwalb,
            grid={"scale": (40, 80, 160, 320, 640), "sigma": (0.5,), "min_size": (100, 250, 500, 1000)},
        ),
        Baseline(
            name="slic+merging",
            source="Achanta et al., PAMI 34 (2012), then region merging by mean colour",
            segment=_slic_merged,
            grid={
                "segment_px": (150, 300, 600, 1200),
                "compactness": (10, 30, 100),
                "difference": (0.03, 0.05, 0.08, 0.12, 0.18, 0.27),
            },
        ),
        Baseline(
            name="edge-watershed",
            source="Gaussian gradient, h-minima, watershed (Meyer, 1994)",
            segment=_edge_watershed,
            grid={
                "sigma": (1, 2, 3, 4, 6),
                "depth": (0.0025, 0.005, 0.01, 0.02, 0.04),
                "min_size": (0, 100, 250, 500),
            },
        ),
    )
}
