"""The state of a run on disk: network, its running average and the optimiser, without pickles."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from geopanoptic.errors import UsageError
from geopanoptic.models.weights import write_weights
from geopanoptic.pipeline.resuming.identity import Identity, differences
from geopanoptic.training.config import RESUMABLE_KEYS, TrainingConfig
from geopanoptic.wording import fault

_SAYS = {
    "progress": "how far a run had come",
    "config": "how it learned",
    "data": "which data were learned",
    "held_out_loss": "how good its weights are",
}
"""What is written beside weights, in words for whoever has a file without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How far a run has come: steps taken, and wall-clock seconds spent.

    ``left_out`` of the steps learned nothing, as their batch's loss was not finite. ``vain_looks`` at the held-out loss
    followed its least value.
    """

    step: int = 0
    elapsed_s: float = 0.0
    left_out: int = 0
    vain_looks: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What changes while a network learns. The modules are changed in place."""

    network: nn.Module
    average: nn.Module
    """Running mean of the network's weights, in eval mode: what a run results in."""
    optimiser: torch.optim.Optimizer


def save_checkpoint(path: Path, state: State, course: Course, config: TrainingConfig, data: Identity) -> None:
    """Write everything needed to go on; the old file stays until the new one is complete.

    Raises ``OutputError`` where it cannot be written.
    """
    tensors = {f"network/{k}": v for k, v in state.network.state_dict().items()}
    tensors |= _averaged(state)
    for index, entries in state.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser/{index}/{name}": value for name, value in entries.items()}
    metadata = {
        "progress": json.dumps(asdict(course)),
        "config": config.model_dump_json(by_alias=True),
        "data": json.dumps(data),
    }
    _write(path, tensors, metadata)


def save_best(path: Path, state: State, course: Course, held_out_loss: float) -> None:
    """Write the averaged weights alone, with the loss they were chosen for."""
    metadata = {"progress": json.dumps(asdict(course)), "held_out_loss": repr(held_out_loss)}
    _write(path, _averaged(state), metadata)


def best_loss(path: Path) -> float:
    """The held-out loss of the weights in ``path``; infinite where there is no such file.

    Raises ``UsageError`` where the file is damaged or none of ``save_best``.
    """
    if not path.exists():
        return float("inf")
    with _reading(path), safe_open(path, framework="pt") as stored:
        return float(_metadata(stored, "held_out_loss")["held_out_loss"])


def load_checkpoint(path: Path, state: State, config: TrainingConfig, data: Identity) -> Course:
    """Bring ``state`` to what ``path`` holds and say how far the run had come.

    Raises ``UsageError`` where the file is damaged, none of ``save_checkpoint`` or of another version, and where it was
    written under another configuration or from other ``data``.
    """
    groups: dict[str, dict[str, Tensor]] = {"network": {}, "average": {}, "optimiser": {}}
    with _reading(path), safe_open(path, framework="pt") as stored:
        metadata = _metadata(stored, "progress", "config", "data")
        course = Course(**json.loads(metadata["progress"]))
        before = TrainingConfig.model_validate_json(metadata["config"])
        learned = json.loads(metadata["data"])
        for key in stored.keys():  # noqa: SIM118  safe_open is no mapping
            group, name = key.split("/", 1)
            groups[group][name] = stored.get_tensor(key)
    _refuse_other_config(path, before, config)
    _refuse_other_data(path, learned, data)
    state.network.load_state_dict(groups["network"])
    state.average.load_state_dict(groups["average"])
    entries: dict[int, dict[str, Tensor]] = {}
    for name, tensor in groups["optimiser"].items():
        index, entry = name.split("/")
        entries.setdefault(int(index), {})[entry] = tensor
    state.optimiser.load_state_dict({**state.optimiser.state_dict(), "state": entries})
    return course


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{path} is damaged, or no checkpoint of this version: {fault(error)}.",
            remedy=f"Give another --out, with --from {path} to begin with its weights if they can be read; or remove it to "
            "start again.",
        ) from None


def _metadata(stored: Any, *needed: str) -> dict[str, str]:
    found: dict[str, str] = stored.metadata() or {}
    for name in needed:
        if name not in found:
            raise ValueError(f"it does not say {_SAYS[name]}")
    return found


def _refuse_other_config(path: Path, before: TrainingConfig, now: TrainingConfig) -> None:
    fixed = [name for name in TrainingConfig.model_fields if name not in RESUMABLE_KEYS]
    changed = [name for name in fixed if getattr(before, name) != getattr(now, name)]
    if changed:
        what = "; ".join(f"{n} was {getattr(before, n)!r}, is {getattr(now, n)!r}" for n in changed)
        raise UsageError(
            f"{path} belongs to a run with another configuration: {what}.",
            remedy="Give the run's own configuration to go on, or another --out to start anew.",
        )


def _refuse_other_data(path: Path, before: Identity, now: Identity) -> None:
    changed = differences(before, now)
    if changed:
        raise UsageError(
            f"{path} belongs to a run that learned from other data: {'; '.join(changed)}.",
            remedy=f"Give another --out to learn these data, and --from {path} to begin with its weights.",
        )


def save_averaged(path: Path, weights: dict[str, Tensor]) -> None:
    """Averaged weights alone, which a bundle is made from; no run goes on from them."""
    _write(path, {f"average/{name}": values for name, values in weights.items()}, {})


def _averaged(state: State) -> dict[str, Tensor]:
    return {f"average/{k}": v for k, v in state.average.state_dict().items()}


def _write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_weights(path, contiguous, metadata)
