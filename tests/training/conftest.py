"""A miniature of the real data folders that the sample writer reads, with known content."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from shapely import box

AERIAL_PX = 96
FIELDS = (((6, 6), (42, 6), (42, 54), (6, 54)), ((48, 6), (90, 6), (90, 54), (48, 54)))
"""Two fields, corners as x, y: 36 x 48 and 42 x 48 pixels with a gap of 6; nothing is drawn below them."""
NAMES = tuple(f"{40 + number}.5--{90 + number}.25" for number in range(8))
PARCEL_SIDE_M = 80
NDVI_PX = 200
LAND_USE = ((2, 2, 1, 0), (2, 3, 3, 8))
"""Forest, cultivated, unknown; forest, grassland, built-up, each 10 x 10 pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallData:
    """The miniature's folder and what is in it."""

    folder: Path
    names: tuple[str, ...] = NAMES
    land_use: tuple[tuple[int, ...], ...] = LAND_USE
    parcel_side_m: float = PARCEL_SIDE_M
    aerial_px: int = AERIAL_PX


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> SmallData:
    folder = tmp_path_factory.mktemp("data")
    _write_aerials(folder / "fields-naip-midwest")
    _write_parcels(folder / "ndvi-brp-netherlands")
    _write_patch(folder / "eo-patch-slovenia")
    return SmallData(folder=folder)


def _aerial() -> np.ndarray:
    """(h, w, RGB) uint8: red grows to the right, green downwards, blue to the left."""
    along = np.linspace(20, 220, AERIAL_PX)
    red, green = np.meshgrid(along, along)
    return np.stack([red, green, red[:, ::-1]], -1).astype(np.uint8)


def _write_aerials(folder: Path) -> None:
    (folder / "images").mkdir(parents=True)
    entries = {}
    for name in NAMES:
        Image.fromarray(_aerial()).save(folder / "images" / f"{name}.png")
        regions = [
            {"shape_attributes": {"name": "polygon", "all_points_x": xs, "all_points_y": ys}}
            for xs, ys in (zip(*field, strict=True) for field in FIELDS)
        ]
        # Half-drawn shapes occur in real annotations.
        regions.append({"shape_attributes": {"name": "polygon", "all_points_x": [1], "all_points_y": [1]}})
        entries[name] = {"filename": f"{name}.png", "regions": regions}
    (folder / "annotations.json").write_text(json.dumps(entries))


def _write_parcels(folder: Path) -> None:
    side = PARCEL_SIDE_M
    boxes = [
        box(side * i, side * j, side * i + side, side * j + side / (1 + i % 2))
        for i in range(20)
        for j in range(20)
    ]
    shapefile = folder / "shapefile"
    shapefile.mkdir(parents=True)
    geopandas.GeoDataFrame(geometry=boxes, crs="EPSG:28992").to_file(shapefile / "fields.shp")
    shutil.make_archive(str(folder / "fields_cropped"), "zip", shapefile)
    # The vegetation index: bare in the south, growing greener eastwards elsewhere; 10 m pixels.
    ndvi = np.tile(np.linspace(0.5, 0.9, NDVI_PX, dtype=np.float32), (NDVI_PX, 1))
    ndvi[-NDVI_PX // 4 :] = 0.1
    with rasterio.open(
        folder / "NDVI.tif",
        "w",
        driver="GTiff",
        height=NDVI_PX,
        width=NDVI_PX,
        count=1,
        dtype="float32",
        crs="EPSG:28992",
        transform=Affine(10, 0, 0, 0, -10, 10 * NDVI_PX),
    ) as raster:
        raster.write(ndvi, 1)


def _write_patch(folder: Path) -> None:
    use = np.kron(np.array(LAND_USE, np.uint16), np.ones((10, 10), np.uint16))
    masks = folder / "TestEOPatch" / "mask_timeless"
    masks.mkdir(parents=True)
    np.save(masks / "LULC.npy", use[..., None])
    rng = np.random.default_rng(0)
    clear = rng.uniform(0.03, 0.12, (2, *use.shape, 13)).astype(np.float32)
    cloudy = rng.uniform(0.3, 0.6, (1, *use.shape, 13)).astype(np.float32)
    np.save(folder / "REFERENCE_SCENES.npy", np.concatenate([cloudy, clear]))
