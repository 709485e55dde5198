"""How many pixels every predicted segment shares with every true one: a sparse contingency table.

All figures of this package but the boundary's derive from it. It is summed over blocks of pixels in any order
and shape, in integers, so it does not depend on the blocks. Runs of equal pairs are counted before they are
sorted, which leaves a few per cent of the pixels to sort.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]

UNKNOWN = -1
"""True label of a pixel whose truth is not known."""

_COMPACT_AT = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Contingency:
    """Pixels shared by predicted segments 1..n_predicted and true segments 1..n_true.

    ``predicted`` and ``true`` (n,) int64 name the pairs that share ``shared_px`` (n,) pixels, sorted, each once.
    0 is no segment on either side; true -1 (``UNKNOWN``) is unknown ground. Arrays over true labels have
    n_true + 2 elements, so that unknown ground is both their last element and index -1.
    """

    predicted: Int64
    true: Int64
    shared_px: Int64
    n_predicted: int
    n_true: int

    @property
    def predicted_px(self) -> Int64:
        """Size of every predicted segment, (n_predicted + 1,)."""
        return self.predicted_px_where(np.ones(self.n_true + 2, np.bool_))

    @property
    def true_px(self) -> Int64:
        """Size of every true segment, (n_true + 2,)."""
        return _sums(np.where(self.true < 0, self.n_true + 1, self.true), self.shared_px, self.n_true + 2)

    def predicted_px_where(self, chosen: NDArray[np.bool_]) -> Int64:
        """Pixels of every predicted segment on chosen true labels (n_true + 2,)."""
        on = chosen[self.true]
        return _sums(self.predicted[on], self.shared_px[on], self.n_predicted + 1)


class Tally:
    """Sums a contingency table over blocks of pixels."""

    def __init__(self, *, n_predicted: int, n_true: int) -> None:
        self._n_predicted, self._n_true = n_predicted, n_true
        self._keys: list[Int64] = []
        self._counts: list[Int64] = []
        self._held = 0

    def add(self, predicted: NDArray[np.integer], true: NDArray[np.integer]) -> None:
        """Count one block of labels; both of one shape, predicted 0..n_predicted, true -1..n_true.

        Raises ValueError where shapes differ or labels are outside these ranges.
        """
        if predicted.shape != true.shape:
            raise ValueError(f"prediction {predicted.shape} and truth {true.shape} differ in shape")
        if not predicted.size:
            return
        if predicted.min() < 0 or true.min() < UNKNOWN:
            raise ValueError("segment ids must not be negative")
        if predicted.max() > self._n_predicted or true.max() > self._n_true:
            raise ValueError("a segment id is above the announced number of segments")
        key = predicted.ravel() * np.int64(self._n_true + 2)
        key += true.ravel() + np.int64(1)
        starts = np.concatenate([[0], np.flatnonzero(key[1:] != key[:-1]) + 1])
        keys, counts = _summed(key[starts], np.diff(starts, append=key.size))
        self._keys.append(keys)
        self._counts.append(counts)
        self._held += len(keys)
        if self._held > _COMPACT_AT:
            self._compact()

    def _compact(self) -> None:
        if not self._keys:
            return
        keys, counts = _summed(np.concatenate(self._keys), np.concatenate(self._counts))
        self._keys, self._counts, self._held = [keys], [counts], 0

    def result(self) -> Contingency:
        """The table of all blocks so far."""
        self._compact()
        keys, counts = (self._keys[0], self._counts[0]) if self._keys else (np.zeros(0, np.int64),) * 2
        predicted, true = np.divmod(keys, np.int64(self._n_true + 2))
        return Contingency(
            predicted=predicted,
            true=true - 1,
            shared_px=counts,
            n_predicted=self._n_predicted,
            n_true=self._n_true,
        )


def contingency(
    predicted: NDArray[np.integer], true: NDArray[np.integer], *, n_predicted: int, n_true: int
) -> Contingency:
    """The table of one pair of label rasters; see ``Tally.add`` for ranges and errors."""
    tally = Tally(n_predicted=n_predicted, n_true=n_true)
    tally.add(predicted, true)
    return tally.result()


def _summed(keys: Int64, counts: Int64) -> tuple[Int64, Int64]:
    order = np.argsort(keys, kind="stable")
    keys, counts = keys[order], counts[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return keys[starts], np.add.reduceat(counts, starts).astype(np.int64)


def _sums(index: Int64, amounts: Int64, size: int) -> Int64:
    # Sums of pixel counts stay far below 2**53, so the float64 that bincount adds in is exact.
    return np.bincount(index, amounts, minlength=size).astype(np.int64)
