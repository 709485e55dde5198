"""``labels next``: a ranked list of the parcels or tiles that most need a person.

What counts is how many wrong parcels a person would find: of a parcel one less its score, which is the probability
that it is right, and of a tile the sum over its parcels. Times the distance to what is labelled or listed already,
so that not all are wrong in the same way. ``tests/benchmarks/label_choosing.py`` compares it with other rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import geopandas
import numpy as np
import pandas as pd
import pyogrio
import shapely
from numpy.typing import NDArray

from geopanoptic.arguments import options_of
from geopanoptic.errors import UsageError
from geopanoptic.labels.choosing.coreset import Chosen, choose_diverse
from geopanoptic.labels.choosing.features import parcel_features
from geopanoptic.labels.formats.format import ReadOptions
from geopanoptic.labels.formats.registry import recognise
from geopanoptic.labels.objects import as_outlines, in_crs
from geopanoptic.labels.output import staged_output
from geopanoptic.labels.pictures import picture_canvas
from geopanoptic.labels.sidecar import placed, read_sidecar
from geopanoptic.labels.tiles import canvas_outline, stitch, tile_canvases
from geopanoptic.products.literal import literally
from geopanoptic.scene import Scene, as_scene, open_scene

NEXT = "next"
"""Layer of the list."""

EXPECTED_WRONG = "expected_wrong"
"""Column of the number of wrong parcels that are to be expected, by their scores."""

_COVERED = 0.5
"""A parcel or tile with more of its area under labels is labelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextLabels:
    """``listed``: rank from 1, reason, expected_wrong, distance, geometry, and of parcels object_id and score, of
    tiles the picture's name and the number of parcels. ``candidates``: how many there were to choose from."""

    listed: geopandas.GeoDataFrame
    candidates: int
    labelled: int
    out: Path | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        table = self.listed.drop(columns=self.listed.geometry.name)
        return {
            "out": None if self.out is None else str(self.out),
            "candidates": self.candidates,
            "labelled": self.labelled,
            "listed": table.astype(object).where(table.notna(), None).to_dict("records"),
        }


@options_of(open_scene)
def next_labels(
    map_file: str | Path,
    scene: Scene | str | Path | Sequence[str | Path] | None = None,
    out: str | Path | None = None,
    *,
    of: Literal["parcels", "tiles"] = "parcels",
    count: int = 50,
    labelled: str | Path | None = None,
    tile_px: int = 512,
    min_area_m2: float = 0.0,
    overwrite: bool = False,
    **scene_options: Any,
) -> NextLabels:
    """The parcels or tiles of a map to label next: likely wrong, and unlike what is labelled or already listed.

    Parameters
    ----------
    map_file
        A map of ``geopanoptic run``, with scores.
    scene
        The scene of the map; without it parcels are alike by size and shape only, and tiles cannot be listed.
    out
        GeoPackage to write, with the layer ``next``.
    labelled
        Labels that exist, in any format: what they cover is not listed, and what looks like them comes later.
    tile_px
        Side of a tile; the tiles are those of ``labels prelabel`` with the same size and no overlap.
    min_area_m2
        Leave smaller parcels out.
    scene_options
        Options of ``open_scene``; none where ``scene`` is open already.

    Raises
    ------
    UsageError, SceneError
        A map without scores or CRS, labels that cannot be read, tiles without a scene.
    OutputError
        ``out`` exists and ``overwrite`` is not set, or cannot be written.
    """
    opened = None if scene is None else as_scene(scene, **scene_options)
    parcels = _scored_parcels(Path(map_file), opened)
    parcels = parcels[_area_m2(parcels) >= min_area_m2].reset_index(drop=True)
    features = parcel_features(parcels, opened)
    if of == "tiles":
        if opened is None:
            raise UsageError(
                "Tiles are those of a scene, and none is given.", remedy="Name it after the map."
            )
        candidates, features = _tiles(parcels, features, opened, tile_px)
    else:
        candidates = parcels
    done = _covered(candidates, labelled)
    chosen = choose_diverse(
        features[~done],
        candidates[EXPECTED_WRONG].to_numpy()[~done],
        count,
        known_mf=features[done],
    )
    listed = _list(candidates[~done].reset_index(drop=True), chosen, any_known=bool(done.any()))
    target = None if out is None else Path(out)
    if target is not None:
        if target.suffix.lower() != ".gpkg":
            raise UsageError(f"{target} is no GeoPackage.", remedy="Name a .gpkg.")
        with staged_output(target, overwrite=overwrite) as staged, literally(staged) as plain:
            pyogrio.write_dataframe(listed, plain, layer=NEXT, driver="GPKG")
    return NextLabels(listed=listed, candidates=int((~done).sum()), labelled=int(done.sum()), out=target)


