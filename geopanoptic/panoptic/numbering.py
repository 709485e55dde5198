"""How much of one map can be numbered: regions, contacts, corners and borders go by int32, in half the memory of int64."""

from __future__ import annotations

import numpy as np

from geopanoptic.errors import ResourceError

LARGEST = int(np.iinfo(np.int32).max)
LARGEST_MAP_PX = 30_000_000_000
"""Maps of more pixels may need more: noisy generated scenes have an end of a contact for 16 of them."""


def require_numbers(count: int, what: str) -> None:
    """Raise ResourceError where there are more of something (``what``, in the plural) than numbers for them."""
    if count > LARGEST:
        raise ResourceError(
            f"The map has {count:,} {what}, and one map can number {LARGEST:,}.",
            remedy="Map the scene in parts, with --aoi.",
        )
