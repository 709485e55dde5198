"""Writes small rasters for tests."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import ArrayLike
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning

from geopanoptic.scene import Pixels, Scene

UTM = "EPSG:32632"
TEN_METRES = Affine(10, 0, 600_000, 0, -10, 5_700_000)
RGB = ("red", "green", "blue")


def write_raster(
    path: Path,
    values: ArrayLike,
    *,
    names: Sequence[str | None] = (),
    crs: str | None = UTM,
    transform: Affine | None = TEN_METRES,
    mask: ArrayLike | None = None,
    colours: Sequence[ColorInterp] = (),
    scales: Sequence[float] = (),
    offsets: Sequence[float] = (),
    tags: dict[str, str] | None = None,
    **profile: Any,
) -> Path:
    """A raster of ``values`` (H, W) or (C, H, W) with band descriptions ``names``."""
    stored = np.asarray(values)
    stored = stored[None] if stored.ndim == 2 else stored
    count, height, width = stored.shape
    settings = {"driver": "GTiff", "photometric": "MINISBLACK"} | profile
    if settings["driver"] != "GTiff":
        settings.pop("photometric")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", count=count, height=height, width=width, dtype=stored.dtype,
            crs=crs, transform=transform, **settings,
        ) as dataset:  # fmt: skip
            if colours:
                dataset.colorinterp = tuple(colours)
            for index, name in enumerate(names, 1):
                if name:
                    dataset.set_band_description(index, name)
            if scales:
                dataset.scales = tuple(scales)
            if offsets:
                dataset.offsets = tuple(offsets)
            if tags:
                dataset.update_tags(**tags)
            # Pixels come last, so that the directory lies before them and a file that is cut still opens.
            dataset.write(stored)
            if mask is not None:
                dataset.write_mask(np.asarray(mask, bool))
    return path


def ramp(*shape: int, dtype: str = "uint16", start: int = 1) -> np.ndarray:
    """Every pixel another value."""
    return np.arange(start, start + int(np.prod(shape))).reshape(shape).astype(dtype)


def whole(scene: Scene, *bands: str) -> Pixels:
    """Values and validity of the whole scene."""
    return scene.read(scene.grid.window, bands or None)
