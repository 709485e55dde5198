"""One step of learning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_training import feed_of, tiny_config, write_pool

from geopanoptic.training.learning.learner import Learner
from geopanoptic.training.learning.parallel import Ranks

ALONE = Ranks(rank=0, size=1, device=torch.device("cpu"))


@pytest.fixture
def data(tmp_path: Path) -> list[dict[str, Any]]:
    return [{"kind": "pool", "folder": str(write_pool(tmp_path / "pool"))}]


def tensors(learner: Learner) -> list[torch.Tensor]:
    networks = [*learner._twins, learner.state.average]
    return [value.clone() for each in networks for value in each.state_dict().values()]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_batch_whose_loss_is_not_finite_leaves_no_trace(data: list[dict[str, Any]], threads: int) -> None:
    config = tiny_config(data, threads=threads)
    learner, batch = Learner(config, ALONE), feed_of(config).batch_number(0)
    assert learner.step(batch, 1)
    before = tensors(learner)
    spoilt = batch.input_btchw.clone()
    spoilt[0, 0, 0, 5, 5] = torch.nan
    assert learner.step(replace(batch, input_btchw=spoilt), 2) == {}
    assert all(map(torch.equal, before, tensors(learner)))
    assert learner.step(batch, 3)
    learner.close()


@pytest.mark.parametrize("term", ["field", "classes", "centre", "boundary", "distance"])
def test_a_weight_of_zero_leaves_a_term_out(data: list[dict[str, Any]], term: str) -> None:
    config = tiny_config(data, losses={term: 0})
    learner = Learner(config, ALONE)
    terms = learner.step(feed_of(config).batch_number(0), 1)
    assert terms.keys() == {"field", "classes", "centre", "boundary", "distance"} - {term}
    learner.close()
