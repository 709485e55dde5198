"""The network in OpenVINO on the CPU: one stream of one thread per tile."""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geopanoptic.errors import ResourceError

if TYPE_CHECKING:
    from openvino import CompiledModel, Core, InferRequest

    from geopanoptic.models.networks.compact_series import CompactReader, CompactSeasonDecoder


_FIRST_CONVERSION = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compiled:
    """A compiled network; every calling thread has an inference request of its own."""

    network: CompiledModel
    requests: dict[int, InferRequest] = field(default_factory=dict)
    """By the thread's number; each holds what it was last given."""

    def __call__(self, *inputs: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """The outputs, which are valid until the thread's next call."""
        request = self.requests.get(threading.get_ident())
        if request is None:
            request = self.requests[threading.get_ident()] = self.network.create_infer_request()
        # Neither is copied; what is returned here would be, if it were not shared.
        request.infer(inputs, share_inputs=True, share_outputs=True)
        return [request.get_output_tensor(number).data for number in range(len(self.network.outputs))]

    def release(self) -> None:
        """Give back what inference allocated and was given; the next call allocates it again."""
        self.requests.clear()
        self.network.release_memory()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenVinoProbabilities:
    """A network of single images."""

    network: _Compiled

    def __call__(self, input_bchw: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        classes, others = self.network(input_bchw)
        return classes, others

    def release(self) -> None:
        self.network.release()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenVinoHalves:
    """Both halves of a network of series."""

    reader: _Compiled
    decoder: _Compiled

    def read(
        self, input_bchw: NDArray[np.float32], day_bchw: NDArray[np.float32]
    ) -> list[NDArray[np.float32]]:
        return self.reader(input_bchw, day_bchw)

    def decode(
        self, totals: Sequence[NDArray[np.float32]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        classes, others = self.decoder(*totals)
        return classes, others

    def release(self) -> None:
        self.reader.release()
        self.decoder.release()


@functools.cache
def computes_in_bf16() -> bool:
    """Whether this CPU has instructions for bfloat16."""
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def openvino_probabilities(graph: bytes, *, threads: int, bf16: bool) -> OpenVinoProbabilities:
    """A serialised ``onnx_model`` for ``threads`` tiles at once.

    Raises ``ResourceError`` where bfloat16 is asked for and the CPU has no instructions for it.
    """
    import openvino

    if bf16 and not computes_in_bf16():
        raise ResourceError(
            "This CPU does not compute in bfloat16.", remedy="Run with --precision f32, which every CPU has."
        )
    return OpenVinoProbabilities(network=_compiled(openvino.Core(), graph, threads=threads, bf16=bf16))


def openvino_halves(reader: CompactReader, decoder: CompactSeasonDecoder, *, threads: int) -> OpenVinoHalves:
    """Both halves for ``threads`` tiles at once, in float32: OpenVINO knows one precision for a whole graph."""
    import openvino

    from geopanoptic.models.onnx_graph import onnx_reader, onnx_season_decoder

    core = openvino.Core()
    return OpenVinoHalves(
        reader=_compiled(core, onnx_reader(reader).SerializeToString(), threads=threads),
        decoder=_compiled(core, onnx_season_decoder(decoder).SerializeToString(), threads=threads),
    )


def _compiled(core: Core, graph: bytes, *, threads: int, bf16: bool = False) -> _Compiled:
    _make_conversions()
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": threads,
        "ENABLE_CPU_PINNING": False,
    }
    read = core.read_model(graph, b"")
    return _Compiled(network=core.compile_model(read, "CPU", settings))


def _make_conversions() -> None:
    """Let OpenVINO make its table of NumPy's types, in one thread.

    Its first use makes it under a lock of C++ while Python may run other threads; a second thread that asks
    for it then waits for that lock without letting Python go on, for ever.
    """
    import openvino

    with _FIRST_CONVERSION:
        openvino.Tensor(np.zeros(1, np.float32)).element_type.to_dtype()
