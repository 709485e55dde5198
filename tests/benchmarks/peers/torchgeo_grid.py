"""torchgeo's grid sampler, polygons patch by patch: memory stays small, parcels end at every patch border.

``python torchgeo_grid.py SCENE OUT.gpkg PATCH_PX``
"""

from __future__ import annotations

import json
import sys

import geopandas
import numpy as np
import rasterio
from affine import Affine
from dense import group, polygons_of, predictor_for, tile_borders_px

from geopanoptic.models.networks.torchvision_ops import ensure_torchvision_imports

ensure_torchvision_imports()

from torch.utils.data import DataLoader  # noqa: E402
from torchgeo.datasets import RasterDataset, stack_samples  # noqa: E402
from torchgeo.samplers import GridGeoSampler  # noqa: E402


def main() -> None:
    path, out, patch_px = sys.argv[1], sys.argv[2], int(sys.argv[3])
    predict = predictor_for(path)
    with rasterio.open(path) as file:
        transform, crs, size_px = file.transform, file.crs, file.height
    dataset = RasterDataset(paths=[path])
    sampler = GridGeoSampler(dataset, size=patch_px, stride=patch_px)
    polygons: list[object] = []
    for batch in DataLoader(dataset, batch_size=2, sampler=sampler, collate_fn=stack_samples):
        for dense, bounds in zip(
            predict(predict.normalised(batch["image"].numpy())), batch["bounds"], strict=True
        ):
            left, top = _corner(bounds)
            corner = Affine(transform.a / 2, 0, left, 0, transform.e / 2, top)
            polygons += polygons_of(group(np.ascontiguousarray(dense), predict.bundle), corner)
    geopandas.GeoDataFrame(geometry=polygons, crs=crs).to_file(out, driver="GPKG")
    borders_px = tile_borders_px(size_px, patch_px, patch_px)
    print(json.dumps({"polygons": len(polygons), "borders_px": borders_px}))


def _corner(bounds: object) -> tuple[float, float]:
    """Left and top of a sample's bounds: slices, or numbers (x0, x1, step, y0, y1, ...) once collated."""
    first = bounds[0]  # type: ignore[index]
    if isinstance(first, slice):
        return first.start, bounds[1].stop  # type: ignore[index]
    numbers = np.asarray(bounds, float).tolist()
    return numbers[0], numbers[4]


if __name__ == "__main__":
    main()
