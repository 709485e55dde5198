"""Cloud masks: rasters beside the images that say where a date does not show the ground.

What hides a pixel, by ``kind``:

- ``scl``, Sentinel-2's scene classification (Sen2Cor): no data (0), saturated (1), cloud shadow (3), clouds
  of medium and high probability (8, 9), thin cirrus (10) and snow (11), which hides a crop as a cloud does and
  is often a cloud mistaken for snow. Dark areas (2) stay: they are water, burnt land and dark soil as often as
  topographic shadow. So do unclassified pixels (7), which ploughed and built land often is.
- ``cloud``: any number but 0.
- ``probability``: at least half of ``full``, the number that means certainty.
- ``classi``, the three bands that Level-1C products have since baseline 04.00: opaque clouds, cirrus, snow; any
  number but 0 in any of them.
- ``qa_pixel`` (Landsat Collection 2), ``fmask`` (Harmonised Landsat Sentinel-2) and ``qa60`` (Sentinel-2 as
  Earth Engine exports it): any bit of cloud, its surroundings, cirrus or shadow.
- ``udm2``, the eight bands that come with Planet's scenes: 0 in ``clear``, the first (snow, shadow, haze, cloud).

A mask is read by the nearest pixel, on whatever grid it comes. Where it declares no data, or does not reach,
a pixel counts as hidden: nobody knows what it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from geopanoptic.grid import Grid, Window
from geopanoptic.scene.bands.headers import BandHeader, FileHeader, Source
from geopanoptic.scene.files.alignment import Alignment
from geopanoptic.scene.files.blocks import FileWindow, OnUnreadable, Stored, refuse
from geopanoptic.scene.files.datasets import GdalSource
from geopanoptic.scene.files.resampling import axes_of

MaskKind = Literal["scl", "qa_pixel", "fmask", "udm2", "qa60", "classi", "cloud", "probability"]

CloudMask = Literal["auto", "scl", "band", "ukis", "none"]
"""Which masks count: those that lie beside the images, the best of several (auto); only a scene
classification; any other band; computed by ukis-csmask; or none."""

UDM2: Final = "udm2"
WITH_SHADOWS: tuple[MaskKind, ...] = ("scl", "qa_pixel", "fmask", UDM2)
PREFERENCE: tuple[MaskKind, ...] = (*WITH_SHADOWS, "qa60", "classi", "cloud", "probability")
"""Which of a date's masks counts: those that know shadows first."""

_SCL_NO_DATA = 0
_SCL_HIDDEN = np.isin(np.arange(256), (_SCL_NO_DATA, 1, 3, 8, 9, 10, 11))
_BITS: dict[MaskKind, int] = {"qa_pixel": 0b11111, "fmask": 0b1111, "qa60": 0b11 << 10}
_FILL_BIT: dict[MaskKind, int] = {"qa_pixel": 0b1}
_BANDS: dict[MaskKind, int] = {"classi": 3}
_UDM2_BANDS = 8
_WORDS: dict[str, tuple[MaskKind, float]] = {
    "scl": ("scl", 1), "sceneclassification": ("scl", 1), "qapixel": ("qa_pixel", 1), "fmask": ("fmask", 1), "qa60": ("qa60", 1),
    "cloud": ("cloud", 1), "clouds": ("cloud", 1), "cloudmask": ("cloud", 1), "clm": ("cloud", 1),
    "cld": ("probability", 100), "cldprb": ("probability", 100), "clp": ("probability", 255),
    "cloudprobability": ("probability", 100), UDM2: ("udm2", 1),
}  # fmt: skip

MASK_WORDS = frozenset(_WORDS)
"""The words that :func:`mask_of` knows."""

