"""Bringing a source's bands and classes into the order of a network's channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from geopanoptic.models.manifest import ClassSpec, channels_of
from geopanoptic.training.patches.targets import IGNORED

COVERS = ("parcel", "water", "woodland", "built-up", "other vegetation", "bare")
"""Classes of generated scenes and of the samples of pools, by number."""


def in_channels(
    image_chw: NDArray[np.floating], valid_hw: NDArray[np.bool_], have: Sequence[str], want: Sequence[str]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """``image_chw`` (bands ``have``) as the bands ``want``, zero where absent or invalid; with what is seen."""
    image = np.zeros((len(want), *valid_hw.shape), np.float32)
    seen = np.zeros(image.shape, np.bool_)
    for channel, band in enumerate(want):
        if band in have:
            image[channel] = np.where(valid_hw, image_chw[have.index(band)], 0)
            seen[channel] = valid_hw
    return image, seen


def class_lookup(names: Mapping[int, str], classes: Sequence[ClassSpec]) -> NDArray[np.uint8]:
    """Table from a source's class number (0..255) to the network's channel; ``IGNORED`` where it has none."""
    channel_of = {each.name: channel for channel, each in enumerate(classes)}
    table = np.full(256, IGNORED, np.uint8)
    for number, name in names.items():
        table[number] = channel_of.get(name, IGNORED)
    return table


def cover_lookup(classes: Sequence[ClassSpec]) -> NDArray[np.uint8]:
    """``class_lookup`` of ``COVERS``; the only thing class is that of parcels, whatever it is called."""
    table = class_lookup(dict(enumerate(COVERS)), classes)
    things = channels_of(classes, "thing")
    if len(things) == 1:
        table[0] = things[0]
    return table
