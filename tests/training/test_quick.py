"""The quick configuration reaches its stated quality: ten minutes of training, run with ``-m nightly``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_training import write_scene

import geopanoptic
from geopanoptic.evaluation.metrics.panoptic_quality import PanopticQuality, add_image
from geopanoptic.training.config import read_config
from geopanoptic.training.recipe import train_bundle
from geopanoptic.training.synthetic import generate_scene

STATED_PQ = 0.12
"""Parcels of generated 10 m scenes, COCO protocol at the output resolution: what any seed reaches, even with the two
cores half busy. With other work beside the last one only, seeds 1 to 3 reached .282, .334 and .238."""
SEEDS = range(9_000_001, 9_000_007)
SIZE_PX = 256


@pytest.mark.nightly
@pytest.mark.parametrize("training_seed", [1, 2, 3])
def test_ten_minutes_reach_the_stated_quality(training_seed: int, tmp_path: Path) -> None:
    recipe = read_config(Path(__file__).parents[2] / "configs" / "quick.yaml")
    bundle = train_bundle(recipe.model_copy(update={"seed": training_seed}), tmp_path / "run")
    assert bundle is not None
    counts: dict[int, PanopticQuality] = {1: PanopticQuality()}
    for seed in SEEDS:
        generated = generate_scene((SIZE_PX, SIZE_PX), seed=seed)
        truth = generated.instances
        scene = write_scene(tmp_path / f"{seed}.tif", generated.image)
        result = geopanoptic.run(scene, model=bundle.path)
        assert result.rasters is not None
        predicted = np.asarray(result.rasters["parcel_id"]).reshape(truth.shape)
        classes = (dict.fromkeys(range(int(ids.max()) + 1), 1) for ids in (predicted, truth))
        predicted_class, true_class = classes
        add_image(counts, predicted, predicted_class, truth, true_class)
    print(f"PQ {counts[1].pq:.3f}")
    assert counts[1].pq >= STATED_PQ
