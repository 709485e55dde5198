"""Labels against the image's ground: outside it, where it has no data, and ground without labels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from scipy import ndimage

from geopanoptic.labels.check.issue import Issue
from geopanoptic.labels.check.subject import Subject, mean_width

_HALF_PIXEL = 0.5
WHOLLY = 0.999
"""Share outside the image above which an object lies wholly outside."""


def outside_image(subject: Subject) -> Iterator[Issue]:
    """Objects that reach more than half a pixel beyond the image: an error in an image, a warning on a map."""
    box = subject.image_box
    if box is None or subject.is_raster:
        return
    shapely.prepare(box)
    rows = np.flatnonzero(~shapely.covers(box, subject.outlines) & (subject.area > 0))
    beyond = shapely.difference(subject.outlines[rows], box)
    beyond_width, beyond_area = mean_width(beyond), shapely.area(beyond)
    for k in np.flatnonzero(beyond_width > _HALF_PIXEL * subject.pixel).tolist():
        row = int(rows[k])
        share = float(beyond_area[k] / subject.area[row])
        how = "wholly" if share > WHOLLY else f"by {share:.1%}"
        yield Issue(
            kind="outside-image",
            severity="error" if subject.one_image else "warning",
            message=f"Object {subject.ids[row]} lies {how} outside the image.",
            object_ids=subject.ids_of([row]),
            geometry=beyond[k],
            amount=share,
        )


def without_data(subject: Subject, valid_hw: NDArray[np.bool_]) -> Iterator[Issue]:
    """Objects more than half of which the image has no data for."""
    pixels = np.bincount(subject.rows_hw.ravel(), minlength=len(subject.ids) + 1)
    blind = np.bincount(subject.rows_hw[~valid_hw], minlength=len(subject.ids) + 1)
    for number in np.flatnonzero(2 * blind > pixels).tolist():
        if number == 0:
            continue
        share = float(blind[number] / pixels[number])
        yield Issue(
            kind="no-data",
            severity="warning",
            message=f"Object {subject.ids[number - 1]}: the image has no data on {share:.0%} of it.",
            object_ids=subject.ids_of([number - 1]),
            geometry=subject.outlines[number - 1],
            amount=share,
        )


def unlabelled_share(subject: Subject, valid_hw: NDArray[np.bool_] | None) -> float:
    """Share of the image's pixels with data that no label holds."""
    bare = subject.rows_hw == 0
    seen = np.ones(bare.shape, np.bool_) if valid_hw is None else valid_hw
    return float((bare & seen).sum() / max(int(seen.sum()), 1))


def unlabelled_ground(subject: Subject, valid_hw: NDArray[np.bool_] | None) -> Iterator[Issue]:
    """Every connected area of pixels without a label, largest first: for labels that are said to be full."""
    from geopanoptic.panoptic.coverage import trace

    bare = subject.rows_hw == 0
    if valid_hw is not None:
        bare &= valid_hw
    areas_hw, count = ndimage.label(bare, output=np.int32)
    if not count:
        return
    pixels = np.bincount(areas_hw.ravel())[1:]
    numbers, shapes_px = trace(areas_hw, Affine.identity())
    shapes = subject.from_pixels(np.asarray(shapes_px, dtype=object))
    order = np.lexsort((numbers, -pixels[numbers - 1]))
    for k in order.tolist():
        size = int(pixels[numbers[k] - 1])
        yield Issue(
            kind="unlabelled",
            severity="error",
            message=f"{size:,} pixels inside the image have no label.",
            geometry=shapes[k],
            amount=float(size * subject.pixel**2),
        )
