"""The network in ONNX Runtime on the CPU: one session, each tile in the thread that asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geopanoptic.models.compact import CompactUNet
from geopanoptic.models.onnx_graph import INPUT, OUTPUT, onnx_model

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxProbabilities:
    """A session without threads of its own; calls from several threads run side by side."""

    session: InferenceSession

    def __call__(self, input_bchw: NDArray[np.float32]) -> NDArray[np.float32]:
        return self.session.run([OUTPUT], {INPUT: input_bchw})[0]


def onnx_probabilities(network: CompactUNet) -> OnnxProbabilities:
    """The network as a session."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        onnx_model(network).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return OnnxProbabilities(session=session)
