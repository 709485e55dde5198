"""Any dated scene with parcels, cut into patches that ``write_pastis`` stores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray

from geopanoptic.errors import UsageError
from geopanoptic.evaluation.labelmap import PolygonLabels
from geopanoptic.grid import Window
from geopanoptic.scene import Scene
from geopanoptic.training.pastis.folder import CROPS, NODATA, PATCH_PX, VOID
from geopanoptic.training.pastis.writing import PIXEL_M, DatedImages, LabelledPatch
from geopanoptic.training.synthetic import BANDS

if TYPE_CHECKING:
    import geopandas

_MOSTLY = 0.5
_UTM_NORTH = 32_600  # EPSG's number of a zone less the zone


def patches_of_scene(
    scene: Scene,
    parcels: geopandas.GeoDataFrame,
    *,
    crop: str = "crop",
    first_number: int = 10_000,
    digital_numbers: float = 1.0,
) -> Iterator[LabelledPatch]:
    """The whole patches of a scene that hold a parcel, row by row, their folds in turn.

    ``crop`` is the column with the names of ``folder.CROPS``; parcels of other crops are background, and those
    that lie by more than half outside their patch are void. Values times ``digital_numbers`` are stored: 10,000
    for a scene of reflectances. Invalid pixels are stored as the data set's nodata.

    Raises ``UsageError`` for a scene without dates, one of the ten bands, a northern UTM zone or 10 m pixels, and
    for parcels without the column.
    """
    zone = _check(scene, parcels, crop)
    numbers = {name: number for number, name in enumerate(CROPS, 1)}
    outlines = parcels.to_crs(scene.grid.crs).geometry
    labels = PolygonLabels(outlines.to_numpy(), np.arange(1, len(parcels) + 1), scene.grid)
    class_of = np.array([0, *(numbers.get(name, 0) for name in parcels[crop])])
    size_px = np.array([np.inf, *(shapely.area(outlines.to_numpy()) / PIXEL_M**2)])
    number = first_number
    for row in range(0, scene.grid.height - PATCH_PX + 1, PATCH_PX):
        for col in range(0, scene.grid.width - PATCH_PX + 1, PATCH_PX):
            window = Window(row, col, row + PATCH_PX, col + PATCH_PX)
            parcels_hw = np.zeros(window.shape, np.int32)
            labels.draw(window, parcels_hw)
            inside_px = np.bincount(parcels_hw.ravel(), minlength=len(class_of))
            target_of = np.where((class_of > 0) & (inside_px < _MOSTLY * size_px), VOID, class_of)
            target_hw = target_of[parcels_hw].astype(np.uint8)
            if not target_hw.any():
                continue
            yield LabelledPatch(
                number=number,
                fold=(number - first_number) % 5 + 1,
                zone=zone,
                corner_xy=scene.grid.transform @ (col, row),
                images={"S2": _images(scene, window, digital_numbers)},
                parcels_hw=parcels_hw,
                target_hw=target_hw,
            )
            number += 1


def _check(scene: Scene, parcels: geopandas.GeoDataFrame, crop: str) -> int:
    """The scene's UTM zone."""
    missing = [band for band in BANDS if band not in scene.bands]
    if missing or scene.dates[0] is None:
        raise UsageError(
            f"{scene.name} has no {', '.join(missing) or 'dates'}; PASTIS holds dated images of {', '.join(BANDS)}.",
            remedy="Give a season of Sentinel-2.",
        )
    zone = (scene.grid.crs.to_epsg() or 0) - _UTM_NORTH
    across, turned, turned_down, down = (scene.grid.transform[place] for place in (0, 1, 3, 4))
    if zone not in range(1, 61) or (across, turned, turned_down, down) != (PIXEL_M, 0, 0, -PIXEL_M):
        raise UsageError(
            f"{scene.name} has pixels of {across:.6g} x {down:.6g} in {scene.grid.crs.name}; PASTIS has upright ones "
            f"of {PIXEL_M:g} m in a northern UTM zone.",
            remedy="Warp the scene first.",
        )
    if crop not in parcels.columns:
        raise UsageError(
            f"The parcels have no column {crop!r}; they have {', '.join(map(str, parcels.columns))}.",
            remedy="Name the column of the crop.",
        )
    return zone


def _images(scene: Scene, window: Window, digital_numbers: float) -> DatedImages:
    values: list[NDArray[np.float32]] = []
    for single in scene.single_dates():
        values_chw, valid_hw = single.read(window, BANDS)
        values.append(np.where(valid_hw, values_chw * digital_numbers, NODATA).astype(np.float32))
    dates = tuple(when for when in scene.dates if when is not None)
    return DatedImages(dates=dates, values_tchw=np.stack(values))