def _scored_parcels(map_file: Path, scene: Scene | None) -> geopandas.GeoDataFrame:
    (labels,) = recognise(map_file).read(map_file, ReadOptions())
    outlines = as_outlines(labels)
    frame = outlines.objects
    if frame.crs is None:
        raise UsageError(f"{map_file} has no coordinate reference system.", remedy="Give a map.")
    parcels = frame[frame["score"].notna()].reset_index(drop=True)
    if parcels.empty and not frame.empty:
        raise UsageError(
            f"{map_file} has no scores from 0 to 1, so nothing says what is likely wrong.",
            remedy="Give the map as `geopanoptic run` wrote it.",
        )
    if scene is not None:
        parcels = parcels.to_crs(scene.grid.crs)
    return parcels.assign(**{EXPECTED_WRONG: 1 - parcels["score"]})


def _area_m2(parcels: geopandas.GeoDataFrame) -> NDArray[np.float64]:
    """As the map states it, else in the map's plane."""
    if "area_m2" in parcels:
        return parcels["area_m2"].to_numpy(np.float64)
    return np.asarray(shapely.area(parcels.geometry.to_numpy()))


def _tiles(
    parcels: geopandas.GeoDataFrame, features: NDArray[np.float64], scene: Scene, tile_px: int
) -> tuple[geopandas.GeoDataFrame, NDArray[np.float64]]:
    """Tiles with parcels, and their features: means over the parcels, each weighing with its area on the tile."""
    canvases = tile_canvases(picture_canvas(scene), tile_px)
    boxes = np.array([canvas_outline(each) for each in canvases])
    outlines = parcels.geometry.to_numpy()
    tile, parcel = shapely.STRtree(outlines).query(boxes, predicate="intersects")
    area = shapely.area(shapely.intersection(boxes[tile], outlines[parcel]))
    share = area / shapely.area(outlines)[parcel]
    total = np.bincount(tile, area, len(boxes))

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(tile, area * values[parcel], len(boxes)) / np.where(total > 0, total, 1)

    table = geopandas.GeoDataFrame(
        {
            "tile": [each.image for each in canvases],
            "parcels": np.bincount(tile[area > 0], minlength=len(boxes)),
            EXPECTED_WRONG: np.bincount(tile, share * parcels[EXPECTED_WRONG].to_numpy()[parcel], len(boxes)),
        },
        geometry=boxes,
        crs=parcels.crs,
    )
    of_tiles = (
        np.column_stack([mean(column) for column in features.T])
        if len(parcels)
        else np.zeros((len(boxes), 1))
    )
    kept = total > 0
    return table[kept].reset_index(drop=True), of_tiles[kept]


def _covered(candidates: geopandas.GeoDataFrame, labelled: str | Path | None) -> NDArray[np.bool_]:
    if labelled is None:
        return np.zeros(len(candidates), np.bool_)
    path = Path(labelled)
    beside = read_sidecar(path)
    options = ReadOptions(taxonomy=beside.taxonomy, images=beside.images)
    images = [as_outlines(placed(each, beside.images)) for each in recognise(path).read(path, options)]
    labels = images[0] if len(images) == 1 else stitch(images)
    if labels.objects.crs is None:
        raise UsageError(
            f"Nothing says where the labels of {path} lie.",
            remedy="Convert them to a map with `labels convert`.",
        )
    drawn = in_crs(labels.objects.geometry, candidates.crs).to_numpy()
    outlines = candidates.geometry.to_numpy()
    a, b = shapely.STRtree(drawn).query(outlines, predicate="intersects")
    covered = np.bincount(a, shapely.area(shapely.intersection(outlines[a], drawn[b])), len(outlines))
    return np.asarray(covered > _COVERED * shapely.area(outlines))


def _list(candidates: geopandas.GeoDataFrame, chosen: Chosen, *, any_known: bool) -> geopandas.GeoDataFrame:
    rows = candidates.iloc[chosen.index_k].reset_index(drop=True)
    told = ["object_id", "class_name", "score", "tile", "parcels", EXPECTED_WRONG]
    distance = np.where(np.isfinite(chosen.distance_k), chosen.distance_k, np.nan)
    reasons = [
        _reason(row, each, any_known=any_known)
        for row, each in zip(rows.to_dict("records"), distance.tolist(), strict=True)
    ]
    columns = {
        "rank": np.arange(1, len(rows) + 1),
        "reason": pd.Series(reasons, dtype=object),
        **{name: rows[name] for name in told if name in rows},
        "distance": distance,
    }
    return geopandas.GeoDataFrame(columns, geometry=rows.geometry.to_numpy(), crs=candidates.crs)


def _reason(row: dict[str, Any], distance: float, *, any_known: bool) -> str:
    wrong = row[EXPECTED_WRONG]
    if "score" in row:
        word = "likely wrong" if wrong > 2 / 3 else "may be wrong" if wrong > 1 / 3 else "likely right"
        told = f"score {row['score']:.2f}: {word}"
    else:
        told = f"{row['parcels']} parcels, of which about {wrong:.2g} are wrong"
    if np.isnan(distance):
        return f"{told}; the first of all"
    others = "labelled or listed above" if any_known else "listed above"
    return f"{told}; {distance:.1f} away from the nearest {others}"
