"""Spatially blocked folds: what is held out lies in other blocks of ground than what is trained on.

Neighbouring fields share soil, weather and crops, so a random choice of fields would flatter a model. Blocks
are squares of a lattice; a field belongs to the block of its inner point, as a whole. Blocks go to the folds
so that all folds get about the same number of fields, in an order that does not depend on the data's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def balanced_folds(rows: NDArray[np.int64], cols: NDArray[np.int64], folds: int) -> NDArray[np.int64]:
    """The fold (n,) of every field, from the block row and column (n,) it lies in.

    The fullest block goes first, each to the fold with the fewest fields so far; ties go by the block's place.
    """
    blocks, index, counts = np.unique(
        np.stack([rows, cols], axis=1), axis=0, return_inverse=True, return_counts=True
    )
    fold_of_block = np.zeros(len(blocks), np.int64)
    filled = np.zeros(folds, np.int64)
    for block in np.argsort(-counts, kind="stable"):
        fold = int(np.argmin(filled))
        fold_of_block[block] = fold
        filled[fold] += counts[block]
    return fold_of_block[index.ravel()]
