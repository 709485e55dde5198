"""The unit of every pool: one crop of an image with its labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopanoptic.replacing import replacing

UNLABELLED = 255
CROP_PX = 192
SCENE_PX = 400
"""Side of a generated scene, of which a crop is taken at every corner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One training sample. Labels have twice the image's resolution, as the network's output has.

    ``image`` (10, h, w)
        network input range (see ``scene.radiometry``), 0 where a band is absent;
    ``available`` (10,) and ``valid`` (h, w)
        which bands exist, which pixels have data;
    ``instances`` (2h, 2w)
        parcels > 0, 0 certainly no parcel, -1 unknown;
    ``stuff`` (2h, 2w)
        class index, ``UNLABELLED`` where unknown.
    """

    image: NDArray[np.float32]
    available: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    instances: NDArray[np.int32]
    stuff: NDArray[np.uint8]

    def save(self, path: Path) -> None:
        """Write as .npz, whole or not at all, the image as float16."""
        with replacing(path) as partial, partial.open("wb") as file:
            np.savez_compressed(
                file,
                image=self.image.astype(np.float16),
                available=self.available,
                valid=self.valid,
                instances=self.instances,
                stuff=self.stuff,
            )


def padded(array: NDArray[Any], size: int, fill: int) -> NDArray[Any]:
    """The array with ``fill`` below and to the right, so that its last two axes are at least ``size``."""
    height, width = array.shape[-2:]
    pad = [(0, 0)] * (array.ndim - 2) + [(0, max(size - height, 0)), (0, max(size - width, 0))]
    return np.pad(array, pad, constant_values=fill)
