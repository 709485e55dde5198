"""Losses of the PaPs heads: what they ask for, and that a network learns one patch by heart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from geopanoptic.models.networks.paps import AtCentres, PapsHeads, draw_parcels
from geopanoptic.training.learning.losses import TargetBatch
from geopanoptic.training.learning.paps_losses import paps_loss
from geopanoptic.training.pastis.targets import centre_targets
from geopanoptic.training.patches.targets import IGNORED

INSTANCES = np.zeros((32, 32), np.int64)
INSTANCES[2:12, 3:15] = 7
INSTANCES[2:12, 16:30] = 9
INSTANCES[16:30, 4:28] = 4
CLASSES = np.select([INSTANCES == 7, INSTANCES == 9, INSTANCES == 4], [0, 1, IGNORED], 2)


def targets_of(instances: np.ndarray = INSTANCES) -> TargetBatch:
    zeros = torch.zeros(1, *instances.shape)
    return TargetBatch(
        class_bhw=torch.from_numpy(CLASSES)[None],
        field_bhw=zeros,
        centre_bhw=zeros,
        boundary_bhw=zeros,
        distance_bhw=zeros,
        weight_bhw=zeros,
        shape_weight_bhw=zeros,
        instance_bhw=torch.from_numpy(instances)[None],
    )


class Stated(PapsHeads):
    """Heads that state the same everywhere: sides of 9 px, and class 0."""

    def __init__(self) -> None:
        super().__init__(n_channels=4, level_channels=(), n_classes=3, refined=False)

    def at(self, outputs: object, row_n: torch.Tensor, col_n: torch.Tensor) -> AtCentres:
        n = len(row_n)
        return AtCentres(
            size_n2=torch.full((n, 2), 9.0),
            semantic_nk=torch.tensor([[4.0, 0.0, 0.0]]).expand(n, -1),
            shape_n1ss=torch.zeros(n, 1, 16, 16),
        )


def blank() -> dict[str, torch.Tensor]:
    widths = {"heat": 1, "saliency": 1, "level0": 4}
    return {name: torch.zeros(1, width, 32, 32) for name, width in widths.items()}


def test_the_centre_term_asks_for_the_official_heat() -> None:
    official = centre_targets(np.searchsorted([0, 4, 7, 9], INSTANCES)).heatmap_hw
    logits = blank()
    heat = torch.from_numpy(official).float()
    # Where the heat is 1 the loss wants as much; everywhere else weight (1 - heat)^4 on log(1 - p).
    for level in (-2.0, 0.5):
        logits["heat"] = torch.full((1, 1, 32, 32), level)
        p = torch.sigmoid(torch.tensor(level))
        false = -((1 - heat) ** 4 * torch.log(1 - p))[heat < 1].sum()
        missed = -torch.log(p) * (heat == 1).sum()
        expected = (false + missed) / (heat == 1).sum()
        found = paps_loss(Stated(), logits, targets_of())["centre"].detach()
        assert float(found) == pytest.approx(float(expected), rel=1e-4)


def test_sizes_are_judged_relatively_and_classes_where_they_are_known() -> None:
    terms = {name: each.detach() for name, each in paps_loss(Stated(), blank(), targets_of()).items()}
    sizes = [(10, 12), (10, 14), (14, 24)]
    expected = np.mean([sum(abs(9 - side) / side for side in size) for size in sizes])
    assert float(terms["size"]) == pytest.approx(expected, rel=1e-4)
    entropy = [-np.log(np.exp(score) / (np.exp(4) + 2)) for score in (4, 0)]
    assert float(terms["classes"]) == pytest.approx(np.mean(entropy), rel=1e-4)
    # Shape and saliency of one half each make one quarter, inside the parcels and outside.
    assert np.log(4 / 3) < float(terms["shape"]) < np.log(4)


def test_unlabelled_ground_and_empty_patches_have_finite_gradients() -> None:
    heads = PapsHeads(n_channels=4, level_channels=(), n_classes=3, refined=True)
    for instances in (np.full_like(INSTANCES, -1), np.zeros_like(INSTANCES)):
        logits = {name: values.requires_grad_() for name, values in blank().items()}
        learned = [*heads.size.parameters(), *heads.refining.parameters()]  # type: ignore[union-attr]
        loss = sum(paps_loss(heads, logits, targets_of(instances)).values())
        gradients = torch.autograd.grad(loss, [*logits.values(), *learned])  # type: ignore[arg-type]
        assert all(each.isfinite().all() for each in gradients)
        assert bool((gradients[0] != 0).any()) == (instances.min() == 0)


@pytest.mark.parametrize(("refined", "steps"), [(True, 60), (False, 120)])
def test_a_patch_is_learned_by_heart(refined: bool, steps: int) -> None:
    torch.manual_seed(0)
    features = torch.nn.Parameter(torch.randn(1, 12, 32, 32))
    coarse = torch.nn.Parameter(torch.randn(1, 8, 8, 8))
    heads = PapsHeads(n_channels=12, level_channels=(8,), n_classes=3, refined=refined)
    optimiser = torch.optim.Adam([features, coarse, *heads.parameters()], 0.05)
    for _ in range(steps):
        outputs = heads(features, [coarse])
        loss = sum(paps_loss(heads, outputs, targets_of()).values())
        optimiser.zero_grad()
        loss.backward()  # type: ignore[union-attr]
        optimiser.step()
    outputs = {name: each[0].detach() for name, each in heads.eval()(features, [coarse]).items()}
    parcels, classes = draw_parcels(heads, outputs, things=(0, 1))
    for number in (7, 9, 4):
        truth = torch.from_numpy(number == INSTANCES)
        found = parcels == parcels[truth].mode().values
        assert (truth & found).sum() / (truth | found).sum() > 0.7
    of_parcel = {7: 0, 9: 1}
    for number, expected in of_parcel.items():
        assert classes[int(parcels[torch.from_numpy(number == INSTANCES)].mode().values) - 1] == expected
