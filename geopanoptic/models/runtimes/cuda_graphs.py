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
Kinds = tuple[tuple[torch.Size, tuple[int, ...], torch.dtype], ...]

MAX_GRAPHS = 8
"""Shapes remembered: whole batches and the rests of them. Each graph keeps what the network needs on the device."""


@dataclass(slots=True, kw_only=True, eq=False)
class Replaying:
    """``compute``, from the second call with inputs of the same shapes on by ``capture``'s graph of it.

    Inputs and outputs as those of ``compute``; outputs are the caller's own. Calls wait for each other.
    """

    compute: Compute
    capture: Callable[[Compute, Sequence[Tensor]], Compute]
    """Gives what computes the same for inputs of these shapes, and may raise RuntimeError."""
    graphs: dict[Kinds, Compute | None] = field(default_factory=dict)
    """By inputs of one kind; None where it was seen once."""
    at_most: int = MAX_GRAPHS
    lock: Lock = field(default_factory=Lock)

    def __call__(self, *inputs: Tensor) -> Sequence[Tensor]:
        with self.lock:
            kinds = tuple((each.shape, each.stride(), each.dtype) for each in inputs)
            replay = self.graphs.get(kinds)
            if replay is not None:
                return [each.clone() for each in replay(*inputs)]
            outputs = self.compute(*inputs)
            if kinds in self.graphs:
                self.graphs[kinds] = self._checked(inputs, outputs)
            elif len(self.graphs) < self.at_most:
                self.graphs[kinds] = None
            return outputs

    def _checked(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Compute:
        """A graph, or ``compute`` where there is none that gives ``outputs``."""
        try:
            replay = self.capture(self.compute, inputs)
            # An empty graph would still show the outputs of its capture.
            for each in replay(*inputs):
                each.fill_(torch.nan)
            alike = all(map(torch.equal, replay(*inputs), outputs))
        except RuntimeError:
            # Memory that does not suffice as well: the network alone needs less.
            alike = False
        return replay if alike else self.compute

    def release(self) -> None:
        """Forget the graphs and what they keep on the device."""
        with self.lock:
            self.graphs.clear()

    def give_way(self) -> bool:
        """Forget them for good, for the device is full; whether there were any."""
        with self.lock:
            self.at_most, had = 0, any(graph is not None for graph in self.graphs.values())
            self.graphs.clear()
        return had


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
