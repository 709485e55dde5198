"""The network that a process has loaded: one, given back memory of without being loaded or waited for."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from geopanoptic.errors import ModelError
from geopanoptic.models.bundle import Bundle, load_bundle
from geopanoptic.pipeline.network.dense import network_turn
from geopanoptic.pipeline.network.inference import BundleNetwork, ReleaseNetwork


def network_of(bundle: Bundle, **changes: object) -> BundleNetwork:
    network = BundleNetwork(
        path=bundle.path,
        fingerprint=bundle.fingerprint,
        bands=None,
        margin_px=0,
        of_fine_pixels=False,
        device="cpu",
        threads=1,
        runtime="torch",
        precision="f32",
    )
    return replace(network, **changes)


def test_a_process_keeps_the_network_of_its_latest_run(tiny_bundle: Bundle) -> None:
    first = network_of(tiny_bundle)()
    assert network_of(tiny_bundle)() is first
    assert network_of(tiny_bundle, margin_px=48)() is not first
    assert network_of(tiny_bundle)() is not first


def test_releasing_loads_nothing_and_waits_for_nobody(tiny_bundle: Bundle) -> None:
    mine, other = network_of(tiny_bundle), network_of(tiny_bundle, path=tiny_bundle.path / "nowhere")
    runtime = mine()
    ReleaseNetwork(network=other)()
    with network_turn():
        ReleaseNetwork(network=mine)()
    ReleaseNetwork(network=mine)()
    assert not network_turn().locked()
    assert mine() is runtime


def test_the_same_weights_looked_at_in_other_ways_are_another_network(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    described = Path(shutil.copytree(tiny_bundle.path, tmp_path / "copy")) / "bundle.json"
    planned = load_bundle(described)
    assert network_of(planned)().bundle.views == 1
    described.write_text(json.dumps(json.loads(described.read_text()) | {"views": 2}))
    assert network_of(load_bundle(described))().bundle.views == 2
    with pytest.raises(ModelError, match="another bundle"):
        network_of(planned)()
