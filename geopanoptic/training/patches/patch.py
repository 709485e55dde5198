"""One labelled piece of an image, on its way from a dataset to the network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geopanoptic.training.patches.targets import IGNORED

OUTPUT_SCALE = 2
"""Label pixels per image pixel along an axis, as the network's output has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """Image and labels of a piece of ground.

    image_chw
        float32 (C, h, w), bands in the network's order and input range; 0 where absent or invalid.
    seen_chw
        bool (C, h, w): the band exists and the pixel has data.
    instances_hw
        int32 (s * h, s * w), s = ``OUTPUT_SCALE``: parcels > 0, 0 certainly none, -1 unlabelled.
    classes_hw
        uint8 (s * h, s * w): index of the class, ``IGNORED`` where unknown.
    """

    image_chw: NDArray[np.float32]
    seen_chw: NDArray[np.bool_]
    instances_hw: NDArray[np.int32]
    classes_hw: NDArray[np.uint8]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the image."""
        return self.image_chw.shape[1], self.image_chw.shape[2]

    @property
    def valid_hw(self) -> NDArray[np.bool_]:
        """Label pixels that any band shows."""
        return self.seen_chw.any(0).repeat(OUTPUT_SCALE, 0).repeat(OUTPUT_SCALE, 1)

    def window(self, row: int, col: int, size_px: int) -> Patch:
        """The part from image pixel ``row``, ``col`` on; smaller where the patch ends."""
        coarse = np.s_[..., row : row + size_px, col : col + size_px]
        start, stop = OUTPUT_SCALE * np.array([[row, col], [row + size_px, col + size_px]])
        fine = np.s_[start[0] : stop[0], start[1] : stop[1]]
        return Patch(
            image_chw=self.image_chw[coarse],
            seen_chw=self.seen_chw[coarse],
            instances_hw=self.instances_hw[fine],
            classes_hw=self.classes_hw[fine],
        )

    def random_window(self, size_px: int, rng: np.random.Generator) -> Patch:
        """A window at a random place that lies inside as far as the patch allows."""
        row, col = (int(rng.integers(max(length - size_px, 0) + 1)) for length in self.shape)
        return self.window(row, col, size_px)


def labels_of(
    instances_hw: NDArray[np.int32], stuff_hw: NDArray[np.uint8] | None = None, *, thing: int = 0
) -> NDArray[np.uint8]:
    """Class raster of one thing class: ``thing`` on instances, elsewhere ``stuff_hw`` or ``IGNORED``."""
    elsewhere = np.uint8(IGNORED) if stuff_hw is None else stuff_hw
    return np.where(instances_hw > 0, np.uint8(thing), elsewhere).astype(np.uint8)
