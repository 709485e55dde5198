"""Loss terms: zero at the truth, untouched by unlabelled pixels, equal to independent formulas."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import write_pool

from geopanoptic.training.config import FIELDS_CLASSES, LossSettings
from geopanoptic.training.datasets.pool import Pool
from geopanoptic.training.learning.batch import Batch
from geopanoptic.training.learning.feed import collate, cropped, with_targets
from geopanoptic.training.learning.losses import TargetBatch, divergence, panoptic_loss, probabilities_of
from geopanoptic.training.patches.targets import IGNORED
from geopanoptic.training.synthetic import BANDS

VARIANTS = [
    LossSettings(),
    LossSettings(field_region="lovasz", centre_kind="focal", classes_focal=2.0),
]


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    pool = Pool.open(write_pool(tmp_path / "pool"), bands=BANDS, classes=FIELDS_CLASSES)
    rng = np.random.default_rng(0)
    return collate([cropped(with_targets(pool.draw(48, rng, sample=0)), 32) for _ in range(2)])


def ideal_logits(targets: TargetBatch, *, certainty: float = 1e-6) -> dict[str, torch.Tensor]:
    def logit(probability: torch.Tensor) -> torch.Tensor:
        return probability.clamp(certainty, 1 - certainty).logit().unsqueeze(1)

    semantic = torch.nn.functional.one_hot(targets.class_bhw.clamp_max(5), 6).permute(0, 3, 1, 2) * 20.0
    return {
        "semantic": semantic,
        "centre": logit(targets.centre_bhw),
        "boundary": logit((targets.boundary_bhw == 1).float()),
        "distance": logit(targets.distance_bhw),
    }


def random_logits(targets: TargetBatch) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {name: torch.randn_like(values).requires_grad_() for name, values in ideal_logits(targets).items()}


def test_truth_has_almost_no_loss(batch: Batch) -> None:
    terms = panoptic_loss(ideal_logits(batch.targets), batch.targets)
    assert set(terms) == {"field", "classes", "centre", "boundary", "distance"}
    assert all(0 <= term.item() < 0.01 for term in terms.values())


def test_lovasz_and_focal_terms_vanish_at_the_truth(batch: Batch) -> None:
    settings = VARIANTS[1].model_copy(update={"centre_kind": "squared"})
    terms = panoptic_loss(ideal_logits(batch.targets), batch.targets, settings=settings)
    assert all(0 <= term.item() < 0.01 for term in terms.values())


@pytest.mark.parametrize("settings", VARIANTS)
def test_unlabelled_pixels_get_no_gradient_and_change_no_term(batch: Batch, settings: LossSettings) -> None:
    targets = batch.targets
    hidden = torch.zeros_like(targets.weight_bhw, dtype=torch.bool)
    hidden[:, 10:30, 5:40] = True
    targets = replace(
        targets,
        class_bhw=targets.class_bhw.masked_fill(hidden, IGNORED),
        boundary_bhw=targets.boundary_bhw.masked_fill(hidden, IGNORED),
        weight_bhw=targets.weight_bhw.masked_fill(hidden, 0),
        shape_weight_bhw=targets.shape_weight_bhw.masked_fill(hidden, 0),
    )
    logits = random_logits(targets)
    first = panoptic_loss(logits, targets, settings=settings)
    torch.stack(list(first.values())).sum().backward()
    for values in logits.values():
        gradient = values.grad
        assert gradient is not None
        assert not gradient[hidden.unsqueeze(1).expand_as(gradient)].any()
        assert gradient[~hidden.unsqueeze(1).expand_as(gradient)].any()
    scrambled = {name: torch.where(hidden.unsqueeze(1), -3.0, values) for name, values in logits.items()}
    second = panoptic_loss(scrambled, targets, settings=settings)
    for name, term in first.items():
        torch.testing.assert_close(second[name], term)


@pytest.mark.parametrize("settings", VARIANTS)
def test_a_batch_without_labels_has_finite_loss(batch: Batch, settings: LossSettings) -> None:
    targets = batch.targets
    blank = TargetBatch(**{entry.name: getattr(targets, entry.name) * 0 for entry in fields(targets)})
    blank = replace(blank, class_bhw=blank.class_bhw + IGNORED, boundary_bhw=blank.boundary_bhw + IGNORED)
    logits = random_logits(targets)
    terms = panoptic_loss(logits, blank, settings=settings)
    assert all(term.isfinite() for term in terms.values())
    torch.stack(list(terms.values())).sum().backward()
    assert all(values.grad is not None and values.grad.isfinite().all() for values in logits.values())


def test_weights_scale_terms_and_zero_leaves_them_out(batch: Batch) -> None:
    logits = random_logits(batch.targets)
    once = panoptic_loss(logits, batch.targets)
    settings = LossSettings(field=3, classes=0, centre=0, distance=0)
    changed = panoptic_loss(logits, batch.targets, settings=settings)
    assert set(changed) == {"field", "boundary"}
    torch.testing.assert_close(changed["field"], 3 * once["field"])


def test_the_lovasz_term_is_the_jaccard_loss_at_hard_predictions(batch: Batch) -> None:
    # For margins of exactly 0 or 2 the extension takes its set function's values (Berman et al., eq. 8).
    targets = batch.targets
    logits = ideal_logits(targets)
    wrong = torch.zeros_like(targets.field_bhw, dtype=torch.bool)
    wrong[:, :, ::7] = True
    guess = torch.where(wrong, 1 - targets.field_bhw, targets.field_bhw)
    thing, stuff = (guess * 2 - 1), torch.full_like(guess, -1e4)
    semantic = torch.stack([thing, torch.zeros_like(thing), *[stuff] * 4], dim=1)
    only = LossSettings(classes=0, centre=0, boundary=0, distance=0, field_region="lovasz")
    known = targets.weight_bhw > 0
    total = panoptic_loss({**logits, "semantic": semantic}, targets, settings=only)["field"]
    bce = torch.nn.functional.binary_cross_entropy_with_logits(
        thing, targets.field_bhw, weight=targets.weight_bhw, reduction="sum"
    )
    region = total - bce / targets.weight_bhw.sum()
    truth, mistaken = targets.field_bhw.bool() & known, wrong & known
    jaccard = mistaken.sum() / (truth | mistaken).sum()
    torch.testing.assert_close(region, 2 * jaccard, rtol=1e-4, atol=1e-5)


def test_divergence_is_least_at_the_other_outputs_and_only_where_it_counts(batch: Batch) -> None:
    settings = LossSettings()
    counts = torch.zeros_like(batch.targets.weight_bhw)
    counts[:, :16] = 1
    logits = {name: values.detach() for name, values in random_logits(batch.targets).items()}
    other = probabilities_of(logits)

    def gradients(of: dict[str, torch.Tensor]) -> list[torch.Tensor]:
        asked = {name: values.clone().requires_grad_() for name, values in of.items()}
        return list(torch.autograd.grad(divergence(asked, other, counts, settings), list(asked.values())))

    assert divergence(logits, other, counts, settings).item() == pytest.approx(0, abs=1e-5)
    for gradient in gradients(logits):
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-7, rtol=0)
    for gradient in gradients({name: values + torch.randn_like(values) for name, values in logits.items()}):
        moved = (gradient != 0).any(1)
        assert torch.equal(moved, counts == 1)


def test_divergence_is_that_of_torch(batch: Batch) -> None:
    one = random_logits(batch.targets)
    other = {name: values + torch.randn_like(values) for name, values in one.items()}
    everywhere = torch.ones_like(batch.targets.weight_bhw)
    only = dict.fromkeys(("field", "centre", "boundary", "distance"), 0.0)
    classes = torch.distributions.kl_divergence(
        *(torch.distributions.Categorical(logits=each["semantic"].movedim(1, -1)) for each in (other, one))
    )
    of_classes = divergence(one, probabilities_of(other), everywhere, LossSettings(**only | {"field": 1.0}))
    assert of_classes.item() == pytest.approx(classes.mean().item(), rel=1e-4)
    for name in ("centre", "boundary", "distance"):
        binary = torch.distributions.kl_divergence(
            *(torch.distributions.Bernoulli(logits=each[name]) for each in (other, one))
        )
        of_head = divergence(one, probabilities_of(other), everywhere, LossSettings(**only | {name: 2.0}))
        assert of_head.item() == pytest.approx(2 * binary.mean().item(), rel=1e-4)
