"""What a training run is made of, read from YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from geopanoptic.errors import UsageError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Strict):
    """A folder of samples inside the pool and its share of every batch."""

    folder: str
    share: float = Field(gt=0)


class TrainingConfig(_Strict):
    """One run. ``minutes`` of wall clock set the length; the learning rate follows the clock."""

    seed: int = 0
    pool: Path
    sources: tuple[Source, ...] = Field(min_length=1)
    crop_px: int = Field(default=128, ge=32, multiple_of=16)
    batch: int = Field(default=8, ge=1)
    minutes: float = Field(gt=0)
    encoder_rate: float = 5e-4
    decoder_rate: float = 1.5e-3
    weight_decay: float = 1e-4
    warm_up_steps: int = 40
    average_decay: float = Field(default=0.998, ge=0, lt=1)
    checkpoint_minutes: float = 4.0
    threads: int = 2
    initial_weights: Literal["imagenet", "random"] = "imagenet"
    network: dict[str, Any] = Field(default_factory=dict)


def read_config(path: Path, **overrides: Any) -> TrainingConfig:
    """The configuration in a YAML file; ``overrides`` that are not None win over it.

    Raises ``UsageError`` naming the key for unknown keys and values out of range.
    """
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    given = {key: value for key, value in overrides.items() if value is not None}
    try:
        return TrainingConfig.model_validate({**(values or {}), **given})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{path}: {key}: {first['msg']}.", remedy="Correct the configuration.") from None
