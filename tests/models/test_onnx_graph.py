"""Networks read off as ONNX models."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from geopanoptic.models.bundle import load_bundle
from geopanoptic.models.networks.two_scales import network_of_looks

pytest.importorskip("onnx")


def test_threads_may_read_networks_off_at_the_same_time() -> None:
    from geopanoptic.models.onnx_graph import onnx_model

    bundle = load_bundle("fields-m")
    networks = [network_of_looks(bundle, bundle.dense_network()) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        first, *others = (model.SerializeToString() for model in threads.map(onnx_model, networks))
    assert all(other == first for other in others)
