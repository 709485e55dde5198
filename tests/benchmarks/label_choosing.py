"""What picking labels by ``labels next`` brings against picking at random, on generated scenes with known truth.

    python tests/benchmarks/label_choosing.py [--scenes 3] [--side 768] [--count 50]

A model maps each scene; a parcel is right where its IoU with a true one is above one half. ``wrong found``: how many
of the ``count`` picked parcels are wrong, so worth an annotator's time. ``AUC``: from the picked parcels' features and
their truth, right or wrong, a ridge regression ranks the others; the area under its ROC curve says how much was
learned, 0.5 being nothing. Random picks are the mean of twenty draws.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import geopandas
import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

import geopanoptic
from geopanoptic.labels.choosing.choose import next_labels
from geopanoptic.labels.choosing.features import parcel_features
from geopanoptic.labels.tasks.seams import best_iou
from geopanoptic.labels.uncertainty import binary_entropy

CHARACTERS = ("mosaic", "strips", "plain")
DRAWS = 20
RIDGE = 1.0


def main() -> None:
    """Print a table, one row per scene."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=3)
    parser.add_argument("--side", type=int, default=768)
    parser.add_argument("--count", type=int, default=50)
    asked = parser.parse_args()
    print("scene     parcels  wrong   wrong found: random  entropy  list   AUC: random  entropy  list")
    for seed in range(asked.scenes):
        with tempfile.TemporaryDirectory() as folder:
            print(row(Path(folder), CHARACTERS[seed % 3], seed, asked.side, asked.count), flush=True)


def row(folder: Path, character: str, seed: int, side: int, count: int) -> str:
    """One scene's figures."""
    made = geopanoptic.synthesize(
        (side, side), bands=("blue", "green", "red", "nir"), character=character, seed=100 + seed
    )
    made.to_geotiff(folder / "scene.tif")
    geopanoptic.run(folder / "scene.tif", folder / "map.gpkg")
    parcels = geopandas.read_file(folder / "map.gpkg", layer="parcels").rename(
        columns={"parcel_id": "object_id"}
    )
    true = made.parcels().to_crs(parcels.crs)
    right = best_iou(parcels.geometry.to_numpy(), true.geometry.to_numpy()) > 0.5
    scene = geopanoptic.open_scene(folder / "scene.tif")
    known = np.column_stack([parcel_features(parcels, scene), parcels["score"]])
    listed = next_labels(folder / "map.gpkg", scene, count=count).listed["object_id"]
    picks = {
        "entropy": np.argsort(-binary_entropy(parcels["score"]), kind="stable")[:count],
        "list": parcels.reset_index().set_index("object_id").loc[listed, "index"].to_numpy(),
    }
    rng = np.random.default_rng(0)
    random = [rng.permutation(len(parcels))[:count] for _ in range(DRAWS)]
    wrong = {name: int((~right[pick]).sum()) for name, pick in picks.items()}
    area = {name: learned(known, right, pick) for name, pick in picks.items()}
    by_chance = np.mean([(~right[pick]).sum() for pick in random])
    learned_by_chance = np.mean([learned(known, right, pick) for pick in random])
    return (
        f"{character:8s}  {len(parcels):7d}  {int((~right).sum()):5d}  {by_chance:20.1f}  {wrong['entropy']:7d}  "
        f"{wrong['list']:4d}  {learned_by_chance:12.3f}  {area['entropy']:7.3f}  {area['list']:.3f}"
    )


def learned(known: NDArray[np.float64], right: NDArray[np.bool_], pick: NDArray[np.int64]) -> float:
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
