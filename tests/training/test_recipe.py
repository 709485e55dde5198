"""A configured run ends in a bundle that states what was measured."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tiny_training import tiny_config, write_patchwork

from geopanoptic.models.bundle import Bundle, save_bundle
from geopanoptic.training.config import read_config
from geopanoptic.training.export import described_from
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
    assert "The held-out fields also chose these weights" in bundle.card
    settings = tmp_path / "run" / "settings.yaml"
    assert yaml.safe_load(settings.read_text())["steps"] == 2
    assert read_config(settings) == config


def test_a_bundle_knows_what_the_one_that_it_started_from_does(tmp_path: Path, tiny_bundle: Bundle) -> None:
    scene, fields = write_patchwork(tmp_path, size_px=96)
    fields.to_file(tmp_path / "fields.gpkg")
    parent = save_bundle(
        tmp_path / "parent",
        weights=tiny_bundle.network().state_dict(),
        card="",
        **described_from(tiny_bundle)
        | {
            "network": tiny_bundle.manifest.network,
            "stride_px": tiny_bundle.stride_px,
            "reach_px": tiny_bundle.reach_px,
            "pixel_size_m": (3.0, 5.0),
            "working_pixel_m": 4.0,
            "training": [{"name": "ours", "licence": "MIT", "role": "train"}],
        },
    )
    config = tiny_config(
        [{"kind": "vectors", "scene": str(scene), "labels": str(tmp_path / "fields.gpkg")}],
        steps=1,
        bands=parent.bands,
        classes=parent.classes,
        network=parent.manifest.network,
        **{"from": str(parent.path)},
    )
    bundle = train_bundle(config, tmp_path / "run")
    assert bundle is not None
    manifest = bundle.manifest
    assert (manifest.licence, manifest.working_pixel_m) == ("Apache-2.0", 4.0)
    assert manifest.pixel_size_m == pytest.approx((3.0, 10.0), rel=1e-3)
    assert [each.name for each in manifest.training] == ["ours", "vectors: fields.gpkg"]
    checkpoint = {"from": str(tmp_path / "run" / "last.safetensors")}
    grown = train_bundle(
        config.model_validate(config.model_dump(by_alias=True) | checkpoint), tmp_path / "again"
    )
    assert grown is not None
    assert grown.manifest.licence == "its trainer's"
    assert grown.manifest.training[-1].name == "checkpoint last.safetensors"
    assert "weights of checkpoint last.safetensors" in grown.card
    assert {path.name for path in (tmp_path / "again").glob(".bundle*")} == set()
