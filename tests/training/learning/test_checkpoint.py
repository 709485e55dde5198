"""Files that a run cannot go on from."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.torch import save_file
from tiny_training import tensors_of, tiny_config, write_pool

from geopanoptic.errors import OutputError, UsageError
from geopanoptic.training.config import TrainingConfig
from geopanoptic.training.learning.trainer import train


@pytest.fixture
def config(tmp_path: Path) -> TrainingConfig:
    return tiny_config([{"kind": "pool", "folder": str(write_pool(tmp_path / "pool"))}], steps=1)


def _newer(metadata: dict[str, str]) -> dict[str, str]:
    return metadata | {"config": json.dumps(json.loads(metadata["config"]) | {"unheard_of": 1})}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda _: None, "does not say how far"),
        (lambda _: {"format": "pt"}, "does not say how far"),
        (_newer, "unheard_of: Extra inputs are not permitted"),
    ],
)
def test_files_of_others_and_of_newer_versions_are_refused(
    config: TrainingConfig,
    tmp_path: Path,
    change: Callable[[dict[str, str]], dict[str, str] | None],
    said: str,
) -> None:
    last = train(config, tmp_path / "run")
    with safe_open(last, framework="pt") as stored:
        metadata: Any = change(stored.metadata())
    save_file(tensors_of(last), last, metadata=metadata)
    with pytest.raises(UsageError, match=rf"last\.safetensors is damaged, or no checkpoint .*{said}"):
        train(config, tmp_path / "run")


def test_damaged_best_weights_are_refused(config: TrainingConfig, tmp_path: Path) -> None:
    config = config.model_copy(update={"validation": config.data})
    best = train(config, tmp_path / "run")
    best.write_bytes(best.read_bytes()[:100])
    with pytest.raises(UsageError, match=r"best\.safetensors is damaged"):
        train(config, tmp_path / "run")


def test_a_full_disk_is_no_bug(config: TrainingConfig, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OutputError, match=r"last\.safetensors could not be written"):
            train(config, tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
