"""The Scene: a grid, bands by name, dates, and pixels of any window. It holds no open file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geopanoptic.errors import SceneError, UsageError
from geopanoptic.grid import Grid, Window
from geopanoptic.scene.bands.headers import Source
from geopanoptic.scene.bands.masking import Mask
from geopanoptic.scene.files.arrays import ArraySource
from geopanoptic.scene.files.blocks import OnUnreadable, refuse
from geopanoptic.scene.pixels.reading import Layer, Pixels, read_layers
from geopanoptic.scene.pixels.reduction import Reduction, factor_for, working_factor

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from numpy.typing import NDArray


_LISTED_DATES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class DateLeftOut:
    """A date that the files have and the scene has not; ``damaged``: because a file cannot be opened."""

    date: date | None
    reason: str
    damaged: bool

    @property
    def message(self) -> str:
        """For a note or a warning."""
        return f"{self.date} is left out: {self.reason}."

    def to_json(self) -> dict[str, Any]:
        """For ``run.json``."""
        return {"date": str(self.date), "reason": self.reason, "damaged": self.damaged}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Scene:
    """Satellite image(s) of one place on one grid, opened from headers only.

    Picklable, hashable and safe to share between threads: each thread opens its own datasets on the first
    read. ``masks`` hide pixels of their date; ``cloud_shares`` (0..1) are those that the files state. ``reduction``
    makes the pixels of ``grid`` of smaller ones, see ``reduced``; None: they are the finest file's. ``assumed_crs``, in
    the user's words, is that of files which state none; None: all do.
    ``notes`` say what was done (resampling, bands left out), ``warnings`` what was assumed.
    """

    name: str
    grid: Grid
    layers: tuple[Layer, ...]
    masks: tuple[Mask, ...] = ()
    reduction: Reduction | None = None
    cloud_shares: tuple[tuple[date | None, float], ...] = ()
    left_out: tuple[DateLeftOut, ...] = ()
    assumed_crs: str | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def bands(self) -> tuple[str, ...]:
        """Canonical band names in the order of the files, without those left out."""
        return tuple(dict.fromkeys(layer.band for layer in self.layers))

    @property
    def bands_by_date(self) -> dict[date | None, tuple[str, ...]]:
        """The bands of every date, in the order of its files; a date may lack some that others have."""
        found: dict[date | None, list[str]] = {}
        for layer in self.layers:
            found.setdefault(layer.date, []).append(layer.band)
        return {when: tuple(bands) for when, bands in found.items()}

    @property
    def dates(self) -> tuple[date | None, ...]:
        """Acquisition dates, ascending; ``(None,)`` where nothing states one."""
        return tuple(dict.fromkeys(layer.date for layer in self.layers))

    @property
    def stored_grid(self) -> Grid:
        """The grid of the finest file, to which layers and masks refer."""
        return self.grid if self.reduction is None else self.reduction.stored

    @property
    def sources(self) -> tuple[Source, ...]:
        """The files (local, remote) or arrays that the scene reads, each once."""
        masks = (source for mask in self.masks for source in mask.sources)
        return tuple(dict.fromkeys((*(layer.source for layer in self.layers), *masks)))

    @property
    def files(self) -> tuple[Path | str, ...]:
        """The paths of those files, symbolic links resolved; addresses of remote ones, without secrets."""
        return tuple(source.path for source in self.sources if not isinstance(source, ArraySource))

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The stored type that holds every band's values (``read`` gives float32)."""
        return np.result_type(*(np.dtype(layer.dtype) for layer in self.layers))

    @property
    def nodata(self) -> tuple[float | None, ...]:
        """The declared nodata value of each band (of the first date); None: none declared."""
        first = {layer.band: layer.nodata for layer in reversed(self.layers)}
        return tuple(first[band] for band in self.bands)

    def at(self, when: date | str) -> Scene:
        """This scene with one of its dates only. Raises SceneError where it has no such date."""
        return select_dates(self, [when])

    def single_dates(self) -> tuple[Scene, ...]:
        """One scene per date, ascending."""
        if len(self.dates) == 1:
            return (self,)
        return tuple(self.at(when) for when in self.dates if when is not None)

    def layers_of(self, bands: Sequence[str] | None = None) -> tuple[Layer, ...]:
        """One layer per band in the given order (default: all). Raises SceneError for a band that the
        scene has not, and for a scene of several dates."""
        if len(self.dates) > 1:
            raise SceneError(
                f"{self.name} has {len(self.dates)} dates ({listed(self.dates)}) and one is needed.",
                remedy=f"Choose one with --dates {self.dates[0]} or scene.at({str(self.dates[0])!r}).",
            )
        by_band = {layer.band: layer for layer in self.layers}
        missing = [band for band in bands or () if band not in by_band]
        if missing:
            raise SceneError(
                f"{self.name} has no {' and no '.join(missing)} band; it has {', '.join(self.bands)}.",
                remedy="Add the missing band's file, or name the bands with --bands.",
            )
        return self.layers if bands is None else tuple(by_band[band] for band in bands)

    def read(
        self,
        window: Window,
        bands: Sequence[str] | None = None,
        *,
        on_unreadable: OnUnreadable = refuse,
    ) -> Pixels:
        """Values float32 (C, H, W), scale and offset applied, 0 where invalid; validity bool (H, W).

        ``window`` may reach outside the scene and is invalid there. A pixel is valid where all of
        ``bands`` (default: all of the scene) are valid and no cloud mask hides it. The result at a pixel
        does not depend on the window. Raises SceneError as ``layers_of``, and for blocks that cannot be decoded;
        ``on_unreadable=found.append`` lists these instead and leaves their pixels invalid.
        """
        layers = self.layers_of(bands)
        if self.reduction is not None:
            return self.reduction.read(layers, window, on_unreadable, masks=self.masks)
        return read_layers(self.grid, layers, window, on_unreadable, masks=self.masks)

    def reduced(self, factor: int) -> Scene:
        """This scene in pixels ``factor`` times as wide as the finest file's, each the mean of the valid ones among
        ``factor`` x ``factor`` and valid where at least half of them are; 1: the files' own pixels.

        Raises UsageError below 1, and where not one pixel would be left of the longer side.
        """
        if not 1 <= factor <= max(self.stored_grid.shape):
            height, width = self.stored_grid.shape
            raise UsageError(
                f"{self.name} has {width} x {height} pixels, which cannot be reduced {factor} times.",
                remedy="Name a smaller pixel size.",
            )
        if factor == 1:
            return replace(self, grid=self.stored_grid, reduction=None)
        reduction = Reduction(stored=self.stored_grid, factor=factor)
        return replace(self, grid=reduction.grid, reduction=reduction)

    def at_pixel_size(self, pixel_m: float) -> Scene:
        """This scene ``reduced`` to pixels of about ``pixel_m`` metres; as stored where those are no finer."""
        return self.reduced(factor_for(max(self.stored_grid.pixel_size_m()), pixel_m))

    def for_network(self, working_pixel_m: float | None) -> Scene:
        """This scene ``reduced`` as a network likes it that draws best at ``working_pixel_m``, see ``working_factor``."""
        grid = self.stored_grid
        return self.reduced(working_factor(grid.shape, max(grid.pixel_size_m()), working_pixel_m))

    def fingerprint(self) -> str:
        """SHA-256 over files (path, size, time of change or version), bands, dates, masks and grid."""
        digest = hashlib.sha256(repr((self.grid, self.layers, self.masks)).encode(errors="surrogateescape"))
        return digest.hexdigest()

    def changed_files(self) -> tuple[Path | str, ...]:
        """The files that were edited, replaced or removed since the scene was opened."""
        return tuple(source.path for source in self.sources if source.has_changed())

    def to_xarray(self, *, chunk_px: int = 1024) -> xarray.DataArray:
        """Lazy, dask-backed float32 DataArray ((time,) band, y, x), NaN where invalid, CRS in ``.rio.crs``.

        Its attribute ``reflectance_of_one`` is what stands for a reflectance of 1, where the files tell.
        """
        from geopanoptic.scene.xarrays import to_xarray

        return to_xarray(self, chunk_px=chunk_px)

    def quicklook(self, bands: Sequence[str] | None = None, *, longest_px: int = 1024) -> NDArray[np.uint8]:
        """RGB picture (H, W, 3), decimated, stretched between the 2nd and 98th percentile, invalid white.

        Of a scene of several dates, the one that shows most of the ground, and where a mask hides it the next.
        """
        from geopanoptic.scene.display import quicklook

        return quicklook(self, bands, longest_px=longest_px)

    def plot(
        self, bands: Sequence[str] | None = None, *, ax: Axes | None = None, longest_px: int = 1024
    ) -> Axes:
        """Draws ``quicklook`` in map coordinates on a matplotlib axes, which it returns."""
        from geopanoptic.scene.display import plot

        return plot(self, bands, ax=ax, longest_px=longest_px)

    def __repr__(self) -> str:
        from geopanoptic.scene.display import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from geopanoptic.scene.display import as_html

        return as_html(self)


