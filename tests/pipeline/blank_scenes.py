"""Scenes of any size that take no memory."""

from __future__ import annotations

import numpy as np
import rioxarray  # noqa: F401  registers .rio
import xarray
from affine import Affine

from geopanoptic.scene import Scene, open_scene


def scene(side_px: int, pixel_m: float = 10) -> Scene:
    """Without pixels of its own: one value seen everywhere."""
    values = np.broadcast_to(np.uint16(1), (4, side_px, side_px))
    array = xarray.DataArray(
        values, dims=("band", "y", "x"), coords={"band": ["blue", "green", "red", "nir"]}, name="scene"
    )
    transform = Affine(pixel_m, 0, 600_000, 0, -pixel_m, 5_800_000)
    return open_scene(array.rio.write_crs("EPSG:32632").rio.write_transform(transform))
