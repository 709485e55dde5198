"""The notebook a user would write: whole-scene arrays, MONAI's sliding window, scikit-image, rasterio, to_file.

``python notebook.py SCENE OUT.gpkg PATCH_PX [plain]``: ``plain`` runs the network as PyTorch has it, otherwise
geopanoptic's runtime does.
"""

from __future__ import annotations

import json
import sys

import geopandas
import rasterio
import torch
from dense import group, output_transform, polygons_of, predictor_for, tile_borders_px
from monai.inferers import sliding_window_inference

OVERLAP = 0.25


def main() -> None:
    path, out, patch_px = sys.argv[1], sys.argv[2], int(sys.argv[3])
    predict = predictor_for(path, plain=sys.argv[4:] == ["plain"])
    with rasterio.open(path) as file:
        image, transform, crs = file.read(), output_transform(file), file.crs
    dense = sliding_window_inference(
        torch.from_numpy(predict.normalised(image))[None],
        roi_size=(patch_px, patch_px),
        sw_batch_size=2,
        predictor=lambda tiles: torch.from_numpy(predict(tiles.numpy())),
        overlap=OVERLAP,
        mode="gaussian",
    )[0].numpy()
    polygons = polygons_of(group(dense, predict.bundle), transform)
    geopandas.GeoDataFrame(geometry=polygons, crs=crs).to_file(out, driver="GPKG")
    borders_px = tile_borders_px(image.shape[1], patch_px, int(patch_px * (1 - OVERLAP)))
    print(json.dumps({"polygons": len(polygons), "borders_px": borders_px}))


if __name__ == "__main__":
    main()
