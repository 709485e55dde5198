"""What every peer shares: the scene's normalisation, the bundle's network, and how a user would group its output.

``python dense.py SCENE LABELS.tif``: the whole-image result, that is, the grouping below on outputs that no tile
border has touched (tiles with a halo as wide as the network's reach). The peers' seams are measured against it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

import numpy as np
import rasterio
import torch
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import shapes
from scipy import ndimage
from shapely.geometry import shape

from geopanoptic.models.bundle import Bundle, load_bundle
from geopanoptic.models.runtimes import load_runtime

MODEL = "fields-s"
MIN_AREA_PX = 40
CENTRE, BOUNDARY, DISTANCE, FIELD = range(4)
"""Channels of ``Predictor``'s output."""


@dataclass
class Predictor:
    """The bundle's network behind a plain call; ``low`` and ``high`` (bands, 1, 1) are pixel values.

    ``plain``: the network as PyTorch has it, in place of the package's runtime.
    """

    bands: tuple[str, ...]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    plain: bool = False
    bundle: Bundle = field(default_factory=lambda: load_bundle(MODEL))

    def __post_init__(self) -> None:
        if self.plain:
            self.network = self.bundle.network()
            self.outputs_of = self._plain_outputs
        else:
            self.outputs_of = load_runtime(self.bundle, bands=self.bands)
        self.channels = [self.bundle.bands.index(name) for name in self.bands]
        self.field_channel = next(i for i, each in enumerate(self.bundle.classes) if each.kind == "thing")

    def normalised(self, image: NDArray[np.generic]) -> NDArray[np.float32]:
        """Raw values (..., bands, h, w), 0 where there are none, as network input (..., 2K, h, w)."""
        n = len(self.bundle.bands)
        given = np.zeros((*image.shape[:-3], 2 * n, *image.shape[-2:]), np.float32)
        valid = (image > 0).all(axis=-3, keepdims=True)
        scaled = np.clip((image.astype(np.float32) - self.low) / (self.high - self.low), -1, 2)
        given[..., self.channels, :, :] = scaled * valid
        given[..., [n + channel for channel in self.channels], :, :] = valid
        return given

    def __call__(self, input_bchw: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, 4, 2h, 2w): centre, boundary, distance, probability of a field."""
        outputs = self.outputs_of(input_bchw)
        kept = [outputs[name] for name in ("centre", "boundary", "distance")]
        return np.concatenate([*kept, outputs["semantic"][:, [self.field_channel]]], axis=1)

    def _plain_outputs(self, input_bchw: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        with torch.inference_mode():
            logits = self.network(torch.from_numpy(input_bchw))
            return {
                name: (each.softmax(1) if name == "semantic" else each.sigmoid()).numpy()
                for name, each in logits.items()
            }


def predictor_for(path: str, *, plain: bool = False) -> Predictor:
    """Normalises by the 2nd and 98th percentile of a decimated read, as the package does."""
    with rasterio.open(path) as file:
        step = max(1, max(file.shape) // 1024)
        sample = file.read(out_shape=(file.count, file.height // step, file.width // step))
        bands = tuple(file.descriptions)
    low, high = (np.percentile(sample, q, axis=(1, 2)).astype(np.float32) for q in (2, 98))
    return Predictor(bands=bands, low=low[:, None, None], high=high[:, None, None], plain=plain)


def group(dense_chw: NDArray[np.float32], bundle: Bundle) -> NDArray[np.int32]:
    """Seeds at the centres, a watershed between the boundaries, small ones dropped: (h, w), 0 = no parcel."""
    from skimage.feature import peak_local_max
    from skimage.segmentation import watershed

    rule = bundle.thresholds
    inside = dense_chw[FIELD] >= rule.field
    peaks = peak_local_max(
        dense_chw[CENTRE],
        min_distance=rule.centre_radius_px,
        threshold_abs=rule.centre,
        labels=inside.astype(np.int32),
        exclude_border=False,
    )
    markers = np.zeros(inside.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    weight = rule.relief_boundary_weight
    relief = weight * dense_chw[BOUNDARY] + (1 - weight) * (1 - dense_chw[DISTANCE])
    labels = watershed(relief, markers, mask=inside).astype(np.int32)
    sizes = ndimage.sum_labels(np.ones_like(labels), labels, np.arange(len(peaks) + 1))
    kept = sizes >= MIN_AREA_PX
    kept[0] = False
    return np.where(kept[labels], labels, 0).astype(np.int32)


def polygons_of(labels: NDArray[np.int32], transform: Affine) -> list[object]:
    """Outlines of the parcels along pixel edges."""
    return [shape(outline) for outline, _ in shapes(labels, mask=labels > 0, transform=transform)]


def output_transform(file: rasterio.DatasetReader) -> Affine:
    """Of the network's output, whose pixels are half as wide as the scene's."""
    return file.transform @ Affine.scale(0.5)


def tile_borders_px(size_px: int, patch_px: int, stride_px: int) -> list[int]:
    """Output rows (or columns) at which a tile of the scene begins or ends."""
    starts = [*range(0, size_px - patch_px, stride_px), size_px - patch_px]
    edges = {edge for start in starts for edge in (start, start + patch_px)}
    return [2 * edge for edge in sorted(edges) if 0 < edge < size_px]


def whole_image(path: str, core_px: int = 256) -> tuple[NDArray[np.int32], Predictor]:
    """Labels of the whole scene, from outputs without tile borders."""
    predict = predictor_for(path)
    stride = predict.bundle.stride_px
    halo = -(-predict.bundle.reach_px // stride) * stride
    with rasterio.open(path) as file:
        height, width = file.shape
        image = np.pad(file.read(), [(0, 0), (halo, halo + core_px), (halo, halo + core_px)])
    dense = np.empty((4, 2 * height, 2 * width), np.float32)
    for row in range(0, height, core_px):
        for col in range(0, width, core_px):
            tile = image[:, row : row + core_px + 2 * halo, col : col + core_px + 2 * halo]
            output = predict(predict.normalised(tile)[None])[0]
            core = output[:, 2 * halo : 2 * (halo + core_px), 2 * halo : 2 * (halo + core_px)]
            room = dense[:, 2 * row : 2 * (row + core_px), 2 * col : 2 * (col + core_px)]
            room[:] = core[:, : room.shape[1], : room.shape[2]]
    return group(dense, predict.bundle), predict


def main() -> None:
    path, out = sys.argv[1:3]
    labels, _ = whole_image(path)
    with rasterio.open(path) as file:
        place = {"crs": file.crs, "transform": output_transform(file)}
    height, width = labels.shape
    profile = {"driver": "GTiff", "dtype": "int32", "count": 1, "nodata": 0, "compress": "deflate"}
    with rasterio.open(out, "w", height=height, width=width, **profile, **place) as written:
        written.write(labels, 1)


if __name__ == "__main__":
    main()
