"""The labelled image as checks see it: where it has data, and how strong its edges are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window
from scipy.ndimage import gaussian_gradient_magnitude

from geopanoptic.errors import SceneError
from geopanoptic.labels.objects import Canvas
from geopanoptic.labels.sidecar import canvas_of_image, labelled_images, opened_image

_STRIP_PX = 1024
_MARGIN_PX = 8
_BANDS = 4
_SAMPLE_PX = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image file and its place."""

    path: Path
    canvas: Canvas

    def valid_hw(self) -> NDArray[np.bool_]:
        """Which pixels have data: by the file's mask, and numbers. Raises ``SceneError`` for unreadable files."""
        try:
            with opened_image(self.path) as file:
                valid = file.dataset_mask() > 0
                if np.dtype(file.dtypes[0]).kind == "f":
                    valid &= np.isfinite(file.read(1))
                return np.asarray(valid)
        except (rasterio.errors.RasterioError, OSError) as error:
            raise SceneError(f"{self.path} cannot be read: {error}.", remedy="Give a whole image.") from None

    def edges_hw(self) -> NDArray[np.float32]:
        """How strong an edge is at each pixel, 0 to 1: smoothed gradients, saturating at the image's typical one.

        Mean over the first bands; 0 where there is no data. Raises ``SceneError`` for unreadable files.
        """
        try:
            with opened_image(self.path) as file:
                edges = np.zeros(file.shape, np.float32)
                bands = list(range(1, min(file.count, _BANDS) + 1))
                typical = [_typical_gradient(file, band) for band in bands]
                for top in range(0, file.height, _STRIP_PX):
                    first, last = (
                        max(top - _MARGIN_PX, 0),
                        min(top + _STRIP_PX + _MARGIN_PX, file.height),
                    )
                    strip = Window(0, first, file.width, last - first)
                    valid = file.dataset_mask(window=strip) > 0
                    rows = slice(top - first, min(top + _STRIP_PX, file.height) - first)
                    for band, scale in zip(bands, typical, strict=True):
                        gradient = _gradient(file.read(band, window=strip), valid)[rows]
                        edges[top : top + _STRIP_PX] += gradient / (gradient + scale) / len(bands)
                return edges
        except (rasterio.errors.RasterioError, OSError) as error:
            raise SceneError(f"{self.path} cannot be read: {error}.", remedy="Give a whole image.") from None


def pictures_of(image: Path | None) -> dict[str, Picture]:
    """Images by name of a file or of a folder. Raises ``SceneError`` for what is no image, or holds none."""
    files = [] if image is None else labelled_images(image)
    return {each.name: Picture(path=each, canvas=canvas_of_image(each)) for each in files}


def _gradient(values: NDArray[np.generic], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    numbers = values.astype(np.float32)
    valid = valid & np.isfinite(numbers)
    # Ground without data takes the mean, and what is near it counts for nothing: its edge is none of the ground.
    numbers = np.where(valid, numbers, numbers[valid].mean() if valid.any() else 0.0)
    gradient = gaussian_gradient_magnitude(numbers, 1.0)
    if not valid.all():
        reach = gaussian_gradient_magnitude(valid.astype(np.float32), 1.0)
        gradient = np.where(valid & (reach < 1e-3), gradient, 0.0)
    return np.asarray(gradient, np.float32)


def _typical_gradient(file: rasterio.DatasetReader, band: int) -> float:
    """Median gradient in nine windows spread over the image."""
    found = []
    for row in np.linspace(0, max(file.height - _SAMPLE_PX, 0), 3).astype(int).tolist():
        for col in np.linspace(0, max(file.width - _SAMPLE_PX, 0), 3).astype(int).tolist():
            window = Window(col, row, min(_SAMPLE_PX, file.width), min(_SAMPLE_PX, file.height))
            valid = file.dataset_mask(window=window) > 0
            gradient = _gradient(file.read(band, window=window), valid)
            found.append(gradient[gradient > 0])
    gradients = np.concatenate(found)
    return float(np.median(gradients)) if len(gradients) else 1.0
