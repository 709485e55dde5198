"""How a scene is laid out for a network that states parcels one by one.

Blocks have one size for all runs, which leaves nothing that tiles, memory or threads could change.
"""

from __future__ import annotations

from geopanoptic.grid import Window
from geopanoptic.models.bundle import Bundle
from geopanoptic.models.manifest import PAPS_BOX_PX
from geopanoptic.pipeline.execution.executor import NETWORK_TASKS
from geopanoptic.pipeline.planning.layout import Layout, round_up

BLOCK_PX = 512
"""Side of a block in input pixels."""


def finding_layout(bundle: Bundle, scene: Window) -> Layout:
    """The only layout over a scene (input pixels).

    The halo is what can change a parcel whose centre lies in the block: the reach, from anywhere in the largest box.
    """
    halo_px = bundle.reach_px + PAPS_BOX_PX // (2 * bundle.output_scale) + 1
    block_px = min(BLOCK_PX, round_up(max(scene.height, scene.width), bundle.stride_px))
    return Layout(
        tile_px=block_px,
        halo_px=round_up(halo_px, bundle.stride_px),
        stride_px=bundle.stride_px,
        block_px=block_px,
        batch=NETWORK_TASKS,
    )
