"""The demo on a generated scene, with a network that runs in a moment."""

from __future__ import annotations

import pytest
from heard import Heard

from geopanoptic import demo


@pytest.fixture
def quick_demo(monkeypatch, tiny_bundle):
    monkeypatch.setattr(demo, "bundle_for", lambda scene: tiny_bundle)
    monkeypatch.setattr(demo, "GENERATED_SHAPE", (80, 96))
    monkeypatch.setattr(demo, "CLOSE_UP_PX", 48)
    monkeypatch.setattr(demo, "real_scene_files", list)


@pytest.mark.usefixtures("quick_demo")
def test_without_the_real_scene_it_says_so_and_maps_a_generated_one(tmp_path):
    heard = Heard()
    result = demo.run_demo(tmp_path / "new" / "demo", heard)
    assert "generated scene" in heard.warnings[0]
    assert len(result.parcels) + len(result.landcover) > 0
    names = {"generated.tif", "parcels.gpkg", "parcels.run.json", "class.tif", "parcel_id.tif"}
    names |= {"confidence.tif", "map.png", "close-up.png"}
    assert {file.name for file in result.out.parent.iterdir()} == names
    demo.run_demo(tmp_path / "new" / "demo", heard)
