"""Classical segmentations to compare with: three methods of scikit-image, at label resolution.

All see the visible bands of a sample; every segment is a parcel. Their parameters are searched on the very
images that they are scored on, in their favour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geopanoptic.evaluation.samples import LabelledImage, Prediction

Choice = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """``segment(picture, **choice)`` turns (h, w, 3) float32 in 0..1 into labels (h, w) >= 0; ``grid`` are the
    values that a search tries, the middle one first."""

    name: str
    source: str
    segment: Callable[..., NDArray[np.integer]]
    grid: Mapping[str, tuple[float, ...]]

    @property
    def start(self) -> dict[str, float]:
        return {name: values[len(values) // 2] for name, values in self.grid.items()}

    def __call__(self, image: LabelledImage, choice: Choice) -> Prediction:
        labels = np.asarray(self.segment(_picture(image), **choice)).astype(np.int32)
        labels[~image.valid.repeat(2, 0).repeat(2, 1)] = 0
        return Prediction(labels=labels, n_things=int(labels.max(initial=0)), score=np.zeros(0))


def _picture(image: LabelledImage) -> NDArray[np.float32]:
    # The bands of a sample begin with blue, green, red; SLIC measures distances as eyes do.
    rgb = np.clip(image.image[2::-1], 0, 1).transpose(1, 2, 0)
    return ndimage.zoom(rgb, (2, 2, 1), order=1, grid_mode=True, mode="nearest")


def _felzenszwalb(
    picture: NDArray[np.float32], *, scale: float, sigma: float, min_size: float
) -> NDArray[np.integer]:
    from skimage.segmentation import felzenszwalb

    return felzenszwalb(picture, scale=scale, sigma=sigma, min_size=int(min_size)) + 1


def _slic_merged(
    picture: NDArray[np.float32], *, segment_px: float, compactness: float, difference: float
) -> NDArray[np.integer]:
    """Superpixels, then the two most similar neighbours are joined until none differ by less in mean colour."""
    from skimage.graph import merge_hierarchical, rag_mean_color
    from skimage.segmentation import slic

    n_segments = max(2, int(picture[..., 0].size / segment_px))
    pieces = slic(picture, n_segments=n_segments, compactness=compactness, start_label=0)
    graph = rag_mean_color(picture, pieces)
    merged = merge_hierarchical(
        pieces,
        graph,
        thresh=difference,
        rag_copy=False,
        in_place_merge=True,
        merge_func=_join_means,
        weight_func=_difference_of_means,
    )
    return np.asarray(merged) + 1


def _join_means(graph, source, target) -> None:  # type: ignore[no-untyped-def]
    into, gone = graph.nodes[target], graph.nodes[source]
    into["total color"] += gone["total color"]
    into["pixel count"] += gone["pixel count"]
    into["mean color"] = into["total color"] / into["pixel count"]


def _difference_of_means(graph, source, target, neighbour) -> dict[str, float]:  # type: ignore[no-untyped-def]
    difference = graph.nodes[target]["mean color"] - graph.nodes[neighbour]["mean color"]
    return {"weight": float(np.linalg.norm(difference))}


def _edge_watershed(
    picture: NDArray[np.float32], *, sigma: float, depth: float, min_size: float
) -> NDArray[np.integer]:
    """Watershed of the gradient from its minima of at least ``depth``; small basins are no parcels."""
    from skimage.morphology import h_minima
    from skimage.segmentation import watershed

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
                "compactness": (1, 3, 10, 30),
                "difference": (0.03, 0.05, 0.08, 0.12, 0.18),
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
