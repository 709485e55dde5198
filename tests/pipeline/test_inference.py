"""The network that a process has loaded: one, given back memory of without being loaded or waited for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from geopanoptic.errors import ModelError
from geopanoptic.models.bundle import Bundle
from geopanoptic.pipeline.dense import network_turn
from geopanoptic.pipeline.inference import BundleNetwork, ReleaseNetwork


def network_of(bundle: Bundle, **changes: object) -> BundleNetwork:
    network = BundleNetwork(
        path=bundle.path,
        sha256=bundle.sha256,
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


def test_other_weights_than_planned_are_refused(tiny_bundle: Bundle) -> None:
    with pytest.raises(ModelError, match="other weights"):
        network_of(tiny_bundle, sha256="0" * 64)()
