"""The network in ONNX Runtime on the CPU: one session, each tile in the thread that asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geopanoptic.models.compact import CompactUNet
from geopanoptic.models.compact_series import CompactReader, CompactSeasonDecoder
from geopanoptic.models.onnx_graph import (
    DAY,
    INPUT,
    OUTPUT,
    onnx_model,
    onnx_reader,
    onnx_season_decoder,
    sums_of,
)

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxruntime import InferenceSession


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxProbabilities:
    """A session without threads of its own; calls from several threads run side by side."""

    session: InferenceSession

    def __call__(self, input_bchw: NDArray[np.float32]) -> NDArray[np.float32]:
        return self.session.run([OUTPUT], {INPUT: input_bchw})[0]


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

    def decode(self, totals: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        return self.decoder.run([OUTPUT], dict(zip(self.sums, totals, strict=True)))[0]


def onnx_probabilities(network: CompactUNet) -> OnnxProbabilities:
    """The network as a session."""
    return OnnxProbabilities(session=_session(onnx_model(network)))


def onnx_halves(reader: CompactReader, decoder: CompactSeasonDecoder) -> OnnxHalves:
    """Both halves as sessions."""
    return OnnxHalves(
        reader=_session(onnx_reader(reader)),
        decoder=_session(onnx_season_decoder(decoder)),
        sums=sums_of(reader),
    )


def _session(model: ModelProto) -> InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
