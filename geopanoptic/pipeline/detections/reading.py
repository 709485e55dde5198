"""What detectors write, read as detections of a tile.

A tile is an ``.npz`` file, or a ``.json`` file with the same names, of arrays as torchvision and Detectron2 have
them:

====================================  =====================================================================
``boxes``, ``pred_boxes``             (n, 4) x0, y0, x1, y1 in pixels of the tile
``scores``                            (n,) 0 to 1
``labels``, ``pred_classes``          (n,) class numbers of the detector
``masks``, ``pred_masks``             (n, H, W) or (n, 1, H, W): bool, or probabilities; or cropped to the box
``mask_logits``                       the same as logits
``semantic``, ``sem_seg``             (C, H, W) logits, optional
====================================  =====================================================================

Masks of another size than the tile's are cropped to the box and drawn into it: square ones smaller than the tile, such
as 28 x 28, and those of the box's own pixels. In JSON masks may be COCO run lengths, and a list of COCO results
(``bbox``, ``category_id``, ``score``, ``segmentation``), as Detectron2 writes them, is a tile too.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopanoptic.errors import UsageError
from geopanoptic.grid import Window
from geopanoptic.npy import load_npz, names_in_npz
from geopanoptic.panoptic.fusion.logits import LOGIT_LIMIT, Logits, fixed_logits
from geopanoptic.pipeline.detections.mask_stack import MaskStack
from geopanoptic.pipeline.detections.tile import DetectedTile, Detection

SUFFIXES = (".npz", ".json")

_NAMES = {
    "boxes": ("boxes", "pred_boxes"),
    "scores": ("scores",),
    "labels": ("labels", "pred_classes"),
    "masks": ("masks", "pred_masks"),
    "mask_logits": ("mask_logits",),
    "semantic": ("semantic", "sem_seg"),
}

_STACKS = ("masks", "mask_logits")

# Side of Mask R-CNN's masks, which are cropped however small a tile at the scene's edge may be.
_CROP_PX = 28

# Means of scores in half precision may exceed 1 by as much.
_ROUNDING = 1e-3


def read_tile(path: Path, place: Window) -> DetectedTile:
    """Detections of the tile at ``place`` (scene pixels). Raises ``UsageError`` for what is none of the above."""
    try:
        return _tile(_arrays(path, place.shape), place)
    except (OSError, ValueError, KeyError, TypeError, IndexError, OverflowError, zipfile.BadZipFile) as error:
        raise UsageError(
            f"{path} holds no detections of a tile of {place.height} x {place.width} pixels: {error}.",
            remedy="It needs boxes, scores, labels and masks, as torchvision or Detectron2 have them.",
        ) from None


def _arrays(path: Path, shape: tuple[int, int]) -> dict[str, Any]:
    if path.suffix.lower() == ".npz":
        named = _by_name({name: name for name in names_in_npz(path)})
        stored = load_npz(path, [here for name, here in named.items() if name not in _STACKS])
        return {
            name: _masks_of(path, here) if name in _STACKS else stored[here] for name, here in named.items()
        }
    content = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(content, list):
        content = _of_coco_results(content)
    found = _by_name(content)
    masks = found.get("masks", ())
    if len(masks) and isinstance(masks[0], dict):
        found["masks"] = np.stack([_of_run_lengths(each, shape) for each in masks])
    return {name: np.asarray(each) for name, each in found.items()}


def _masks_of(path: Path, name: str) -> MaskStack | NDArray[Any]:
    stack = MaskStack.of(path, name)
    if stack is not None:
        return stack
    return load_npz(path, [name])[name]


def _by_name(content: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name, aliases in _NAMES.items():
        for alias in aliases:
            if alias in content:
                found[name] = content[alias]
    lacking = [name for name in ("boxes", "scores", "labels") if name not in found]
    if lacking or not {"masks", "mask_logits"} & set(found):
        raise ValueError(f"{', '.join(lacking) or 'masks'} missing")
    return found


def _of_coco_results(results: list[dict[str, Any]]) -> dict[str, Any]:
    boxes = np.array([each["bbox"] for each in results], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return {
        "boxes": boxes,
        "scores": [each["score"] for each in results],
        "labels": [each["category_id"] for each in results],
        "masks": [each["segmentation"] for each in results],
    }


def _of_run_lengths(segmentation: dict[str, Any], shape: tuple[int, int]) -> NDArray[np.bool_]:
    try:
        from pycocotools import mask as coco
    except ImportError:
        raise UsageError(
            "Run lengths of COCO need pycocotools, not installed here.",
            remedy="pip install 'geopanoptic[labels]'.",
        ) from None
    if isinstance(segmentation["counts"], list):
        segmentation = coco.frPyObjects(segmentation, *segmentation["size"])
    decoded: NDArray[np.bool_] = coco.decode(segmentation).astype(bool)
    if decoded.shape != shape:
        raise ValueError(f"a mask has {decoded.shape} pixels")
    return decoded


def _tile(arrays: Mapping[str, Any], place: Window) -> DetectedTile:
    boxes = np.asarray(arrays["boxes"], np.float64).reshape(-1, 4)
    scores, labels = np.asarray(arrays["scores"], np.float64), np.asarray(arrays["labels"])
    are_logits = "mask_logits" in arrays
    masks = arrays["mask_logits" if are_logits else "masks"]
    if not isinstance(masks, MaskStack):
        masks = np.asarray(masks)
        masks = masks[:, 0] if masks.ndim == 4 and masks.shape[1] == 1 else masks
    if len({len(boxes), len(scores), len(labels), len(masks)}) != 1:
        raise ValueError(
            f"{len(boxes)} boxes, {len(scores)} scores, {len(labels)} labels, {len(masks)} masks"
        )
    if len(boxes) and not isinstance(masks, MaskStack) and masks.ndim != 3:
        raise ValueError(f"masks have the shape {masks.shape}")
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise ValueError("a box or a score is not finite")
    if len(scores) and not -_ROUNDING <= scores.min() <= scores.max() <= 1 + _ROUNDING:
        raise ValueError(f"scores go from {scores.min():g} to {scores.max():g}, not from 0 to 1")
    scores = scores.clip(0, 1)
    if len(boxes):
        _require_shape(masks.shape[-2:], boxes, place.shape)
    detections = []
    for box, score, label, mask in zip(boxes, scores, labels, masks, strict=True):
        if not are_logits and mask.size and (mask.min() < 0 or mask.max() > 1):
            raise ValueError(
                f"masks go from {mask.min():g} to {mask.max():g}, which are no probabilities: give them as bool, or "
                "call logits mask_logits"
            )
        is_whole = mask.shape == place.shape
        inside = _extent(mask > (0 if are_logits else 0.5)) if is_whole else _pixels_of(box, place.shape)
        if inside is None:
            continue
        logits = _logits(mask[inside.slices()] if is_whole else mask, are_logits=are_logits)
        values = logits if is_whole else _drawn(logits, box, inside)
        window = Window(
            place.row0 + inside.row0,
            place.col0 + inside.col0,
            place.row0 + inside.row1,
            place.col0 + inside.col1,
        )
        detections.append(Detection(label=int(label), score=float(score), window=window, mask=values))
    return DetectedTile(
        window=place, detections=tuple(detections), semantic=_semantic(arrays.get("semantic"), place)
    )


def _require_shape(shape: tuple[int, ...], boxes: NDArray[np.float64], tile: tuple[int, int]) -> None:
    """Raises ``ValueError`` for masks of neither the tile nor what may be cropped to a box: of a padded tile, or scaled."""
    col0, row0, col1, row1 = np.ceil(boxes - 0.5).T
    of_boxes = bool(np.all((row1 - row0 == shape[0]) & (col1 - col0 == shape[1])))
    is_crop = shape[0] == shape[1] < max(*tile, _CROP_PX + 1) or of_boxes
    if shape != tile and not is_crop:
        raise ValueError(
            f"masks have {shape[0]} x {shape[1]} pixels, neither the tile's nor those of masks cropped to boxes. "
            "Tiles have the size that the detector saw, also where they reach beyond the scene"
        )


def _semantic(logits: Any, place: Window) -> Logits | None:
    if logits is None:
        return None
    logits = np.asarray(logits)
    if logits.ndim != 3 or logits.shape[1:] != place.shape:
        raise ValueError(f"the semantic logits have the shape {logits.shape}")
    return fixed_logits(logits)


def _logits(mask: NDArray[Any], *, are_logits: bool) -> Logits:
    if are_logits:
        return fixed_logits(mask)
    if mask.dtype == bool or np.issubdtype(mask.dtype, np.integer):
        return np.where(mask, LOGIT_LIMIT, -LOGIT_LIMIT).astype(np.int32)
    with np.errstate(divide="ignore"):
        return fixed_logits(np.log(mask.astype(np.float64)) - np.log1p(-mask.astype(np.float64)))


def _extent(is_inside: NDArray[np.bool_]) -> Window | None:
    """The smallest window that holds a mask."""
    rows, cols = np.flatnonzero(is_inside.any(axis=1)), np.flatnonzero(is_inside.any(axis=0))
    if not len(rows):
        return None
    return Window(int(rows[0]), int(cols[0]), int(rows[-1]) + 1, int(cols[-1]) + 1)


def _pixels_of(box: NDArray[np.float64], shape: tuple[int, int]) -> Window | None:
    """The tile's pixels whose centres lie in a box."""
    col0, row0, col1, row1 = (int(side) for side in np.ceil(box - 0.5))
    return Window(row0, col0, row1, col1).intersection(Window(0, 0, *shape))


def _drawn(logits: Logits, box: NDArray[np.float64], window: Window) -> Logits:
    """A mask cropped to its box as logits of the pixels of a window in it, bilinear."""
    from scipy.ndimage import map_coordinates

    x0, y0, x1, y1 = box
    down = (np.arange(window.row0, window.row1) + 0.5 - y0) / (y1 - y0) * logits.shape[0] - 0.5
    across = (np.arange(window.col0, window.col1) + 0.5 - x0) / (x1 - x0) * logits.shape[1] - 0.5
    grid = np.meshgrid(down, across, indexing="ij")
    return np.rint(map_coordinates(logits.astype(np.float64), grid, order=1, mode="nearest")).astype(np.int32)
