"""Labelled images as the grouping sees them: merge trees, and how well each node meets a true parcel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geopanoptic.evaluation.pools.samples import read_image
from geopanoptic.evaluation.pools.season_samples import LabelledSeason, is_season, read_season
from geopanoptic.grid import Window
from geopanoptic.models.bundle import Bundle
from geopanoptic.models.runtimes import Runtime
from geopanoptic.panoptic.graph.merging import MergeTree, merge_tree
from geopanoptic.panoptic.graph.pieces import Evidence, describe_block
from geopanoptic.panoptic.graph.regions import RegionGraph, join_blocks
from geopanoptic.panoptic.parcels.scoring import measure_nodes
from geopanoptic.panoptic.watershed.centres import find_centres
from geopanoptic.panoptic.watershed.watershed import watershed
from geopanoptic.pipeline.grouping.rules import GroupingRules, quantiser

_MARGIN_STRIDES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseImage:
    """Quantised layers of one labelled image, by name, and its truth (h, w) at their resolution.

    ``truth`` holds parcels > 0, 0 for certainly no parcel, -1 where unknown or without data. ``image`` names
    the image of which this may be one of several crops.
    """

    image: str
    layers: dict[str, NDArray[np.generic]]
    valid: NDArray[np.bool_]
    truth: NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """One image's merge tree with what is true of its nodes.

    ``region`` (h, w) is each pixel's region, -1 without data. By node: ``features``, ``iou`` with the best
    true parcel (unknown ground left out), and the share of ``unknown`` ground.
    """

    image: str
    tree: MergeTree
    region: NDArray[np.int32]
    truth: NDArray[np.int32]
    features: NDArray[np.float64]
    area_px: NDArray[np.int64]
    iou: NDArray[np.float64]
    unknown: NDArray[np.float64]


def sample_files(folder: Path, limit: int) -> list[Path]:
    """At most ``limit`` samples of a folder, evenly spread over their names."""
    files = sorted(folder.glob("[!.]*.npz"))
    chosen = np.unique(np.linspace(0, len(files) - 1, min(limit, len(files))).astype(int))
    return [files[number] for number in chosen]


def image_of(path: Path) -> str:
    """The image that a sample is of: other samples may be of the same."""
    # Crops are named by their image and a number, in either order.
    return max(path.stem.split("_"), key=len)


def map_sample(path: Path, bundle: Bundle, network: Runtime, *, n_dates: int | None = None) -> DenseImage:
    """Run the network over one sample, in the format of ``geopanoptic.training.samples``.

    ``n_dates`` is the number of dates that it sees of a series; None: all. The sample is extended by a few
    strides of no data, not by the network's whole reach.
    """
    sample = read_season(path) if is_season(path) else read_image(path)
    if n_dates is not None and isinstance(sample, LabelledSeason):
        sample = sample.some(n_dates)
    stride, scale, valid = bundle.stride_px, bundle.output_scale, sample.valid
    margin = _MARGIN_STRIDES * stride
    height, width = valid.shape
    around = Window(-margin, -margin, height + margin + -height % stride, width + margin + -width % stride)
    core = tuple(slice(scale * margin, scale * (margin + length)) for length in valid.shape)
    probabilities = network.over((date(around)[0][None], date.day) for date in sample.dates)
    outputs = {name: values[0][(slice(None), *core)] for name, values in probabilities.items()}
    fine_valid = valid.repeat(scale, axis=0).repeat(scale, axis=1)
    return DenseImage(
        image=image_of(path),
        layers=quantiser(bundle)(outputs, fine_valid),
        valid=fine_valid,
        truth=np.where(fine_valid, sample.instances, -1).astype(np.int32),
    )


def find_candidates(dense: DenseImage, rules: GroupingRules) -> Candidates:
    """Group an image as the pipeline does, in one block, and compare every node with the truth."""
    graph, region = region_graph(dense.layers, dense.valid, rules)
    tree = merge_tree(graph)
    measures = measure_nodes(tree)
    iou, unknown = _agreement(tree, region, measures.area_px, dense.truth)
    return Candidates(
        image=dense.image,
        tree=tree,
        region=region,
        truth=dense.truth,
        features=np.concatenate(list(measures.features())),
        area_px=measures.area_px,
        iou=iou,
        unknown=unknown,
    )


def region_graph(
    layers: Mapping[str, NDArray], valid: NDArray[np.bool_], rules: GroupingRules
) -> tuple[RegionGraph, NDArray[np.int32]]:
    """The regions of one image, in one block, and each pixel's region (h, w), -1 without data."""
    shape = valid.shape
    window = Window(0, 0, *shape)
    domain = layers["field"] >= rules.field_u8
    seeds = find_centres(
        layers["heat"], domain, window, window, shape[1], rules.centre_radius_px, rules.centre_u16
    )
    evidence = {
        name: layers[name] for name in ("field", "boundary", "relief", "heat", "thing", "thing_score")
    }
    piece, block = describe_block(
        watershed(layers["relief"], domain, seeds),
        valid,
        Evidence(**evidence, stuff=np.where(valid, layers["stuff"], 0).astype(np.uint8)),
        window=window,
        scene_width=shape[1],
        n_things=rules.n_thing_classes,
        n_stuff=rules.n_stuff_classes,
    )
    graph, of_piece = join_blocks([block])
    return graph, of_piece[0][piece]


def _agreement(
    tree: MergeTree, region: NDArray[np.int32], area_px: NDArray[np.int64], truth: NDArray[np.int32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of every node the IoU with its best true parcel, unknown ground left out, and its unknown share."""
    inside = region >= 0
    pairs, counts = np.unique(
        np.stack([region[inside], truth[inside].astype(np.int64)]), axis=1, return_counts=True
    )
    shared_px: list[Counter[int]] = [Counter() for _ in range(tree.n_leaves)]
    for number, parcel, count in zip(*pairs.tolist(), counts.tolist(), strict=True):
        shared_px[number][parcel] = count
    for left, right in tree.children.tolist():
        shared_px.append(shared_px[left] + shared_px[right])
    parcels, sizes = np.unique(truth, return_counts=True)
    size_px = dict(zip(parcels.tolist(), sizes.tolist(), strict=True))
    iou = np.zeros(tree.n_nodes)
    for node, shares in enumerate(shared_px):
        known_px = area_px[node] - shares[-1]
        iou[node] = max(
            (px / (known_px + size_px[parcel] - px) for parcel, px in shares.items() if parcel > 0),
            default=0.0,
        )
    unknown_px = np.array([shares[-1] for shares in shared_px])
    return iou, unknown_px / area_px
