"""Shared fixtures: where the real data lies, and quiet, repeatable test runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from geopanoptic.models.bundle import Bundle, save_bundle

# Several test processes share few cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("steady", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("steady")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data sets (``GEOPANOPTIC_DATA`` or ``../shared/data``); skips where it is absent."""
    folder = Path(os.environ.get("GEOPANOPTIC_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "README.md").is_file():
        pytest.skip(f"real data not found at {folder}; set GEOPANOPTIC_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle with a small untrained network: runs in a moment, and its maps mean nothing."""
    import torch

    from geopanoptic.models.unet import PanopticUNet

    bands, kinds = ("blue", "green", "red", "nir"), {"parcel": "thing", "water": "stuff", "bare": "stuff"}
    settings = {"encoder_depth": 3, "decoder_channels": (8, 8), "detail_channels": 4, "head_channels": 4}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        network = PanopticUNet(n_bands=len(bands), n_classes=len(kinds), **settings)
    return save_bundle(
        tmp_path_factory.mktemp("bundles") / "tiny",
        weights=network.state_dict(),
        card="# tiny\n\nUntrained.\n",
        name="tiny",
        network=settings,
        bands=bands,
        classes=[
            {"id": number, "name": name, "kind": kind, "colour": f"#0000{number:02x}"}
            for number, (name, kind) in enumerate(kinds.items(), 1)
        ],
        stride_px=network.stride_px,
        reach_px=48,
        thresholds={"centre": 0.05, "field": 0.2, "drop_field": 0.1},
        licence="Apache-2.0",
    )
