"""Panoptic quality against torchmetrics and a worked example."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geopanoptic.evaluation.matching import overlaps
from geopanoptic.evaluation.panoptic_quality import add_image


def random_map(rng: np.random.Generator, shape: tuple[int, int], n: int) -> np.ndarray:
    coarse = rng.integers(0, n + 1, (shape[0] // 4 + 1, shape[1] // 4 + 1))
    return np.kron(coarse, np.ones((4, 4), np.int64))[: shape[0], : shape[1]]


def test_worked_example():
    true = np.array([[1, 1, 1, 1, 2, 2, 0, 0]])
    predicted = np.array([[1, 1, 1, 0, 0, 3, 3, 3]])
    total = {}
    add_image(total, predicted, {1: 5, 3: 5}, true, {1: 5, 2: 5})
    counts = total[5]
    assert (counts.true_positives, counts.false_positives, counts.false_negatives) == (1, 1, 1)
    assert counts.iou_sum == pytest.approx(3 / 4)
    assert counts.pq == pytest.approx(0.75 / 2)


def test_predictions_on_void_are_neither_right_nor_wrong():
    true = np.array([[1, 1, 0, 0, 0, 0]])
    predicted = np.array([[1, 1, 1, 2, 2, 2]])
    void = np.array([[False, False, True, True, True, True]])
    total = {}
    add_image(total, predicted, {1: 1, 2: 1}, true, {1: 1}, void=void)
    assert (total[1].pq, total[1].false_positives) == (1.0, 0)


def test_different_classes_do_not_match():
    total = {}
    add_image(total, np.array([[1, 1]]), {1: 1}, np.array([[1, 1]]), {1: 2})
    assert (total[1].false_positives, total[2].false_negatives) == (1, 1)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_equals_torchmetrics(seed):
    from geopanoptic.models.torchvision_ops import ensure_torchvision_imports

    ensure_torchvision_imports()
    torchmetrics = pytest.importorskip("torchmetrics.detection")
    import torch

    rng = np.random.default_rng(seed)
    true, predicted = random_map(rng, (40, 37), 9), random_map(rng, (40, 37), 9)
    predicted = np.where(rng.random(true.shape) < 0.7, true, predicted)
    classes = {number: 1 + number % 3 for number in range(10)}
    total = {}
    add_image(total, predicted, classes, true, classes)

    metric = torchmetrics.PanopticQuality(
        things={1, 2, 3}, stuffs={0}, return_per_class=True, return_sq_and_rq=True
    )

    def encode(labels):
        kind = np.vectorize(lambda each: classes[each] if each else 0)(labels)
        return torch.from_numpy(np.stack([kind, labels], -1))[None]

    expected = metric(encode(predicted), encode(true)).numpy().reshape(-1, 3)
    for row, name in enumerate([*sorted(metric.things), *sorted(metric.stuffs)]):
        if name and name in total:
            ours = [total[name].pq, 0.0 if np.isnan(total[name].sq) else total[name].sq, total[name].rq]
            np.testing.assert_allclose(ours, expected[row], atol=1e-6)


def test_overlaps_refuses_what_cannot_be_compared():
    with pytest.raises(ValueError, match="shape"):
        overlaps(np.zeros((2, 2), int), np.zeros((2, 3), int))
    with pytest.raises(ValueError, match="negative"):
        overlaps(np.full((2, 2), -1), np.zeros((2, 2), int))
