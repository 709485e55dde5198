"""Detections as they are kept while a map is made of them.

Every tile is asked for many times: by its neighbours, and by all blocks that it touches. What a detector writes takes
a hundred times the memory of what counts in it, and long to unpack; so a tile is read once and kept, each mask no
larger than what it covers.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from geopanoptic.grid import Window
from geopanoptic.npy import map_npy
from geopanoptic.pipeline.detections.tile import DetectedTile, Detection

KEPT_FORMAT = 1
"""Goes up when a new version would keep other bytes of the same tile."""

_FIELDS, _MASKS, _SEMANTIC = "fields.npy", "masks.npy", "semantic.npy"


def keep(tile: DetectedTile, folder: Path) -> None:
    """Write a tile to ``folder``, at once and whole; whoever was first counts."""
    fields = [
        (each.window.row0, each.window.col0, each.window.row1, each.window.col1, each.label, each.score)
        for each in tile.detections
    ]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as hidden:
        written = Path(hidden) / "tile"
        written.mkdir()
        np.save(written / _FIELDS, np.array(fields, np.float64).reshape(-1, 6))
        masks = [each.mask.ravel() for each in tile.detections]
        np.save(written / _MASKS, np.concatenate([np.zeros(0, np.int16), *masks]).astype(np.int16))
        if tile.semantic is not None:
            np.save(written / _SEMANTIC, tile.semantic.astype(np.int16))
        try:
            written.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise


def kept(folder: Path, window: Window) -> DetectedTile | None:
    """The tile at ``window`` that was kept in ``folder``, None where none was, or a power cut has left part of it.

    Semantic logits stay on disk.
    """
    try:
        return _loaded(folder, window)
    except (OSError, ValueError):
        return None


def _loaded(folder: Path, window: Window) -> DetectedTile:
    fields = map_npy(folder / _FIELDS)
    masks = map_npy(folder / _MASKS).astype(np.int32)
    places = [Window(*row) for row in fields[:, :4].astype(np.int64).tolist()]
    ends = np.cumsum([each.size_px for each in places], dtype=np.int64)[:-1]
    detections = tuple(
        Detection(label=int(label), score=score, window=place, mask=mask.reshape(place.shape))
        for (label, score), place, mask in zip(
            fields[:, 4:].tolist(), places, np.split(masks, ends) if places else [], strict=True
        )
    )
    semantic = folder / _SEMANTIC
    return DetectedTile(
        window=window,
        detections=detections,
        semantic=map_npy(semantic) if semantic.is_file() else None,
    )
