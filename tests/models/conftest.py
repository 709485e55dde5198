"""Fixtures of the tests of networks."""

from __future__ import annotations

import pytest

from geopanoptic.models.bundle import Bundle
from geopanoptic.models.runtimes import RUNTIMES, RuntimeName


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> RuntimeName:
    if request.param != "torch":
        pytest.importorskip(request.param)
        pytest.importorskip("onnx")
    return request.param


@pytest.fixture(params=["fine-convolution", "heads-on-input-pixels"])
def tiny_bundle(
    request: pytest.FixtureRequest, tiny_bundle: Bundle, tiny_bundle_without_fine_convolution: Bundle
) -> Bundle:
    """Both kinds of heads."""
    return tiny_bundle if request.param == "fine-convolution" else tiny_bundle_without_fine_convolution


@pytest.fixture
def native_bf16() -> None:
    """Skips where nothing computes in bfloat16."""
    pytest.importorskip("openvino")
    from geopanoptic.models.runtimes.openvino_runtime import computes_in_bf16

    if not computes_in_bf16():
        pytest.skip("this processor has no instructions for bfloat16")
