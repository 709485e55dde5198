"""Shared fixtures: where the real data lies, and quiet, repeatable test runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

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
    return _save_tiny(tmp_path_factory.mktemp("bundles") / "tiny", reach_px=48)


@pytest.fixture(scope="session")
def tiny_bundle_without_fine_convolution(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """``tiny_bundle`` with heads on input pixels."""
    return _save_tiny(tmp_path_factory.mktemp("bundles") / "tiny", reach_px=48, fine_convolution=False)


@pytest.fixture(scope="session")
def tiny_series_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """``tiny_bundle`` for any number of dates; what training would learn of them is random."""
    return _save_tiny(
        tmp_path_factory.mktemp("bundles") / "tiny-series",
        reach_px=54,
        temporal={"heads": 4, "key_channels": 2, "harmonics": 2},
    )


def _save_tiny(folder: Path, *, reach_px: int, **settings: Any) -> Bundle:
    import torch

    from geopanoptic.models.manifest import UNetSettings
    from geopanoptic.models.networks.building import build_network

    bands, kinds = ("blue", "green", "red", "nir"), {"parcel": "thing", "water": "stuff", "bare": "stuff"}
    network_settings = UNetSettings(
        encoder_depth=3, decoder_channels=(8, 8), detail_channels=4, head_channels=4, **settings
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        network = build_network(network_settings, n_bands=len(bands), n_classes=len(kinds))
        if network_settings.temporal is not None:
            for parameter in (network.queries, *network.seasons.parameters(), *network.values.parameters()):
                torch.nn.init.normal_(parameter, std=0.3)
    return save_bundle(
        folder,
        weights=network.state_dict(),
        card=f"# {folder.name}\n\nUntrained.\n",
        name=folder.name,
        network=network_settings,
        bands=bands,
        classes=[
            {"id": number, "name": name, "kind": kind, "colour": f"#0000{number:02x}"}
            for number, (name, kind) in enumerate(kinds.items(), 1)
        ],
        stride_px=network.stride_px,
        reach_px=reach_px,
        thresholds={"centre": 0.05, "field": 0.2, "drop_field": 0.1},
        licence="Apache-2.0",
    )
