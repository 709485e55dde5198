"""What a detector says of the tiles of a scene, in the scene's pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geopanoptic.grid import Window
from geopanoptic.panoptic.fusion.logits import Logits


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detection:
    """One instance: its mask's logits (h, w) over ``window`` (scene pixels), positive inside."""

    label: int
    """Class number of the detector."""
    score: float
    window: Window
    mask: Logits

    def over(self, window: Window) -> Logits | None:
        """The logits over the part of ``window`` that this one covers, or None where there is none."""
        inside = self.window.intersection(window)
        return None if inside is None else self.mask[inside.slices(self.window)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DetectedTile:
    """Detections of one tile, and its semantic logits (C, h, w) where the model has them."""

    window: Window
    detections: tuple[Detection, ...]
    semantic: Logits | None

    def within(self, window: Window) -> DetectedTile:
        """What the tile says of a window inside it, without the detections that lie beyond."""
        if window == self.window:
            return self
        detections = []
        for each in self.detections:
            inside, mask = each.window.intersection(window), each.over(window)
            if inside is not None and mask is not None and (mask > 0).any():
                detections.append(replace(each, window=inside, mask=mask))
        semantic = None if self.semantic is None else self.semantic[:, *window.slices(self.window)]
        return DetectedTile(window=window, detections=tuple(detections), semantic=semantic)


class DetectedTiles(Protocol):
    """The tiles of a scene by number, read when they are asked for; picklable."""

    def __len__(self) -> int: ...

    def read(self, number: int) -> DetectedTile:
        """One tile."""

    def touching(self, window: Window) -> list[int]:
        """Numbers of the tiles that may have something to say of ``window``, ascending."""

    def shown(self, block: Window) -> NDArray[np.bool_]:
        """Which pixels of a block any tile shows, (h, w)."""
