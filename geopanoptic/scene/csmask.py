"""Cloud masks computed from the images by the optional package ``ukis-csmask`` (DLR, Apache-2.0).

Its networks find clouds and their shadows in blue, green, red and near infrared, better with both short-wave
infrared bands. They look around, so a pixel's answer depends on what is given with it. Here it is computed in
fixed cells of the scene, each with the same margin, and therefore depends on no window, tile or block. A
process keeps the cells it needed last.
"""

from __future__ import annotations

import functools
import importlib.util
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from geopanoptic.errors import SceneError, UsageError
from geopanoptic.grid import Grid, Window
from geopanoptic.scene.bands.headers import Source
from geopanoptic.scene.bands.masking import Seen
from geopanoptic.scene.files.blocks import OnUnreadable, refuse
from geopanoptic.scene.files.sources import shown
from geopanoptic.scene.pixels.reading import Layer, read_layers
from geopanoptic.scene.units import with_units

_NEEDED = ("blue", "green", "red", "nir")
_ALSO = ("swir16", "swir22")
_CELL_PX, _MARGIN_PX = 1024, 128
_KEPT_CELLS = 64
"""Of 2 MB each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputedMask:
    """The mask of one date, from ``layers`` of that date. Costs tens of seconds per megapixel."""

    date: date | None
    layers: tuple[Layer, ...]

    @property
    def name(self) -> str:
        return "ukis-csmask"

    @property
    def sources(self) -> tuple[Source, ...]:
        return tuple(dict.fromkeys(layer.source for layer in self.layers))

    def read(self, grid: Grid, window: Window, on_unreadable: OnUnreadable = refuse) -> Seen:
        """As ``Mask.read``. Blocks that cannot be decoded are reported by whoever reads the bands."""
        known, hidden = np.zeros(window.shape, np.bool_), np.zeros(window.shape, np.bool_)
        for cell in window.covering(_CELL_PX).scaled(_CELL_PX).blocks(_CELL_PX):
            part, whole = cell.intersection(window), cell.intersection(grid.window)
            if part is None or whole is None:
                continue
            with _turn(self.layers, grid, whole):
                cell_known, cell_hidden = _cell(self.layers, grid, whole)
            known[part.slices(window)] = cell_known[part.slices(whole)]
            hidden[part.slices(window)] = cell_hidden[part.slices(whole)]
        return known, hidden


def computed_masks(grid: Grid, layers: Sequence[Layer]) -> tuple[ComputedMask, ...]:
    """One mask per date. Raises UsageError where the package is not installed, SceneError where a band that
    it needs is missing or holds no reflectance, as ``with_units``."""
    if importlib.util.find_spec("ukis_csmask") is None:
        raise UsageError(
            "--cloud-mask ukis needs the package ukis-csmask, which is not installed.",
            remedy="Install it: pip install 'geopanoptic[clouds]', or choose another --cloud-mask.",
        )
    by_date: dict[date | None, list[Layer]] = {}
    for layer in layers:
        by_date.setdefault(layer.date, []).append(layer)
    bands = {when: {layer.band for layer in own} for when, own in by_date.items()}
    for when, available in bands.items():
        if missing := [band for band in _NEEDED if band not in available]:
            raise SceneError(
                f"--cloud-mask ukis needs the {' and the '.join(missing)} band{f' on {when}' if when else ''}.",
                remedy="Add it, leave the date out, or choose another --cloud-mask.",
            )
    if small := next((layer for layer in layers if np.dtype(layer.dtype).itemsize < 2), None):
        raise SceneError(
            f"--cloud-mask ukis needs reflectances, and {shown(small.source.name)} holds {small.dtype}.",
            remedy="Give the original product, or choose another --cloud-mask.",
        )
    seen = with_units(
        grid,
        [
            layer
            for layer in layers
            if layer.band in _NEEDED or (layer.band in _ALSO and bands[layer.date].issuperset(_ALSO))
        ],
    )
    return tuple(
        ComputedMask(date=when, layers=tuple(layer for layer in seen if layer.date == when)) for when in bands
    )


@functools.lru_cache(maxsize=_KEPT_CELLS)
def _turn(layers: tuple[Layer, ...], grid: Grid, cell: Window) -> threading.Lock:
    """Threads that want the same cell wait for the one that computes it."""
    return threading.Lock()


@functools.lru_cache(maxsize=_KEPT_CELLS)
def _cell(layers: tuple[Layer, ...], grid: Grid, cell: Window) -> Seen:
    from ukis_csmask.mask import CSmask

    around = cell.grown(_MARGIN_PX)
    # A damaged block is told of where its bands are read; here its pixels are unknown.
    values, valid = read_layers(grid, layers, around, lambda _: None)
    inner = cell.slices(around)
    if not valid[inner].any():
        return valid[inner], np.zeros(cell.shape, np.bool_)
    for plane, layer in zip(values, layers, strict=True):
        plane /= layer.reflectance_of_one
    found = CSmask(
        img=np.ascontiguousarray(values.transpose(1, 2, 0)),
        band_order=[layer.band for layer in layers],
        product_level="l2a",
        intra_op_num_threads=1,
        inter_op_num_threads=1,
        providers=["CPUExecutionProvider"],
    )
    seen: NDArray[np.bool_] = found.valid[..., 0].astype(np.bool_)
    return valid[inner].copy(), ~seen[inner]
