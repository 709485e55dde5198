"""What is known of a map's segments beside their pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """A class of both maps; ``thing`` is countable, of ``stuff`` there is one segment in the map."""

    id: int
    name: str
    kind: Literal["thing", "stuff"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """Attributes of the segments 1..n of one map; element 0 of every array stands for no segment.

    ``category`` (n + 1,) int64 category ids, 0 for none; ``score`` (n + 1,) float64, NaN for none; ``crowd``
    (n + 1,) bool, true for an area that holds an unknown number of true objects; ``void`` (n + 1,) bool, true
    for a true object of unknown class.
    """

    category: NDArray[np.int64]
    score: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    void: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        category: NDArray[np.integer],
        *,
        score: NDArray[np.floating] | None = None,
        crowd: NDArray[np.bool_] | None = None,
        void: NDArray[np.bool_] | None = None,
    ) -> Segments:
        """From arrays (n,) of the segments 1..n."""
        n = len(category)
        return cls(
            category=np.concatenate([[0], category]).astype(np.int64),
            score=np.concatenate([[np.nan], np.full(n, np.nan) if score is None else score]),
            crowd=np.concatenate([[False], np.zeros(n, bool) if crowd is None else crowd]),
            void=np.concatenate([[False], np.zeros(n, bool) if void is None else void]),
        )

    def __len__(self) -> int:
        return len(self.category) - 1
