"""Which model maps a scene where none is asked for: the scene decides, and the plan says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import rasterio
from affine import Affine

import geopanoptic
from geopanoptic.cli.main import invoke
from geopanoptic.errors import UsageError
from geopanoptic.pipeline.planning.suitability import (
    DEFAULT_FOR,
    THOROUGH_BUNDLE,
    THOROUGH_UP_TO_PX,
    bundle_for,
)
from geopanoptic.scene import open_scene
from geopanoptic.training.finetuning import LabelledPair, fine_tune


def empty_scene(path: Path, height: int, width: int, pixel_m: float = 10.0) -> Path:
    """Files without blocks are small, however large the scene is."""
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=3,
        height=height,
        width=width,
        dtype="uint8",
        tiled=True,
        crs="EPSG:32632",
        transform=Affine(pixel_m, 0, 600_000, 0, -pixel_m, 5_800_000),
        SPARSE_OK=True,
    ) as file:
        file.descriptions = ("red", "green", "blue")
    return path


def test_the_better_model_maps_scenes_up_to_a_size(tmp_path):
    side = round(THOROUGH_UP_TO_PX**0.5)
    assert side**2 == THOROUGH_UP_TO_PX
    small = empty_scene(tmp_path / "small.tif", side, side)
    large = empty_scene(tmp_path / "large.tif", side, side + 1)
    assert bundle_for(open_scene(small)).name == THOROUGH_BUNDLE
    assert bundle_for(open_scene(large)).name == "fields-s"
    assert bundle_for(open_scene(large), THOROUGH_BUNDLE).name == THOROUGH_BUNDLE


def test_a_plan_says_that_there_is_a_better_model_only_where_nobody_chose(tmp_path):
    large = empty_scene(tmp_path / "large.tif", 6000, 6000)

    def told(path, **options):
        return [note for note in geopanoptic.plan(path, **options).notes if THOROUGH_BUNDLE in note]

    assert "--model fields-m is better on small parcels" in told(large)[0]
    assert told(large, model="fields-s") == told(large, model=THOROUGH_BUNDLE) == []
    assert told(empty_scene(tmp_path / "small.tif", 300, 300)) == []


def test_pixels_count_as_the_network_sees_them(tmp_path):
    """A fine scene is averaged to about 5 m first, unless its own pixels are asked for."""
    fine = empty_scene(tmp_path / "fine.tif", 12_000, 12_000, pixel_m=1.0)
    assert geopanoptic.plan(fine).bundle.name == THOROUGH_BUNDLE
    assert geopanoptic.plan(fine, pixel_size="native").bundle.name == "fields-s"
    with pytest.raises(UsageError, match="--pixel-size is 'fine'"):
        geopanoptic.plan(fine, pixel_size="fine")


def test_the_list_of_models_says_what_each_is_the_default_for(capsys):
    assert invoke(["models", "list"]) == 0
    listed = capsys.readouterr().out
    for name, what in DEFAULT_FOR.items():
        assert f"{name} (default for {what})" in listed


def test_fine_tuning_begins_with_the_model_that_maps_all_of_the_scenes(tmp_path):
    def base_of(*scenes):
        pairs = [LabelledPair(scene=scene, labels=tmp_path / "fields.gpkg") for scene in scenes]
        with pytest.raises(UsageError, match="which fine-tuning takes over from") as refusal:
            fine_tune(pairs, tmp_path / "out", changes=["network.encoder_depth=3"])
        return str(refusal.value).split("takes over from ")[1].split()[0]

    small = empty_scene(tmp_path / "small.tif", 300, 300)
    large = empty_scene(tmp_path / "large.tif", 6000, 6000)
    assert base_of(small) == base_of(small, small) == THOROUGH_BUNDLE
    assert base_of(large) == base_of(small, large) == "fields-s"
