"""Kinds fitted by the season of single pixels: what is learned, and what stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_seasons import TINY_TEMPORAL, tiny_season_config, write_season_pool
from tiny_training import TINY_NETWORK

from geopanoptic.errors import UsageError
from geopanoptic.models.networks import building
from geopanoptic.models.networks.series import PanopticUNetSeries
from geopanoptic.training.config import TrainingConfig
from geopanoptic.training.kinds import feed_of, fit_kinds, gather_seasons


def config_of(pool: Path, **temporal: Any) -> TrainingConfig:
    settings = {**TINY_TEMPORAL, "kinds": 4, "kind_channels": 16, **temporal}
    data = [{"kind": "season_pool", "folder": str(pool)}]
    return tiny_season_config(data, network={**TINY_NETWORK, "temporal": settings})


def built(config: TrainingConfig) -> PanopticUNetSeries:
    network = building.build_network(config.network, n_bands=len(config.bands), n_classes=len(config.classes))
    assert isinstance(network, PanopticUNetSeries)
    return network


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    return write_season_pool(tmp_path / "seasons")


def test_kinds_are_learned_and_the_rest_stays(pool: Path) -> None:
    config = config_of(pool)
    network = built(config)
    before = {k: v.clone() for k, v in network.state_dict().items() if not k.startswith("kinds.")}
    after = fit_kinds(config, before, batches=40)
    assert {name for name in after if name not in before} == {k for k in after if k.startswith("kinds.")}
    assert all(torch.equal(after[name], values) for name, values in before.items())

    network.load_state_dict(after)
    assert network.kinds is not None
    seasons, kinds = gather_seasons(network, network.kinds, feed_of(config), batches=4)
    assert set(kinds.tolist()) == {0, 1}
    with torch.inference_mode():
        logits = network.kinds.season(seasons.flatten(0, 1)[..., None, None])[..., 0, 0]
    found = logits.softmax(1).unflatten(0, (len(kinds), -1)).mean(1).argmax(1)
    assert (found == kinds).float().mean() > 0.8


def test_what_cannot_be_fitted_is_refused(pool: Path) -> None:
    config = config_of(pool)
    weights = built(config).state_dict()
    with pytest.raises(UsageError, match="tells no kinds"):
        fit_kinds(config_of(pool, kinds=0), weights, batches=1)
    with pytest.raises(UsageError, match="another network"):
        fit_kinds(config, {name: v for name, v in weights.items() if "decoder" not in name}, batches=1)
    with pytest.raises(UsageError, match="another network"):
        fit_kinds(config, built(config_of(pool, kind_channels=24)).state_dict(), batches=1)
