"""Tile cores cover their block on the stride lattice without waste."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from geopanoptic.grid import Window
from geopanoptic.pipeline.planning.layout import Layout


@given(
    stride=st.sampled_from([1, 8, 16, 32]),
    tiles=st.integers(1, 6),
    row=st.integers(0, 300),
    col=st.integers(0, 300),
    height=st.integers(1, 260),
    width=st.integers(1, 260),
)
def test_cores_cover_a_block_once_on_the_lattice(stride, tiles, row, col, height, width):
    block = Window(row, col, row + height, col + width)
    layout = Layout(tile_px=tiles * stride, halo_px=stride, stride_px=stride, block_px=64, batch=1)
    count = np.zeros((1200, 1200), np.uint8)
    for core in layout.cores(block):
        assert core.row0 % stride == core.col0 % stride == 0
        assert core.height % stride == core.width % stride == 0
        assert max(core.shape) <= layout.tile_px
        assert core.intersection(block) is not None
        count[core.slices()] += 1
    assert (count[block.slices()] == 1).all()
    assert count.max() == 1
