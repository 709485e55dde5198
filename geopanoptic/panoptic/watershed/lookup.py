"""What the numbers of a block's pixels stand for, several times as fast as numpy's ``values[numbers]``."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


def looked_up(values: NDArray[np.int32], numbers_hw: NDArray[np.int32]) -> NDArray[np.int32]:
    """``values[numbers_hw]``, int32 (h, w)."""
    found = np.empty(numbers_hw.shape, np.int32)
    look_up(values, np.ascontiguousarray(numbers_hw), found)
    return found


@njit(nogil=True, cache=True)
def look_up(values: NDArray[np.int32], numbers_hw: NDArray[np.int32], found_hw: NDArray[np.int32]) -> None:
    """Fill in ``values[numbers_hw]``; ``found_hw`` may be ``numbers_hw`` itself. -1 stands for the last value."""
    for row in range(numbers_hw.shape[0]):
        for col in range(numbers_hw.shape[1]):
            found_hw[row, col] = values[numbers_hw[row, col]]
