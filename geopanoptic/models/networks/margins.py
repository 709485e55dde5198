"""What a network computes beyond the pixels that are wanted of a tile.

The decoder of a network with a margin pads nothing: a level doubles the map below it and loses a pixel along each
edge by each of its two convolutions, so a margin of 2 stays 2. The finest level has one convolution, leaving 3;
of the output, twice as fine, 6 pixels are left over, or 5 after one more convolution.
"""

from __future__ import annotations


def kept_margins_px(depth: int, margin_px: int) -> list[int]:
    """Margin that the decoder looks at by level, in pixels of that level, where tiles have ``margin_px``."""
    return [*([4] * depth), 2] if margin_px else [0] * (depth + 1)


def surplus_px(margin_px: int, *, fine_convolution: bool, two_scales: bool = False) -> int:
    """Output pixels beyond the wanted ones along every edge of tiles with such a margin, 0 where they have none."""
    if not margin_px:
        return 0
    if two_scales:
        return 2
    return 5 if fine_convolution else 6


def least_margin_px(depth: int) -> int:
    """Least ``margin_px`` above 0 that leaves the decoder of a network with ``depth`` halvings its surroundings."""
    return max(kept << level for level, kept in enumerate(kept_margins_px(depth, 1))) + 1
