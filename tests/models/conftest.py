"""Fixtures of the tests of networks."""

from __future__ import annotations

import pytest

from geopanoptic.models.runtimes import RUNTIMES, RuntimeName


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> RuntimeName:
    if request.param != "torch":
        pytest.importorskip(request.param)
        pytest.importorskip("onnx")
    return request.param
