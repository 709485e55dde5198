"""Synthetic seasons: one landscape on several dates of a year, under clouds, and the exact truth about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geopanoptic.grid import Grid
from geopanoptic.training.synthetic.landscape import Landscape, procedural_landscape
from geopanoptic.training.synthetic.overflight import CLEAR, Habits, fly_over
from geopanoptic.training.synthetic.phenology import KINDS, YEAR_DAYS
from geopanoptic.training.synthetic.scene import FULL_SCALE, faults, refuse, utm_grid
from geopanoptic.training.synthetic.season_ground import SeasonGround
from geopanoptic.training.synthetic.spectra import BANDS
from geopanoptic.training.synthetic.truth import cover_of, parcels_of, write_truth

if TYPE_CHECKING:
    import geopandas

_LEAST_GAP_DAYS = 5
_YEAR = 2021


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticSeries:
    """Dated images of one landscape and what is truly in it.

    images_tchw
        uint16 reflectance x 10000, 0 = no data (beyond the edge of the swath).
    bands, dates
        Names of the bands; dates ascending, in one year of the northern hemisphere.
    valid_thw
        bool: has data and its cloud mask does not hide it. Masks have faults, as real ones do.
    masked_thw
        bool: what the cloud mask hides.
    grid
        Place of the images on the map, UTM zone 32N.
    instances
        (2h, 2w) int32 on ``grid.scaled(2)``: parcels 1..n, each 4-connected; 0 where no parcel is.
    cover
        (2h, 2w) uint8: index into ``truth.COVER_NAMES``; 0 just where a parcel is.
    kinds
        (n + 1,) uint8: place of every parcel's kind in ``KINDS``; the first is unused.
    """

    images_tchw: NDArray[np.uint16]
    bands: tuple[str, ...]
    dates: tuple[date, ...]
    valid_thw: NDArray[np.bool_]
    masked_thw: NDArray[np.bool_]
    grid: Grid
    instances: NDArray[np.int32]
    cover: NDArray[np.uint8]
    kinds: NDArray[np.uint8]

    def __repr__(self) -> str:
        n_dates, n_bands, height, width = self.images_tchw.shape
        return (
            f"<SyntheticSeries: {n_dates} dates from {self.dates[0]} to {self.dates[-1]}, {height} x {width} pixels, "
            f"{n_bands} bands, {len(self.kinds) - 1:,} parcels>"
        )

    @property
    def days(self) -> tuple[float, ...]:
        """Days of the year, 1 to 366."""
        return tuple(float(each.timetuple().tm_yday) for each in self.dates)

    @property
    def classes(self) -> NDArray[np.uint8]:
        """(2h, 2w) uint8: class index of the series bundle, ``KINDS`` before ``COVERS``."""
        return np.where(self.instances > 0, self.kinds[self.instances], self.cover + (len(KINDS) - 1)).astype(
            np.uint8
        )

    def parcels(self) -> geopandas.GeoDataFrame:
        """One polygon per parcel: ``parcel_id`` as in ``instances``, ``class_name`` (its kind), ``area_m2``."""
        parcels = parcels_of(self.instances, self.grid.scaled(2))
        parcels.insert(1, "class_name", [KINDS[kind] for kind in self.kinds[parcels["parcel_id"]]])
        return parcels

    def land_cover(self) -> geopandas.GeoDataFrame:
        """One polygon per connected area of the ground between parcels: ``class_name``, ``area_m2``."""
        return cover_of(self.cover, self.grid.scaled(2))

    def to_geotiffs(self, folder: str | Path) -> None:
        """Write ``S2_YYYYMMDD.tif`` (all bands, named) and ``S2_YYYYMMDD_cloudmask.tif`` (1 = hidden) per date."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for when, image, masked in zip(self.dates, self.images_tchw, self.masked_thw, strict=True):
            stem = f"S2_{when:%Y%m%d}"
            self._write(folder / f"{stem}.tif", image, self.bands, nodata=0)
            self._write(
                folder / f"{stem}_cloudmask.tif", masked[None].astype(np.uint8), ("cloudmask",), nodata=None
            )

    def to_gpkg(self, path: str | Path) -> None:
        """Write the truth as GeoPackage with the layers ``parcels`` and ``landcover``; replaces ``path``."""
        write_truth(path, self.parcels(), self.land_cover())

    def _write(
        self, path: Path, planes: NDArray[np.unsignedinteger], names: Sequence[str], nodata: int | None
    ) -> None:
        import rasterio

        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            dtype=planes.dtype,
            count=len(planes),
            height=self.grid.height,
            width=self.grid.width,
            crs=self.grid.crs_wkt,
            transform=self.grid.transform,
            nodata=nodata,
            tiled=True,
            compress="deflate",
        ) as file:
            file.write(planes)
            file.descriptions = tuple(names)


