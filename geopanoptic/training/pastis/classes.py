"""The classes of a network trained on PASTIS: 18 crops as things, background as stuff; void is none."""

from __future__ import annotations

from geopanoptic.models.manifest import ClassSpec
from geopanoptic.training.pastis.folder import BACKGROUND, CROPS, VOID

_COLOURS = (
    "#aec7e8", "#ff7f0e", "#ffbb78", "#2ca02c", "#98df8a", "#d62728", "#ff9896", "#9467bd", "#c5b0d5",
    "#8c564b", "#c49c94", "#e377c2", "#f7b6d2", "#7f7f7f", "#c7c7c7", "#bcbd22", "#dbdb8d", "#17becf",
)  # fmt: skip

PASTIS_CLASSES = (
    *(
        ClassSpec(id=number, name=name, kind="thing", colour=colour)
        for number, (name, colour) in enumerate(zip(CROPS, _COLOURS, strict=True), 1)
    ),
    # 19 would be read as void.
    ClassSpec(id=VOID + 1, name=BACKGROUND, kind="stuff", colour="#303030"),
)
"""The ids of crops are the numbers of the data set."""
