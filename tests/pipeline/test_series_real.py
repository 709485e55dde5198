"""Runs over a piece of the real season: seven dates of Sentinel-2 in four bands, one file each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.windows import Window

import geopanoptic
from geopanoptic.models.bundle import load_bundle, save_bundle
from geopanoptic.models.manifest import TemporalSettings
from geopanoptic.models.networks.building import build_network

PIECE = Window(col_off=300, row_off=300, width=112, height=96)


@pytest.fixture(scope="module")
def boerde(shared_data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("boerde")
    for path in sorted((shared_data / "s2-series-boerde" / "images").glob("*.tif")):
        with rasterio.open(path) as whole:
            settings = whole.profile | {
                "driver": "GTiff",
                "height": PIECE.height,
                "width": PIECE.width,
                "transform": whole.transform @ Affine.translation(PIECE.col_off, PIECE.row_off),
                "tiled": False,
            }
            for key in ("blockxsize", "blockysize"):
                settings.pop(key, None)
            with rasterio.open(folder / path.name, "w", **settings) as piece:
                piece.write(whole.read(window=PIECE))
    return folder


@pytest.fixture(scope="module")
def mean_of_dates(tmp_path_factory) -> Path:
    """``fields-s`` as a network of series that has not learned to prefer a date: it averages their maps."""
    bundle = load_bundle("fields-s")
    settings = bundle.manifest.network.model_copy(update={"temporal": TemporalSettings()})
    network = build_network(settings, n_bands=len(bundle.bands), n_classes=len(bundle.classes))
    network.unet.load_state_dict(bundle.network().state_dict())
    stated = bundle.manifest.model_dump(exclude={"weights", "grouping", "architecture", "network", "name"})
    return save_bundle(
        tmp_path_factory.mktemp("bundles") / "mean-of-dates",
        weights=network.state_dict(),
        card="# The mean of the dates\n",
        name="mean-of-dates",
        network=settings,
        **(stated | {"reach_px": bundle.reach_px + bundle.stride_px}),
    ).path


@pytest.mark.realdata
def test_a_season_is_mapped_from_all_its_dates_whatever_the_layout(boerde, mean_of_dates):
    whole = geopanoptic.run(boerde, model=mean_of_dates, simplify_m=0)
    assert len(whole.report["dates"]) == 7
    assert all(share > 0.3 for share in whole.report["valid_share"].values())
    # 1.1 km2 of the Magdeburg Boerde: a few dozen fields, some of them large.
    assert 8 <= len(whole.parcels) <= 150
    assert whole.parcels.area_m2.max() > 30_000
    assert (whole.parcels.class_score == 1).all()
    tiled = geopanoptic.run(boerde, model=mean_of_dates, simplify_m=0, tile_px=96, block_px=100)
    for name in ("class", "parcel_id", "confidence"):
        np.testing.assert_array_equal(tiled.rasters[name], whole.rasters[name])
    assert tiled.parcels.geometry.to_wkb().tolist() == whole.parcels.geometry.to_wkb().tolist()