def select_dates(scene: Scene, dates: Sequence[date | str]) -> Scene:
    """The scene with the given dates only, ascending. Raises SceneError for a date it does not have."""
    wanted = {parse_date(when) for when in dates}
    missing = wanted - set(scene.dates)
    if missing:
        raise SceneError(
            f"{scene.name} has no image of {listed(sorted(missing))}; it has {listed(scene.dates)}.",
            remedy="Choose from those dates."
            if any(scene.dates)
            else "Say which it is of when you open it: dates='2021-06-15'.",
        )
    return replace(
        scene,
        layers=tuple(layer for layer in scene.layers if layer.date in wanted),
        masks=tuple(mask for mask in scene.masks if mask.date in wanted),
        cloud_shares=tuple(item for item in scene.cloud_shares if item[0] in wanted),
    )


def parse_date(when: date | str | np.datetime64) -> date:
    """A date (NumPy's and pandas' too), or ``2021-06-15`` / ``20210615`` as one. Raises UsageError for anything else."""
    if isinstance(when, date):
        return date(when.year, when.month, when.day)
    if isinstance(when, np.datetime64):
        when = str(when.astype("datetime64[D]"))
    try:
        return date.fromisoformat(when.strip())
    except (ValueError, AttributeError):
        raise UsageError(f"{when!r} is not a date.", remedy="Write it like 2021-06-15.") from None


def listed(dates: Sequence[date | None]) -> str:
    """Dates for a message, a dozen at most."""
    words = [str(when) if when else "no stated date" for when in dates]
    if len(words) > _LISTED_DATES:
        words[_LISTED_DATES - 1 : -1] = [f"... ({len(words) - _LISTED_DATES} more)"]
    return ", ".join(words)