Seen = tuple[NDArray[np.bool_], NDArray[np.bool_]]
"""Where a mask knows something, and where it says that the ground is hidden: bool (H, W) each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedMask:
    """One band that is the mask of a date: where it is, how its numbers are meant.

    ``full``: the number of a ``probability`` that means certainty: 1, 100 or 255. Of fractional numbers only a look
    at them tells whether it is not 1 all the same.
    """

    file: FileHeader
    header: BandHeader
    kind: MaskKind
    date: date | None
    full: float = 1.0


def mask_of(word: str, file: FileHeader, header: BandHeader, when: date | None) -> NamedMask | None:
    """The mask that a band is by the word it is named with (``scl``, ``clm``, ...), or None.

    A cloud band of fractional numbers is a probability; classes and bits may be stored as such numbers. Of a ``udm2``
    the first of its eight bands counts; with another number of bands none is it for sure.
    """
    if word not in _WORDS:
        return None
    kind, full = _WORDS[word]
    if kind == UDM2:
        if len(file.bands) != _UDM2_BANDS:
            return None
        header = file.bands[0]
    if kind == "cloud" and np.dtype(header.dtype).kind == "f":
        kind = "probability"
    return NamedMask(file=file, header=header, kind=kind, date=when, full=float(full))


class Mask(Protocol):
    """What hides pixels of one date."""

    @property
    def name(self) -> str:
        """What it is, for ``run.json``."""

    @property
    def date(self) -> date | None: ...

    @property
    def sources(self) -> tuple[Source, ...]:
        """The files it is read from."""

    def read(self, grid: Grid, window: Window, on_unreadable: OnUnreadable = refuse) -> Seen:
        """What it says over ``window`` of the scene's ``grid``, within it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskLayer:
    """A mask that is stored: ``alignment`` relates the scene's grid to the file's ``grid``."""

    kind: MaskKind
    date: date | None
    source: Source
    index: int
    dtype: str
    nodata: float | None
    full: float
    grid: Grid
    alignment: Alignment

    @property
    def name(self) -> str:
        return self.kind

    @property
    def sources(self) -> tuple[Source, ...]:
        return (self.source,)

    @property
    def indexes(self) -> tuple[int, ...]:
        """The bands of the file that it consists of."""
        return tuple(range(self.index, self.index + _BANDS.get(self.kind, 1)))

    def read(self, grid: Grid, window: Window, on_unreadable: OnUnreadable = refuse) -> Seen:
        """As :meth:`Mask.read`; a block that cannot be decoded knows nothing."""
        axes = axes_of(window, self.alignment, self.grid.shape)
        if axes is None:
            return np.zeros(window.shape, np.bool_), np.zeros(window.shape, np.bool_)
        rows, cols, origin = axes
        known, hidden = self._stored(origin, on_unreadable)
        nearest = np.ix_(rows.nearest - origin.row0, cols.nearest - origin.col0)
        return known[nearest] & rows.inside[:, None] & cols.inside[None, :], hidden[nearest]

    def numbers(self, window: Window, on_unreadable: OnUnreadable = refuse) -> Stored:
        """What is stored in a window of the file (bands, H, W), and where it could be decoded."""
        if not isinstance(self.source, GdalSource):
            return self.source.read(self.indexes, window, self.dtype, on_unreadable)
        return FileWindow(
            source=self.source,
            indexes=self.indexes,
            window=window,
            dtype=self.dtype,
            alpha_index=None,
            mask_indexes=(),
        ).read(on_unreadable)

    def _stored(self, window: Window, on_unreadable: OnUnreadable) -> Seen:
        numbers, decoded = self.numbers(window, on_unreadable)
        each = [meaning_of(band, self.kind, nodata=self.nodata, full=self.full) for band in numbers]
        known = np.logical_and.reduce([decoded, *(told for told, _ in each)])
        return known, np.logical_or.reduce([hides for _, hides in each])


def meaning_of(numbers_hw: NDArray[Any], kind: MaskKind, *, nodata: float | None, full: float) -> Seen:
    """What the stored numbers of a mask say.

    A declared ``nodata`` of 0 counts for a classification only: in other masks 0 is what a clear pixel is
    called, and programs declare it out of habit. NaN is no data in any.
    """
    known = np.ones(numbers_hw.shape, np.bool_)
    if nodata is not None and (nodata != 0 or kind == "scl"):
        known &= numbers_hw != nodata
    if numbers_hw.dtype.kind == "f":
        known &= np.isfinite(numbers_hw)
        numbers_hw = np.where(known, numbers_hw, 0)
    if kind == "scl":
        classes = np.clip(numbers_hw, 0, 255).astype(np.uint8)
        return known & (classes != _SCL_NO_DATA), _SCL_HIDDEN[classes]
    if kind in _BITS:
        bits = numbers_hw.astype(np.int64)
        return known & (bits & _FILL_BIT.get(kind, 0) == 0), bits & _BITS[kind] != 0
    if kind == UDM2:
        return known, numbers_hw == 0
    hidden = numbers_hw >= full / 2 if kind == "probability" else numbers_hw != 0
    return known, hidden


def preferred(masks: Sequence[NamedMask]) -> NamedMask:
    """Of a date's masks the one that counts: by kind, then the finest, then by name."""

    def rank(mask: NamedMask) -> tuple[int, float, str]:
        pixel = abs(mask.file.grid.transform.determinant)
        return PREFERENCE.index(mask.kind), pixel, mask.file.source.name

    return min(masks, key=rank)
