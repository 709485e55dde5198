"""Regions of a label raster as polygons of one coverage: no gap, no overlap, shared borders stored once.

`trace_block` reads pixels, block by block and in any order; `join_corners` joins the blocks, `link` makes arcs; `simplify`
is optional; `assemble` makes polygons, `outlines` some of them at a time. `trace` does all that in memory. The result does
not depend on the blocks.
"""

from geopanoptic.panoptic.coverage.arcs import Arcs, Rings
from geopanoptic.panoptic.coverage.assembly import Outlines, assemble, outlines
from geopanoptic.panoptic.coverage.in_memory import trace
from geopanoptic.panoptic.coverage.linking import join_corners, link
from geopanoptic.panoptic.coverage.simplification import simplify
from geopanoptic.panoptic.coverage.tracing import BlockCorners, trace_block

__all__ = [
    "Arcs",
    "BlockCorners",
    "Outlines",
    "Rings",
    "assemble",
    "join_corners",
    "link",
    "outlines",
    "simplify",
    "trace",
    "trace_block",
]
