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


@pytest.fixture
def native_bf16() -> None:
    """Skips where nothing computes in bfloat16."""
    pytest.importorskip("openvino")
    from geopanoptic.models.runtimes.openvino_runtime import computes_in_bf16

    if not computes_in_bf16():
        pytest.skip("this processor has no instructions for bfloat16")
