"""How well the outlines lie on each other: the boundary F-score, and which objects touch tile borders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geopanoptic.evaluation.metrics.contingency import UNKNOWN

Bool = NDArray[np.bool_]
Labels = NDArray[np.integer]


@dataclass(slots=True)
class BoundaryTally:
    """Boundary pixels of both maps, and how many have one of the other within ``tolerance_px``.

    A pixel is a boundary pixel where its label is not that of its right or lower neighbour. Where one of the
    three has no known truth, it counts in neither map. Martin et al., PAMI 26 (2004), without the one-to-one
    assignment.
    """

    tolerance_px: int
    predicted: int = 0
    predicted_near: int = 0
    true: int = 0
    true_near: int = 0

    @property
    def halo_px(self) -> int:
        """Rows and columns that ``add`` needs around its core."""
        return self.tolerance_px + 1

    @property
    def precision(self) -> float:
        return self.predicted_near / self.predicted if self.predicted else float("nan")

    @property
    def recall(self) -> float:
        return self.true_near / self.true if self.true else float("nan")

    @property
    def f_score(self) -> float:
        """Harmonic mean of precision and recall; NaN where either map has no boundary at all."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0

    def add(self, predicted: Labels, true: Labels, core: tuple[slice, slice]) -> None:
        """Count the pixels of ``core``; the labels (h, w) reach ``halo_px`` further where the maps do."""
        known = ~_any_of_three(true == UNKNOWN)
        ours, theirs = _edges(predicted) & known, _edges(true) & known
        near_theirs = _dilated(theirs, self.tolerance_px)
        near_ours = _dilated(ours, self.tolerance_px)
        self.predicted += int(np.count_nonzero(ours[core]))
        self.predicted_near += int(np.count_nonzero((ours & near_theirs)[core]))
        self.true += int(np.count_nonzero(theirs[core]))
        self.true_near += int(np.count_nonzero((theirs & near_ours)[core]))


def _edges(labels: Labels) -> Bool:
    edges = np.zeros(labels.shape, bool)
    edges[:, :-1] = labels[:, :-1] != labels[:, 1:]
    edges[:-1] |= labels[:-1] != labels[1:]
    return edges


def _any_of_three(flags: Bool) -> Bool:
    result = flags.copy()
    result[:, :-1] |= flags[:, 1:]
    result[:-1] |= flags[1:]
    return result


def _dilated(flags: Bool, radius_px: int) -> Bool:
    """By a disc, as shifted copies of rows widened to each of its chords: the disc is small."""
    height, width = flags.shape
    result = np.zeros_like(flags)
    widened, reach = flags.copy(), 0
    for dy in range(min(radius_px, height - 1), -1, -1):
        chord = min(int(np.sqrt(radius_px**2 - dy**2)), width - 1)
        for dx in range(reach + 1, chord + 1):
            widened[:, dx:] |= flags[:, : width - dx]
            widened[:, : width - dx] |= flags[:, dx:]
        reach = chord
        result[dy:] |= widened[: height - dy]
        result[: height - dy] |= widened[dy:]
    return result


class SeamContacts:
    """Which labels of 0..n lie at a border of a lattice of square tiles.

    Borders run between pixels ``k * tile_px - 1`` and ``k * tile_px`` of the lattice, k > 0.
    """

    def __init__(self, n: int, *, tile_px: int) -> None:
        self._tile_px = tile_px
        self.touching: Bool = np.zeros(n + 1, bool)

    def add(self, labels: Labels, *, row0: int, col0: int) -> None:
        """Labels (h, w) of the window that begins at this row and column of the lattice."""
        for along, first in ((labels, row0), (labels.T, col0)):
            position = first + np.arange(along.shape[0])
            at = (position % self._tile_px == 0) & (position > 0) | (
                position % self._tile_px == self._tile_px - 1
            )
            found = np.unique(along[at])
            self.touching[found[found > 0]] = True
