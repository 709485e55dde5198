"""How well a map agrees with a few hand-drawn fields, where everything else is unlabelled.

``python -m geopanoptic.evaluation.sparse PARCELS FIELDS...`` compares a map's parcels with drawn outlines.
Without a complete truth there are no false positives, hence no panoptic quality: what can be said is how
well each drawn field is met by its best parcel.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from geopanoptic.errors import GeopanopticError, UsageError
from geopanoptic.products.vector_files import read_table


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseAgreement:
    """The best parcel of every drawn field.

    ``best_iou`` (n,) float64, 0 where no parcel overlaps the field; ``best_parcel`` (n,) int64, the
    parcel's position in its table, -1 for none. Two fields may share a parcel that covers both.
    """

    best_iou: NDArray[np.float64]
    best_parcel: NDArray[np.int64]

    @property
    def mean_best_iou(self) -> float:
        """Mean over the fields; NaN without any."""
        return float(self.best_iou.mean()) if len(self.best_iou) else float("nan")

    def recall(self, threshold: float = 0.5) -> float:
        """Share of fields whose best IoU is above ``threshold``, strictly as in PQ; NaN without any."""
        return float((self.best_iou > threshold).mean()) if len(self.best_iou) else float("nan")


def compare(parcels: geopandas.GeoDataFrame, drawn: geopandas.GeoDataFrame) -> SparseAgreement:
    """Find the parcel of greatest IoU for each drawn field; the first of equals.

    Areas are measured in the CRS of ``parcels``, to which the few drawn fields are brought. Raises
    ``UsageError`` where only one of the two has a CRS.
    """
    fields = _outlines(_brought_to(drawn, parcels))
    candidates = _outlines(parcels)
    field, parcel = shapely.STRtree(candidates).query(fields, predicate="intersects")
    shared = shapely.area(shapely.intersection(fields[field], candidates[parcel]))
    union = shapely.area(fields)[field] + shapely.area(candidates)[parcel] - shared
    iou = np.divide(shared, union, out=np.zeros(len(shared)), where=union > 0)

    best_iou = np.zeros(len(fields))
    np.maximum.at(best_iou, field, iou)
    nobody = len(candidates)
    best_parcel = np.full(len(fields), nobody, np.int64)
    wins = (iou > 0) & (iou == best_iou[field])
    np.minimum.at(best_parcel, field[wins], parcel[wins])
    return SparseAgreement(best_iou=best_iou, best_parcel=np.where(best_parcel == nobody, -1, best_parcel))


def read_drawn_fields(paths: Sequence[Path]) -> geopandas.GeoDataFrame:
    """The outlines of all files in the CRS of the first, each outline once.

    Published training subsets of one digitisation nest: a field that occurs in two files counts once.
    Raises ``UsageError`` where only some of the files have a CRS, or there is no file.
    """
    if not paths:
        raise UsageError("No file of drawn fields was given.", remedy="Name at least one.")
    frames = [read_table(path)[["geometry"]] for path in paths]
    together = pd.concat([_brought_to(frame, frames[0]) for frame in frames], ignore_index=True)
    return together.iloc[distinct(_outlines(together))].reset_index(drop=True)


def distinct(outlines: NDArray[np.object_]) -> NDArray[np.int64]:
    """Rows of the first of equal outlines, ascending."""
    _, first = np.unique(shapely.to_wkb(shapely.normalize(outlines)), return_index=True)
    return np.sort(first)


def _brought_to(frame: geopandas.GeoDataFrame, reference: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    if (frame.crs is None) != (reference.crs is None):
        raise UsageError(
            "Only one of two sets of outlines has a coordinate reference system.",
            remedy="Set it, for instance with GeoDataFrame.set_crs or a .prj file.",
        )
    return frame if frame.crs == reference.crs else frame.to_crs(reference.crs)


def _outlines(frame: geopandas.GeoDataFrame) -> NDArray[np.object_]:
    return shapely.make_valid(frame.geometry.to_numpy())


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m geopanoptic.evaluation.sparse",
        description="Compare a map's parcels with hand-drawn fields.",
    )
    parser.add_argument("parcels", type=Path, help="vector file of parcels; of a GeoPackage, its layer")
    parser.add_argument("fields", type=Path, nargs="+", help="vector files of drawn fields")
    parser.add_argument("--layer", default="parcels", help="layer of the GeoPackage (parcels)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    layer = asked.layer if asked.parcels.suffix.lower() == ".gpkg" else None
    try:
        agreement = compare(read_table(asked.parcels, layer), read_drawn_fields(asked.fields))
    except GeopanopticError as error:
        print(f"{error.message}\n{error.remedy}", file=sys.stderr)
        return error.exit_code
    summary = {
        "fields": len(agreement.best_iou),
        "mean_best_iou": round(agreement.mean_best_iou, 4),
        "recall_at_0.5": round(agreement.recall(), 4),
        "best_iou": agreement.best_iou.round(4).tolist(),
    }
    if asked.json:
        print(json.dumps(summary))
    else:
        print(f"{summary['fields']} drawn fields")
        print(f"mean best IoU   {summary['mean_best_iou']:.3f}")
        print(f"recall at 0.5   {summary['recall_at_0.5']:.3f}")
        print("best IoU        " + " ".join(f"{iou:.2f}" for iou in agreement.best_iou))
    return 0


if __name__ == "__main__":
    sys.exit(main())
