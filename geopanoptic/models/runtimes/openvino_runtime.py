"""The network in OpenVINO on the CPU: one stream of one thread per tile."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geopanoptic.errors import ResourceError
from geopanoptic.models.compact import CompactUNet
from geopanoptic.models.onnx_graph import onnx_model

if TYPE_CHECKING:
    from openvino import CompiledModel


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenVinoProbabilities:
    """A compiled network; every calling thread has an inference request of its own."""

    compiled: CompiledModel
    of_thread: threading.local = field(default_factory=threading.local)

    def __call__(self, input_bchw: NDArray[np.float32]) -> NDArray[np.float32]:
        request = getattr(self.of_thread, "request", None)
        if request is None:
            request = self.of_thread.request = self.compiled.create_infer_request()
        request.infer([input_bchw], share_inputs=True)
        return request.get_output_tensor(0).data


def openvino_probabilities(network: CompactUNet, *, threads: int, bf16: bool) -> OpenVinoProbabilities:
    """The network for ``threads`` tiles at once.

    Raises ``ResourceError`` where bfloat16 is asked for and the CPU has no instructions for it.
    """
    import openvino

    core = openvino.Core()
    if bf16 and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise ResourceError(
            "This CPU does not compute in bfloat16.", remedy="Run with --precision f32, which every CPU has."
        )
    model = core.read_model(onnx_model(network).SerializeToString(), b"")
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": threads,
        "ENABLE_CPU_PINNING": False,
    }
    return OpenVinoProbabilities(compiled=core.compile_model(model, "CPU", settings))
