"""Run lengths of COCO: a mask column by column, as counts of pixels outside and inside in turn.

Compressed by pycocotools to the text that it writes itself. Unlike polygons they keep holes and several parts.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from geopanoptic.errors import UsageError


def encode(outline_px: shapely.Geometry, shape: tuple[int, int]) -> tuple[dict[str, Any], int, list[float]]:
    """Run lengths, area and box (x, y, width, height) of the pixels of an image whose centres lie in an outline.

    ``outline_px`` is in pixel coordinates (corners of pixels are integers), ``shape`` (h, w). The area is 0 where the
    outline holds no pixel. Raises ``UsageError`` without pycocotools.
    """
    mask = _pycocotools()
    height, width = shape
    # The last run ends with the image, whatever its pixels are.
    ends = np.union1d(_changes(outline_px, shape), height * width)
    plain = {"size": [height, width], "counts": np.diff(ends, prepend=0).tolist()}
    packed = mask.frPyObjects(plain, height, width)
    rle = plain | {"counts": packed["counts"].decode("ascii")}
    return rle, int(mask.area(packed)), mask.toBbox(packed).tolist()


def decode(rle: dict[str, Any], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask (h, w) of compressed or plain run lengths.

    Raises ``ValueError`` for those of another size, ``UsageError`` without pycocotools.
    """
    mask = _pycocotools()
    packed = mask.frPyObjects(rle, *shape) if isinstance(rle["counts"], list) else rle
    decoded = np.asarray(mask.decode(packed), np.bool_)
    if decoded.shape != shape:
        raise ValueError(f"the mask has {decoded.shape} pixels, its image {shape}")
    return decoded


def _changes(outline_px: shapely.Geometry, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Where an outline begins and ends, as numbers of pixels counted down the columns."""
    from rasterio.features import rasterize

    height, width = shape
    left, _, right, _ = shapely.bounds(outline_px)
    first, end = max(int(np.floor(left)), 0), min(int(np.ceil(right)), width)
    if first >= end:
        return np.zeros(0, np.int64)
    # Only its own columns are drawn: an image has many objects.
    columns = Affine.translation(first, 0)
    drawn = rasterize([outline_px], out_shape=(height, end - first), transform=columns, dtype=np.uint8)
    return first * height + np.flatnonzero(np.diff(drawn.ravel(order="F"), prepend=0, append=0))


def _pycocotools() -> ModuleType:
    try:
        from pycocotools import mask
    except ImportError:
        raise UsageError(
            "Run lengths of COCO need pycocotools, not installed here.",
            remedy="pip install 'geopanoptic[labels]'.",
        ) from None
    return mask
