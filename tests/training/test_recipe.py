"""A configured run ends in a bundle that states what was measured."""

from __future__ import annotations

from pathlib import Path

import yaml
from tiny_training import tiny_config, write_patchwork

from geopanoptic.training.config import read_config
from geopanoptic.training.recipe import train_bundle


def test_held_out_fields_of_a_configured_scene_are_measured(tmp_path: Path) -> None:
    scene, fields = write_patchwork(tmp_path, size_px=96)
    fields.to_file(tmp_path / "fields.gpkg")
    source = {"kind": "vectors", "scene": str(scene), "labels": str(tmp_path / "fields.gpkg"), "fold": 1}
    held_out = {**source, "part": "held-out"}
    config = tiny_config([source], steps=2, batch=2, validation=[held_out], validation_crops=2)
    bundle = train_bundle(config, tmp_path / "run")
    assert bundle is not None
    assert set(bundle.manifest.metrics) == {"PQ", "mean best IoU", "recall at IoU 0.5"}
    assert "| mean best IoU | - |" in bundle.card
    assert "vectors: fields.gpkg, share 1.00" in bundle.card
    settings = tmp_path / "run" / "settings.yaml"
    assert yaml.safe_load(settings.read_text())["steps"] == 2
    assert read_config(settings) == config