def synthesize_series(
    shape: tuple[int, int],
    *,
    days: Sequence[int] | None = None,
    n_dates: int = 12,
    pixel_size_m: float = 10.0,
    bands: Sequence[str] = BANDS,
    character: str | None = None,
    seed: int = 0,
    weather: bool = True,
) -> SyntheticSeries:
    """A season of images of ``shape`` (rows, cols) with exact truth; the same arguments give the same series.

    Parameters
    ----------
    shape
        Rows and columns of the images. Memory: about 0.5 GB per million pixels and 25 MB more per date.
    days
        Days of the year of the dates, 1 to 365, all different; None draws ``n_dates`` of them, at least five
        days apart where the year has room.
    pixel_size_m
        1 to 30 metres.
    bands
        Names out of ``BANDS``, in the order wanted.
    character
        Kind of country, a name in ``CHARACTERS``; None draws one.
    seed
        Not negative.
    weather
        Whether there are clouds, haze, swath edges, and unequal sensors that do not quite overlie.

    Raises
    ------
    UsageError
        For an argument outside its range or an unknown name.
    """
    given = None if days is None else list(days)
    refuse(
        "synthesize_series",
        {
            **faults(shape, pixel_size_m, bands, seed),
            f"n_dates {n_dates}, expected 1 to 365": given is None and n_dates not in range(1, 366),
            f"days {given}, expected different numbers from 1 to 365": given is not None
            and (not given or len(set(given)) != len(given) or not set(given) <= set(range(1, 366))),
        },
    )
    rng = np.random.default_rng(seed)
    drawn = draw_days(n_dates, rng) if given is None else np.sort(np.array(given, np.int64))
    grid = utm_grid(shape, pixel_size_m)
    landscape = procedural_landscape(
        (2 * shape[0], 2 * shape[1]), rng, character=character, pixel_m=pixel_size_m / 2
    )
    return series_of(landscape, drawn, rng, grid=grid, bands=bands, weather=weather)


def series_of(
    landscape: Landscape,
    days: NDArray[np.int64],
    rng: np.random.Generator,
    *,
    grid: Grid,
    bands: Sequence[str] = BANDS,
    weather: bool = True,
) -> SyntheticSeries:
    """The images of a landscape, drawn at twice the resolution of ``grid``, on ascending ``days``."""
    ground = SeasonGround.draw(landscape, rng)
    habits = Habits.draw(rng) if weather else CLEAR
    places = [BANDS.index(name) for name in bands]
    images = np.zeros((len(days), len(bands), *grid.shape), np.uint16)
    swath, masked = np.zeros((2, len(days), *grid.shape), bool)
    for t, day in enumerate(days):
        seen = fly_over(
            ground.at(float(day), rng), rng, habits=habits, pixel_m=2 * landscape.pixel_m, weather=weather
        )
        images[t] = np.round(seen.image_chw[places] * FULL_SCALE)
        swath[t], masked[t] = seen.swath_hw, seen.masked_hw
    return SyntheticSeries(
        images_tchw=images,
        bands=tuple(bands),
        dates=tuple(date(_YEAR, 1, 1) + timedelta(days=int(day) - 1) for day in days),
        valid_thw=swath & ~masked,
        masked_thw=masked,
        grid=grid,
        instances=landscape.instances,
        cover=landscape.cover,
        kinds=ground.seasons.kind,
    )


def draw_days(n_dates: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Ascending days of the year at irregular distances, at least five days apart where there is room."""
    least = min(_LEAST_GAP_DAYS, int(YEAR_DAYS) // n_dates)
    free = int(YEAR_DAYS) - least * n_dates
    return np.asarray(np.sort(rng.integers(0, free + 1, n_dates)) + least * np.arange(n_dates) + 1)
