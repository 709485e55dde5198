"""The state of a run on disk: network, its running average and the optimiser, without pickles."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run has come: steps taken and wall-clock seconds spent."""

    step: int = 0
    elapsed_s: float = 0.0


def save_checkpoint(
    path: Path,
    *,
    network: nn.Module,
    average: nn.Module,
    optimiser: torch.optim.Optimizer,
    progress: Progress,
) -> None:
    """Write everything needed to go on; the old file stays until the new one is complete."""
    tensors = {f"network/{k}": v for k, v in network.state_dict().items()}
    tensors |= {f"average/{k}": v for k, v in average.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser/{index}/{name}": value for name, value in state.items()}
    partial = path.with_suffix(".partial")
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, partial, metadata={"progress": json.dumps(asdict(progress))})
    partial.replace(path)


def load_checkpoint(
    path: Path, *, network: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer
) -> Progress:
    """Bring the three to the state in ``path`` and say how far the run had come."""
    groups: dict[str, dict[str, Tensor]] = {"network": {}, "average": {}, "optimiser": {}}
    with safe_open(path, framework="pt") as stored:
        progress = Progress(**json.loads(stored.metadata()["progress"]))
        for key in stored.keys():  # noqa: SIM118  safe_open is no mapping
            group, name = key.split("/", 1)
            groups[group][name] = stored.get_tensor(key)
    network.load_state_dict(groups["network"])
    average.load_state_dict(groups["average"])
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in groups["optimiser"].items():
        index, entry = name.split("/")
        state.setdefault(int(index), {})[entry] = tensor
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    return progress
