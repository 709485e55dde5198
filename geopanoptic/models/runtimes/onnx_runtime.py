"""The network in ONNX Runtime on the CPU: one session, each tile in the thread that asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geopanoptic.models.networks.heads import DAY, INPUT, OUTPUTS

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from geopanoptic.models.networks.compact_series import CompactReader, CompactSeasonDecoder


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxProbabilities:
    """A session without threads of its own; calls from several threads run side by side."""

    session: InferenceSession

    def __call__(self, input_bchw: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        classes, others = self.session.run(OUTPUTS, {INPUT: input_bchw})
        return classes, others


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxHalves:
    """Both halves of a network of series, likewise."""

    reader: InferenceSession
    decoder: InferenceSession
    sums: tuple[str, ...]

    def read(
        self, input_bchw: NDArray[np.float32], day_bchw: NDArray[np.float32]
    ) -> list[NDArray[np.float32]]:
        return self.reader.run(self.sums, {INPUT: input_bchw, DAY: day_bchw})

    def decode(
        self, totals: Sequence[NDArray[np.float32]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        classes, others = self.decoder.run(OUTPUTS, dict(zip(self.sums, totals, strict=True)))
        return classes, others


def onnx_probabilities(graph: bytes) -> OnnxProbabilities:
    """A serialised ``onnx_model`` as a session."""
    return OnnxProbabilities(session=_session(graph))


def onnx_halves(reader: CompactReader, decoder: CompactSeasonDecoder) -> OnnxHalves:
    """Both halves as sessions."""
    from geopanoptic.models.onnx_graph import onnx_reader, onnx_season_decoder

    return OnnxHalves(
        reader=_session(onnx_reader(reader).SerializeToString()),
        decoder=_session(onnx_season_decoder(decoder).SerializeToString()),
        sums=reader.sums,
    )


def _session(graph: bytes) -> InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
