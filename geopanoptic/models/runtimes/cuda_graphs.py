"""CUDA graphs: all kernels of a network launched at once, for tiles of a shape that comes again.

Small networks spend much of their time on launching kernels one by one. A graph launches the same kernels, so it
must give the same bits; one that does not, or that cannot be captured, is never used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Lock

import torch
from torch import Tensor

Compute = Callable[..., Sequence[Tensor]]
"""Tensors to tensors, on one device."""
Shapes = tuple[torch.Size, ...]

MAX_GRAPHS = 8
"""Shapes remembered: whole batches and the rests of them. Each graph keeps its inputs and outputs on the device."""


@dataclass(slots=True, kw_only=True, eq=False)
class Replaying:
    """``compute``, from the second call with inputs of the same shapes on by ``capture``'s graph of it.

    Inputs and outputs as those of ``compute``; outputs are the caller's own. Calls wait for each other.
    """

    compute: Compute
    capture: Callable[[Compute, Sequence[Tensor]], Compute]
    """Gives what computes the same for inputs of these shapes, and may raise RuntimeError."""
    graphs: dict[Shapes, Compute | None] = field(default_factory=dict)
    """None where the shapes were seen once."""
    lock: Lock = field(default_factory=Lock)

    def __call__(self, *inputs: Tensor) -> Sequence[Tensor]:
        with self.lock:
            shapes = tuple(each.shape for each in inputs)
            replay = self.graphs.get(shapes)
            if replay is not None:
                return [each.clone() for each in replay(*inputs)]
            outputs = self.compute(*inputs)
            if shapes in self.graphs:
                self.graphs[shapes] = self._checked(inputs, outputs)
            elif len(self.graphs) < MAX_GRAPHS:
                self.graphs[shapes] = None
            return outputs

    def _checked(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Compute:
        """A graph, or ``compute`` where there is none that gives ``outputs``."""
        try:
            replay = self.capture(self.compute, inputs)
            alike = all(map(torch.equal, replay(*inputs), outputs))
        except RuntimeError:
            # Memory that does not suffice as well: the network alone needs less.
            alike = False
        return replay if alike else self.compute

    def release(self) -> None:
        """Forget the graphs and what they keep on the device."""
        with self.lock:
            self.graphs.clear()


def captured(compute: Compute, inputs: Sequence[Tensor]) -> Compute:
    """A CUDA graph of ``compute`` for inputs of these shapes; its outputs are valid until it is called again.

    After "CUDA Graphs" in PyTorch's notes. Raises RuntimeError where ``compute`` does what a graph cannot.
    """
    given = [torch.empty_like(each).copy_(each) for each in inputs]
    before, aside = torch.cuda.current_stream(inputs[0].device), torch.cuda.Stream(inputs[0].device)
    # Libraries set up what they need on the stream's first use, which a graph must not hold.
    aside.wait_stream(before)
    with torch.cuda.stream(aside):
        compute(*given)
    before.wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    # The outer context: a capture that fails leaves its stream current. Other threads use this device meanwhile.
    with (
        torch.cuda.stream(before),
        torch.cuda.graph(graph, stream=aside, capture_error_mode="thread_local"),
    ):
        outputs = compute(*given)

    def replay(*inputs: Tensor) -> Sequence[Tensor]:
        for place, values in zip(given, inputs, strict=True):
            place.copy_(values)
        graph.replay()
        return outputs

    return replay
