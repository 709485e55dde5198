"""When a network is replayed, and that a graph which does not give its bits never is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from geopanoptic.models.bundle import Bundle
from geopanoptic.models.runtimes import load_runtime
from geopanoptic.models.runtimes.cuda_graphs import MAX_GRAPHS, Compute, Replaying, captured


@dataclass
class Counted:
    """A network, and ways of capturing it as a device's library has them: outputs that the next call overwrites."""

    computed: int = 0
    captured: list[tuple[int, ...]] = field(default_factory=list)
    replayed: int = 0
    wrong_by: float = 0.0

    def compute(self, *inputs: Tensor) -> Sequence[Tensor]:
        self.computed += 1
        return inputs[0] * 2, sum(inputs)

    def capture(self, compute: Compute, inputs: Sequence[Tensor]) -> Compute:
        self.captured.append(tuple(inputs[0].shape))
        outputs = [torch.empty_like(each) for each in (inputs[0], inputs[0])]

        def replay(*inputs: Tensor) -> Sequence[Tensor]:
            self.replayed += 1
            outputs[0].copy_(inputs[0] * 2)
            outputs[1].copy_(sum(inputs) + self.wrong_by)
            return outputs

        return replay

    def cannot(self, compute: Compute, inputs: Sequence[Tensor]) -> Compute:
        raise torch.OutOfMemoryError("CUDA out of memory")


def batches(n: int, shape: tuple[int, ...] = (2, 3)) -> list[Tensor]:
    return [torch.full(shape, float(number)) for number in range(n)]


def assert_right(network: Replaying, given: Sequence[Tensor]) -> None:
    found = [network(each, each + 1) for each in given]
    for each, (twice, total) in zip(given, found, strict=True):
        torch.testing.assert_close(twice, each * 2, rtol=0, atol=0)
        torch.testing.assert_close(total, sum([each, each + 1]), rtol=0, atol=0)


def test_a_shape_that_comes_again_is_replayed() -> None:
    counted = Counted()
    network = Replaying(compute=counted.compute, capture=counted.capture)
    assert_right(network, batches(6))
    assert_right(network, batches(1, (1, 3)))
    assert_right(network, batches(2))
    assert counted.captured == [(2, 3)]
    # One to see the shape, one to compare with, one of another shape; the graph was tried twice before its use.
    assert (counted.computed, counted.replayed) == (3, 2 + 4 + 2)


@pytest.mark.parametrize("fault", ["other bits", "NaN", "not to be captured"])
def test_a_graph_that_differs_is_never_used(fault: str) -> None:
    counted = Counted(wrong_by={"other bits": 1e-7, "NaN": float("nan")}.get(fault, 0.0))
    capture = counted.cannot if fault == "not to be captured" else counted.capture
    given = [each * 1e-3 for each in batches(5)]
    assert_right(Replaying(compute=counted.compute, capture=capture), given)
    assert (counted.computed, counted.replayed) == (5, 0 if capture == counted.cannot else 2)


def test_many_shapes_do_not_fill_the_device() -> None:
    counted = Counted()
    network = Replaying(compute=counted.compute, capture=counted.capture)
    for _ in range(3):
        for length in range(1, MAX_GRAPHS + 4):
            assert_right(network, batches(1, (length,)))
    assert len(counted.captured) == len(network.graphs) == MAX_GRAPHS
    network.release()
    assert not network.graphs
    assert_right(network, batches(3))
    assert [network.give_way(), network.give_way()] == [True, False]
    captured_before = len(counted.captured)
    assert_right(network, batches(5))
    assert len(counted.captured) == captured_before


def test_a_graph_that_is_empty_is_never_used() -> None:
    counted = Counted()

    def stale(compute: Compute, inputs: Sequence[Tensor]) -> Compute:
        outputs = compute(*inputs)
        return lambda *inputs: outputs

    assert_right(Replaying(compute=counted.compute, capture=stale), batches(1) * 3 + batches(4))


def test_another_layout_of_the_same_shape_is_another_kind() -> None:
    counted = Counted()
    network = Replaying(compute=counted.compute, capture=counted.capture)
    rows = torch.arange(9.0).reshape(3, 3)
    assert_right(network, [rows, rows.T, rows.double()])
    assert len(network.graphs) == 3
    assert not counted.captured


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA GPU")
def test_a_networks_graph_gives_its_bits(tiny_bundle: Bundle) -> None:
    runtime = load_runtime(tiny_bundle, "cuda")
    network = runtime.probabilities.network  # type: ignore[attr-defined]
    assert isinstance(network, Replaying)
    assert network.capture is captured
    tiles = torch.rand(3, len(runtime.channels), 128, 128, device="cuda")
    with torch.inference_mode():
        alone = [each.clone() for each in network.compute(tiles)]
        for _ in range(3):
            assert all(map(torch.equal, network(tiles), alone))
        assert all(graph is not network.compute for graph in network.graphs.values())
