"""Which of overlapping instances stay: a greedy choice on the scene, from what its blocks say of their overlaps.

Wherever the same instances lie on top of each other is one *cell*. Cells and their pixels are all that a choice
by falling score asks for, and pixels of equal cells add up over blocks, so the choice does not depend on them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geopanoptic.grid import Window
from geopanoptic.panoptic.fusion.logits import Logits

Cells = Counter[tuple[int, ...]]
"""Pixels by the instances that cover them, numbers ascending."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Claim:
    """One instance's mask in a window: its logits are positive where it claims a pixel.

    Instances are numbered from 0 by falling score.
    """

    instance: int
    window: Window
    mask: Logits


def overlap_cells(claims: Iterable[Claim], block: Window) -> Cells:
    """The cells of a block, from all claims whose windows lie in it, by ascending instance."""
    cell_of_px = np.zeros(block.shape, np.int32)
    members: list[tuple[int, ...]] = [()]
    for claim in claims:
        under = cell_of_px[claim.window.slices(block)]
        inside = claim.mask > 0
        below, inverse = np.unique(under[inside], return_inverse=True)
        grown = np.arange(len(members), len(members) + len(below), dtype=np.int32)
        members += [(*members[cell], claim.instance) for cell in below.tolist()]
        under[inside] = grown[inverse]
    pixels = np.bincount(cell_of_px.ravel(), minlength=len(members))
    cells: Cells = Counter()
    for cell, count in zip(members, pixels.tolist(), strict=True):
        if cell and count:
            cells[cell] += count
    return cells


def take_visible_instances(cells: Cells, n_instances: int, least_visible: float) -> NDArray[np.bool_]:
    """Which instances keep pixels, and at least their share, when they are taken in their order; bool (n,)."""
    of_instance: list[list[tuple[int, ...]]] = [[] for _ in range(n_instances)]
    for cell in cells:
        for instance in cell:
            of_instance[instance].append(cell)
    taken: set[tuple[int, ...]] = set()
    kept = np.zeros(n_instances, bool)
    for instance, own in enumerate(of_instance):
        left = [cell for cell in own if cell not in taken]
        left_px, all_px = sum(cells[cell] for cell in left), sum(cells[cell] for cell in own)
        if left_px and left_px >= least_visible * all_px:
            kept[instance] = True
            taken.update(left)
    return kept
