"""Pictures of a scene that an annotation tool can open: tiles in 8-bit RGB, all with one fixed stretch.

Each band goes from 0 at the scene's 2nd percentile to 255 at its 98th, measured once (``scene.radiometry``): a field
has the same colour in every tile, whatever the tiles.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geopanoptic.grid import Window
from geopanoptic.labels.objects import Canvas
from geopanoptic.scene import Normalisation, Scene, measure
from geopanoptic.scene.display import clearest, picture_bands

NO_DATA = 0
"""Grey value of pixels without data."""

_JPEG_QUALITY = 95


def picture_canvas(scene: Scene, *, suffix: str = ".png") -> Canvas:
    """The canvas of a picture of the whole scene; ``suffix`` (.png, .jpg) is that of the pictures to write."""
    stem = re.sub(r"[^\w.-]+", "_", scene.name).strip("_.") or "scene"
    return Canvas.of_grid(f"{stem}{suffix}", scene.grid)


def write_pictures(
    scene: Scene, tiles: Iterable[Canvas], folder: Path, *, bands: Sequence[str] | None = None
) -> Iterator[Canvas]:
    """Write the picture of each tile into ``folder`` and yield the tile; tiles without data are left out.

    ``bands`` are three, or one as grey (default: true colour, else the first); of several dates the one that shows
    most of the ground is taken. The suffix of a tile's name says whether it is a PNG or a JPEG. Memory holds one
    tile. Raises ``SceneError`` for bands that the scene has not, and blocks that cannot be read.
    """
    shown = clearest(scene, bands or ())
    names = picture_bands(shown, bands)
    stretch = measure(shown, names)
    for tile in tiles:
        picture = _picture(shown, stretch, _window(tile, scene))
        if picture is None:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / tile.image, quality=_JPEG_QUALITY)
        yield tile


def _window(tile: Canvas, scene: Scene) -> Window:
    col, row = (round(place) for place in ~scene.grid.transform @ (tile.placed @ (0, 0)))
    return Window(row, col, row + tile.height, col + tile.width)


def _picture(scene: Scene, stretch: Normalisation, window: Window) -> NDArray[np.uint8] | None:
    """Uint8 (H, W, 3); None where no pixel is valid."""
    values_chw, valid_hw = scene.read(window, stretch.bands)
    if not valid_hw.any():
        return None
    shares_chw = np.clip(stretch.apply(values_chw, valid_hw), 0, 1)
    grey_chw = np.where(valid_hw, np.rint(shares_chw * 255), NO_DATA).astype(np.uint8)
    rgb = grey_chw if len(grey_chw) == 3 else np.repeat(grey_chw, 3, axis=0)
    return np.ascontiguousarray(rgb.transpose(1, 2, 0))
