"""Synthetic scenes for everybody: an image on a map, and the exact truth about it as raster and vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from geopanoptic.errors import UsageError
from geopanoptic.grid import Grid
from geopanoptic.training.synthetic.landscape import Landscape, landscape_of_outlines, procedural_landscape
from geopanoptic.training.synthetic.outlines import RealParcels
from geopanoptic.training.synthetic.painting import paint, random_month
from geopanoptic.training.synthetic.spectra import BANDS
from geopanoptic.training.synthetic.truth import cover_of, parcels_of, write_truth

if TYPE_CHECKING:
    import geopandas
    import xarray

_PIXEL_RANGE_M = (1.0, 30.0)
_CRS = "EPSG:32632"
_ORIGIN = (500_000.0, 5_800_000.0)
FULL_SCALE = 10_000
_WHITE = {"blue": 0.3558, "green": 0.3558, "red": 0.3558}  # as in Sentinel-2's true-colour product
_WHITE_INFRARED = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticScene:
    """A generated image and what is truly in it.

    image
        (bands, h, w), 0 = no data (occurs nowhere): uint16 reflectance x 10000, or uint8 from 1 (dark) to 255
        (reflectance 0.3558 and more in the visible, 0.7 and more beyond).
    bands
        Names of the image's bands.
    grid
        Place of the image on the map, UTM zone 32N.
    instances
        (2h, 2w) int32 on ``grid.scaled(2)``: parcels 1..n, each 4-connected; 0 where no parcel is.
    cover
        (2h, 2w) uint8 on ``grid.scaled(2)``: index into ``truth.COVER_NAMES``; 0 just where ``instances`` > 0.
    month
        1..12, of the northern hemisphere.
    """

    image: NDArray[np.uint16] | NDArray[np.uint8]
    bands: tuple[str, ...]
    grid: Grid
    instances: NDArray[np.int32]
    cover: NDArray[np.uint8]
    month: int

    def __repr__(self) -> str:
        n_bands, height, width = self.image.shape
        return (
            f"<SyntheticScene: {height} x {width} pixels, {n_bands} bands, month {self.month}, "
            f"{self.instances.max():,} parcels>"
        )

    def parcels(self) -> geopandas.GeoDataFrame:
        """One polygon per parcel along label pixels: ``parcel_id`` as in ``instances``, ``area_m2``."""
        return parcels_of(self.instances, self.grid.scaled(2))

    def land_cover(self) -> geopandas.GeoDataFrame:
        """One polygon per connected area of the ground between parcels: ``class_name``, ``area_m2``."""
        return cover_of(self.cover, self.grid.scaled(2))

    def to_geotiff(self, path: str | Path) -> None:
        """Write the image as tiled GeoTIFF with band names."""
        import rasterio

        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            dtype=self.image.dtype,
            count=len(self.bands),
            height=self.grid.height,
            width=self.grid.width,
            crs=self.grid.crs_wkt,
            transform=self.grid.transform,
            nodata=0,
            tiled=True,
            compress="deflate",
        ) as file:
            file.write(self.image)
            file.descriptions = self.bands

    def to_gpkg(self, path: str | Path) -> None:
        """Write the truth as GeoPackage with the layers ``parcels`` and ``landcover``; replaces ``path``."""
        write_truth(path, self.parcels(), self.land_cover())

    def to_dataarray(self) -> xarray.DataArray:
        """The image as (band, y, x) with map coordinates of pixel centres and the CRS, as rioxarray has it."""
        import rioxarray  # noqa: F401  (registers .rio)
        import xarray

        col, row = np.arange(self.grid.width) + 0.5, np.arange(self.grid.height) + 0.5
        array = xarray.DataArray(
            self.image,
            dims=("band", "y", "x"),
            coords={
                "band": list(self.bands),
                "y": self.grid.transform.f + self.grid.transform.e * row,
                "x": self.grid.transform.c + self.grid.transform.a * col,
            },
        )
        return (
            array.rio.write_crs(self.grid.crs_wkt)
            .rio.write_transform(self.grid.transform)
            .rio.write_nodata(0)
        )


def synthesize(
    shape: tuple[int, int],
    *,
    pixel_size_m: float = 10.0,
    bands: Sequence[str] = BANDS,
    character: str | None = None,
    outlines: str | Path | None = None,
    month: int | None = None,
    seed: int = 0,
    bits: Literal[8, 16] = 16,
    weather: bool = False,
    alike_edges: float = 1.0,
) -> SyntheticScene:
    """A scene of ``shape`` (rows, cols) with exact truth; the same arguments give the same scene.

    Parameters
    ----------
    shape
        Rows and columns of the image. Memory grows with it, about 0.4 GB per million pixels.
    pixel_size_m
        1 to 30 metres.
    bands
        Names out of ``BANDS``, in the order wanted; ``("red", "green", "blue")`` for a picture.
    character
        Kind of country, a name in ``CHARACTERS``: "plain", "mosaic", "strips", ...; None draws one.
    outlines
        File of real parcels to take the geometry from, vector or PASTIS ParcelIDs (.npy), instead of a
        character; the land around a random parcel is taken, turned and mirrored.
    month
        1 to 12, of the northern temperate zone; None draws one, summer more often than winter.
    seed
        Not negative.
    bits
        16: reflectance x 10000. 8: like a true-colour product, saturated where bright.
    weather
        Whether there may be haze, thin clouds and their shadows.
    alike_edges
        Share, 0 to 1, of the borders between neighbours that look alike on which a furrow shows. Without one nobody
        can tell where one parcel ends.

    Raises
    ------
    UsageError
        For an argument outside its range, an unknown name, or a file without parcels.
    """
    refuse(
        "synthesize",
        {
            **faults(shape, pixel_size_m, bands, seed),
            f"month {month}, expected 1 to 12": month is not None and month not in range(1, 13),
            f"bits {bits}, expected 8 or 16": bits not in (8, 16),
            f"alike_edges {alike_edges}, expected 0 to 1": not 0 <= alike_edges <= 1,
        },
    )
    if character is not None and outlines is not None:
        raise UsageError(
            f"character '{character}' and outlines {outlines} are both given, expected one of them.",
            remedy="Leave one of them out.",
        )
    rng = np.random.default_rng(seed)
    fine_shape, fine_m = (2 * shape[0], 2 * shape[1]), pixel_size_m / 2
    parcels = None if outlines is None else RealParcels.read(outlines)
    landscape = landscape_like(fine_shape, rng, character=character, parcels=parcels, pixel_m=fine_m)
    month = random_month(rng) if month is None else month
    painted = paint(landscape, rng, month=month, weather=weather, alike_edges=alike_edges)
    reflectance = painted[[BANDS.index(name) for name in bands]]
    return SyntheticScene(
        image=_in_bits(reflectance, bands, bits),
        bands=tuple(bands),
        grid=utm_grid(shape, pixel_size_m),
        instances=landscape.instances,
        cover=landscape.cover,
        month=month,
    )


def landscape_like(
    shape: tuple[int, int],
    rng: np.random.Generator,
    *,
    character: str | None,
    parcels: RealParcels | None,
    pixel_m: float,
) -> Landscape:
    """Country of a character, a random one if None, or around one of real ``parcels``."""
    if parcels is None:
        return procedural_landscape(shape, rng, character=character, pixel_m=pixel_m)
    drawn = parcels.draw(shape, rng, pixel_m=pixel_m)
    return landscape_of_outlines(drawn, shape, rng, pixel_m=pixel_m, nature=0)


def _in_bits(
    reflectance: NDArray[np.float32], bands: Sequence[str], bits: int
) -> NDArray[np.uint16] | NDArray[np.uint8]:
    if bits == 16:
        return np.clip(np.round(reflectance * FULL_SCALE), 1, 65_535).astype(np.uint16)
    white = np.array([_WHITE.get(name, _WHITE_INFRARED) for name in bands], np.float32)
    return np.clip(np.round(reflectance / white[:, None, None] * 255), 1, 255).astype(np.uint8)


def utm_grid(shape: tuple[int, int], pixel_size_m: float) -> Grid:
    import pyproj

    return Grid(
        crs_wkt=pyproj.CRS(_CRS).to_wkt(),
        transform=Affine(pixel_size_m, 0, _ORIGIN[0], 0, -pixel_size_m, _ORIGIN[1]),
        height=shape[0],
        width=shape[1],
    )


def refuse(function: str, wrong: Mapping[str, bool]) -> None:
    """Raise UsageError for the first of the descriptions of arguments that is true."""
    for what, is_wrong in wrong.items():
        if is_wrong:
            raise UsageError(f"{function}: {what}.", remedy="Change this argument.")


def faults(shape: tuple[int, int], pixel_size_m: float, bands: Sequence[str], seed: int) -> dict[str, bool]:
    """What may be wrong with the arguments that all synthetic scenes have, and whether it is."""
    low, high = _PIXEL_RANGE_M
    unknown = [name for name in bands if name not in BANDS]
    return {
        f"shape {shape}, expected two positive numbers": np.shape(shape) != (2,) or min(shape) < 1,
        f"pixel_size_m {pixel_size_m}, expected {low:g} to {high:g}": not low <= pixel_size_m <= high,
        f"bands {unknown}, expected names out of {', '.join(BANDS)}": bool(unknown) or not len(bands),
        f"seed {seed}, expected 0 or more": seed < 0,
    }
