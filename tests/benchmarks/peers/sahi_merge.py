"""SAHI's way: overlapping slices, instances of each, merged where two overlap enough (greedy NMM, IoS 0.5).

``python sahi_merge.py SCENE OUT.gpkg PATCH_PX``
"""

from __future__ import annotations

import json
import sys

import geopandas
import numpy as np
import rasterio
import shapely
from affine import Affine
from dense import group, output_transform, polygons_of, predictor_for, tile_borders_px

from geopanoptic.models.networks.torchvision_ops import ensure_torchvision_imports

ensure_torchvision_imports()

from sahi.postprocess.combine import GreedyNMMPostprocess  # noqa: E402
from sahi.prediction import ObjectPrediction  # noqa: E402
from sahi.slicing import get_slice_bboxes  # noqa: E402

OVERLAP = 0.2


def main() -> None:
    path, out, patch_px = sys.argv[1], sys.argv[2], int(sys.argv[3])
    predict = predictor_for(path)
    with rasterio.open(path) as file:
        image, transform, crs = file.read(), output_transform(file), file.crs
    height, width = image.shape[1:]
    instances: list[ObjectPrediction] = []
    for left, top, right, bottom in get_slice_bboxes(
        height, width, patch_px, patch_px, overlap_height_ratio=OVERLAP, overlap_width_ratio=OVERLAP
    ):
        tile = predict.normalised(image[:, top:bottom, left:right])
        labels = group(predict(tile[None])[0], predict.bundle)
        for outline in polygons_of(labels, Affine.translation(2 * left, 2 * top)):
            ring = np.asarray(shapely.get_coordinates(shapely.get_exterior_ring(outline)))[:-1]
            instances.append(
                ObjectPrediction(
                    segmentation=[ring.ravel().tolist()],
                    category_id=0,
                    category_name="parcel",
                    score=1.0,
                    full_shape=[2 * height, 2 * width],
                )
            )
    merged = GreedyNMMPostprocess(match_threshold=0.5, match_metric="IOS")(instances)
    polygons = [
        shapely.union_all(
            [shapely.Polygon(np.reshape(ring, (-1, 2))).buffer(0) for ring in each.mask.segmentation]
        )
        for each in merged
        if each.mask is not None
    ]
    matrix = [transform.a, transform.b, transform.d, transform.e, transform.c, transform.f]
    frame = geopandas.GeoDataFrame(geometry=polygons).affine_transform(matrix)
    geopandas.GeoDataFrame(geometry=frame, crs=crs).to_file(out, driver="GPKG")
    borders_px = tile_borders_px(height, patch_px, int(patch_px * (1 - OVERLAP)))
    print(json.dumps({"polygons": len(polygons), "borders_px": borders_px}))


if __name__ == "__main__":
    main()
