"""What picking labels by ``labels next`` brings against picking at random, on generated scenes with known truth.

    python tests/benchmarks/label_choosing.py [--scenes 6] [--side 512] [--count 50] [--tile 64] [--tiles 8]

A model maps each scene; a parcel is right where its IoU with a true one is above one half.

parcels
    ``wrong found``: how many of the ``count`` picked parcels are wrong, so worth an annotator's time. ``AUC``: from
    the picked parcels' features and their truth, right or wrong, a ridge regression ranks the others; the area under
    its ROC curve says how much was learned, 0.5 being nothing.
tiles
    ``wrong found``: wrong parcels on the picked tiles, each by the share of it that lies there; ``of those seen``:
    their part of all parcels there.

``entropy`` picks by the entropy of the score, of tiles by its mean over their ground. Random picks are the mean of
many draws.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.stats import rankdata

import geopanoptic
from geopanoptic.labels.choosing.choose import next_labels
from geopanoptic.labels.choosing.features import parcel_features
from geopanoptic.labels.pictures import picture_canvas
from geopanoptic.labels.tasks.seams import best_iou
from geopanoptic.labels.tiles import canvas_outline, tile_canvases
from geopanoptic.labels.uncertainty import binary_entropy
from geopanoptic.scene import Scene

CHARACTERS = ("mosaic", "strips", "plain")
DRAWS = 200
RIDGE = 1.0

Pick = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """A scene, its map's parcels (n rows) and which of them are right (n,)."""

    scene: Scene
    map_file: Path
    parcels: geopandas.GeoDataFrame
    right: NDArray[np.bool_]


def main() -> None:
    """Print two tables, one row per scene."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=6)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--tile", type=int, default=64)
    parser.add_argument("--tiles", type=int, default=8)
    asked = parser.parse_args()
    rows = []
    for seed in range(asked.scenes):
        character = CHARACTERS[seed % 3]
        with tempfile.TemporaryDirectory() as folder:
            mapped = map_scene(Path(folder), character, 100 + seed, asked.side)
            told = f"{character:8s}  {len(mapped.parcels):7d}  {int((~mapped.right).sum()):5d}"
            rows.append((told, of_parcels(mapped, asked.count), of_tiles(mapped, asked.tile, asked.tiles)))
    ways = f"{'random':>8}{'entropy':>9}{'list':>7}"
    print(f"parcels: {asked.count} of a map{'':9}{'wrong found':^24}  {'AUC':^24}")
    print(f"scene     parcels  wrong  {ways}  {ways}")
    for told, (found, learned_by), _ in rows:
        print(told, figures(found, 1), figures(learned_by, 3), sep="  ")
    print(f"\ntiles: {asked.tiles} of {asked.tile} px{'':13}{'wrong found':^24}  {'of those seen':^24}")
    print(f"scene     parcels  wrong  {ways}  {ways}")
    for told, _, (found, share) in rows:
        print(told, figures(found, 1), figures(share, 3), sep="  ")


def figures(values: list[float], digits: int) -> str:
    """Random, entropy, list."""
    return "".join(f"{value:{width}.{digits}f}" for value, width in zip(values, (8, 9, 7), strict=True))


def map_scene(folder: Path, character: str, seed: int, side: int) -> Mapped:
    """A generated scene and its map by ``fields-s``."""
    made = geopanoptic.synthesize(
        (side, side), bands=("blue", "green", "red", "nir"), character=character, seed=seed
    )
    made.to_geotiff(folder / "scene.tif")
    geopanoptic.run(folder / "scene.tif", folder / "map.gpkg", model="fields-s")
    parcels = geopandas.read_file(folder / "map.gpkg", layer="parcels").rename(
        columns={"parcel_id": "object_id"}
    )
    true = made.parcels().to_crs(parcels.crs)
    return Mapped(
        scene=geopanoptic.open_scene(folder / "scene.tif"),
        map_file=folder / "map.gpkg",
        parcels=parcels,
        right=best_iou(parcels.geometry.to_numpy(), true.geometry.to_numpy()) > 0.5,
    )


def of_parcels(mapped: Mapped, count: int) -> tuple[list[float], list[float]]:
    """Wrong parcels found, and what was learned of them."""
    parcels, right = mapped.parcels, mapped.right
    known = np.column_stack([parcel_features(parcels, mapped.scene), parcels["score"]])
    listed = next_labels(mapped.map_file, mapped.scene, count=count).listed["object_id"]
    rank = parcels.reset_index().set_index("object_id")["index"]
    by_entropy = np.argsort(-binary_entropy(parcels["score"]), kind="stable")[:count]
    picks = (by_entropy, rank.loc[listed].to_numpy())
    n = len(parcels)
    return (
        compared(lambda pick: float((~right[pick]).sum()), n, picks),
        compared(lambda pick: learned(known, right, pick), n, picks),
    )


def of_tiles(mapped: Mapped, tile_px: int, count: int) -> tuple[list[float], list[float]]:
    """Wrong parcels found, and their share of the parcels seen."""
    canvases = tile_canvases(picture_canvas(mapped.scene), tile_px)
    boxes, outlines = (
        np.array([canvas_outline(each) for each in canvases]),
        mapped.parcels.geometry.to_numpy(),
    )
    tile, parcel = shapely.STRtree(outlines).query(boxes, predicate="intersects")
    area = shapely.area(shapely.intersection(boxes[tile], outlines[parcel]))
    share = area / shapely.area(outlines)[parcel]
    seen = np.bincount(tile, share, len(boxes))
    wrong = np.bincount(tile, share * ~mapped.right[parcel], len(boxes))
    entropy = binary_entropy(mapped.parcels["score"])
    mean = np.bincount(tile, area * entropy[parcel], len(boxes)) / np.bincount(tile, area, len(boxes)).clip(1)
    listed = next_labels(mapped.map_file, mapped.scene, of="tiles", tile_px=tile_px, count=count).listed[
        "tile"
    ]
    number = {each.image: k for k, each in enumerate(canvases)}
    picks = (np.argsort(-mean, kind="stable")[:count], np.array([number[name] for name in listed]))
    return (
        compared(lambda pick: float(wrong[pick].sum()), len(boxes), picks),
        compared(lambda pick: float(wrong[pick].sum() / seen[pick].sum()), len(boxes), picks),
    )


def compared(figure: Callable[[Pick], float], n: int, picks: tuple[Pick, Pick]) -> list[float]:
    """The figure of random picks (its mean) and of the others."""
    rng = np.random.default_rng(0)
    by_chance = [figure(rng.permutation(n)[: len(picks[0])]) for _ in range(DRAWS)]
    return [float(np.mean(by_chance)), *(figure(pick) for pick in picks)]


def learned(known: NDArray[np.float64], right: NDArray[np.bool_], pick: Pick) -> float:
    """AUC of ranking the parcels that were not picked, after seeing the truth of those that were."""
    inputs = np.column_stack([known, np.ones(len(known))])
    seen, truth = inputs[pick], right[pick].astype(float)
    weights = np.linalg.solve(seen.T @ seen + RIDGE * np.eye(seen.shape[1]), seen.T @ truth)
    rest = np.setdiff1d(np.arange(len(known)), pick)
    ranks, good = rankdata((inputs @ weights)[rest]), right[rest]
    pairs = good.sum() * (~good).sum()
    return float((ranks[good].sum() - good.sum() * (good.sum() + 1) / 2) / pairs) if pairs else float("nan")


if __name__ == "__main__":
    main()
