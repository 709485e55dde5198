"""One batch over several processes (``torchrun``) and, on a CPU, over several threads of each.

Every part runs on one thread: threads inside the operators wait for each other hundreds of times a step, which
halves the speed as soon as another process uses a core. Parts share the parameters and have batch norm
statistics of their own, averaged after every step, so that neither the number of threads nor the timing
changes a result: four parts are four parts, as two threads in two processes or as four in one.

Gradients are averaged with one ``all_reduce`` of all of them: the networks here are small, so overlapping it
with the backward pass, as ``DistributedDataParallel`` does, would gain nothing and need one module per thread.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, distributed, nn

from geopanoptic.errors import ResourceError


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """This process among those of a run."""

    rank: int
    size: int
    device: torch.device

    @classmethod
    @contextmanager
    def joined(cls, device: str) -> Iterator[Self]:
        """Meet the other processes that ``torchrun`` started, if any; ``device`` is auto, cpu or cuda.

        Raises ``ResourceError`` where CUDA is asked for and there is none.
        """
        if device == "cuda" and not torch.cuda.is_available():
            raise ResourceError("There is no CUDA device here.", remedy="Train with --set device=cpu.")
        on_gpu = device != "cpu" and torch.cuda.is_available()
        local = torch.device(f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if on_gpu else "cpu")
        size = int(os.environ.get("WORLD_SIZE", 1))
        if size == 1:
            yield cls(rank=0, size=1, device=local)
            return
        if on_gpu:
            torch.cuda.set_device(local)
        distributed.init_process_group("nccl" if on_gpu else "gloo")
        try:
            yield cls(rank=distributed.get_rank(), size=size, device=local)
        finally:
            distributed.destroy_process_group()

    @property
    def is_first(self) -> bool:
        """The process that writes files and talks."""
        return self.rank == 0

    def share(self, batch: int) -> slice:
        """The samples of a batch that are this process's. ``batch`` is a multiple of ``size``."""
        each = batch // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def mean(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The mean of every tensor over all processes."""
        if self.size == 1:
            return list(tensors)
        flat = torch.cat([tensor.reshape(-1).to(self.device, torch.float32) for tensor in tensors])
        distributed.all_reduce(flat)
        parts = (flat / self.size).split([tensor.numel() for tensor in tensors])
        return [part.view_as(tensor).to(tensor.dtype) for part, tensor in zip(parts, tensors, strict=True)]

    def of_first(self, value: float) -> float:
        """What the first process says: a number, or a truth as 0 or 1."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.device)
        distributed.broadcast(shared, src=0)
        return float(shared.item())


def twins(network: nn.Module, count: int) -> list[nn.Module]:
    """``network`` and ``count - 1`` copies with the same parameter tensors and buffers of their own."""
    shared = {id(parameter): parameter for parameter in network.parameters()}
    return [network, *(copy.deepcopy(network, dict(shared)) for _ in range(count - 1))]


@torch.no_grad()
def average_buffers(networks: Sequence[nn.Module], ranks: Ranks) -> None:
    """Give all twins of all processes the mean of their float buffers (batch norm statistics)."""
    columns = [
        each
        for each in zip(*(network.buffers() for network in networks), strict=True)
        if each[0].is_floating_point()
    ]
    if len(networks) == ranks.size == 1 or not columns:
        return
    means = ranks.mean([torch.stack(column).mean(0) for column in columns])
    for column, mean in zip(columns, means, strict=True):
        for buffer in column:
            buffer.copy_(mean)
