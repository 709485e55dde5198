"""Panoptic quality against torchmetrics, COCO's own loop written out, and worked examples."""

from __future__ import annotations

import numpy as np
import pytest

from geopanoptic.evaluation.maps.segments import Segments
from geopanoptic.evaluation.metrics import contingency as module
from geopanoptic.evaluation.metrics.contingency import UNKNOWN, Tally, contingency
from geopanoptic.evaluation.metrics.matching import match
from geopanoptic.evaluation.metrics.panoptic_quality import (
    PanopticQuality,
    add_image,
    mean_quality,
    quality_by_category,
)

CASES = 1000
VOID = 9
"""A category that torchmetrics is not told of."""


def random_pair(rng: np.random.Generator, n: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """Two blocky label maps that share much; ids 0..n."""
    height, width = rng.integers(4, 20, 2)
    coarse = rng.integers(0, n + 1, (height // 3 + 1, width // 3 + 1))
    true = coarse.repeat(3, 0).repeat(3, 1)[:height, :width]
    moved = np.roll(true, tuple(rng.integers(-1, 2, 2)), (0, 1))
    noise = rng.integers(0, n + 1, true.shape)
    predicted = np.where(rng.random(true.shape) < rng.uniform(0.5, 1), moved, noise)
    return rng.permutation(n + 1)[predicted] if rng.random() < 0.2 else predicted, true


def coco_loop(predicted, of_predicted, true, of_true, crowd):
    """The loop of the COCO panoptic evaluation over dictionaries; true -1 is VOID.

    All crowds of a class excuse, where the original forgets all but the last.
    """
    counts: dict[int, list[float]] = {}
    pairs: dict[tuple[int, int], int] = {}
    for t, p in zip(true.ravel().tolist(), predicted.ravel().tolist(), strict=True):
        pairs[t, p] = pairs.get((t, p), 0) + 1
    area_p = {p: int((predicted == p).sum()) for p in np.unique(predicted).tolist() if p}
    area_t = {t: int((true == t).sum()) for t in np.unique(true).tolist() if t > 0}
    matched_p, matched_t = set(), set()
    for (t, p), shared in pairs.items():
        if t <= 0 or p == 0 or crowd[t] or of_true[t] != of_predicted[p]:
            continue
        union = area_p[p] + area_t[t] - shared - pairs.get((UNKNOWN, p), 0)
        if shared / union > 0.5:
            counts.setdefault(of_true[t], [0, 0, 0, 0.0])[0] += 1
            counts[of_true[t]][3] += shared / union
            matched_p.add(p)
            matched_t.add(t)
    for t in area_t:
        if t not in matched_t and not crowd[t]:
            counts.setdefault(of_true[t], [0, 0, 0, 0.0])[2] += 1
    for p, area in area_p.items():
        if p in matched_p:
            continue
        excused = pairs.get((UNKNOWN, p), 0)
        excused += sum(pairs.get((t, p), 0) for t in area_t if crowd[t] and of_true[t] == of_predicted[p])
        if excused / area <= 0.5:
            counts.setdefault(of_predicted[p], [0, 0, 0, 0.0])[1] += 1
    return counts


def test_equals_the_coco_loop_with_void_and_crowds():
    rng = np.random.default_rng(1)
    for _ in range(CASES):
        predicted, true = random_pair(rng)
        true = np.where(rng.random(true.shape) < 0.1, UNKNOWN, true)
        of_predicted, of_true = rng.integers(1, 4, 10), rng.integers(1, 4, 10)
        crowd = rng.random(10) < 0.15
        expected = coco_loop(predicted, of_predicted, true, of_true, crowd)
        table = contingency(predicted, true, n_predicted=9, n_true=9)
        ours, theirs = Segments.of(of_predicted[1:]), Segments.of(of_true[1:], crowd=crowd[1:])
        found = quality_by_category(match(table, ours, theirs), ours, theirs)
        assert set(found) == set(expected)
        for category, (tp, fp, fn, iou) in expected.items():
            q = found[category]
            assert (q.true_positives, q.false_positives, q.false_negatives) == (tp, fp, fn)
            assert abs(q.iou_sum - iou) < 1e-9
            assert abs(q.pq - iou / (tp + fp / 2 + fn / 2)) < 1e-9


@pytest.fixture
def double_precision():
    import torch

    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("void_share", [0.0, 0.1])
def test_equals_torchmetrics(void_share):
    from geopanoptic.models.networks.torchvision_ops import ensure_torchvision_imports

    ensure_torchvision_imports()
    detection = pytest.importorskip("torchmetrics.detection")
    import torch

    rng = np.random.default_rng(2)
    # Two classes of things and two of stuff, each of which is one segment; the last index, -1, is void.
    classes = np.array([0, 1, 2, 1, 3, 4, VOID])
    metric = detection.PanopticQuality(
        things={1, 2}, stuffs={0, 3, 4}, return_per_class=True, return_sq_and_rq=True
    ).set_dtype(torch.float64)
    order = [*sorted(metric.things), *sorted(metric.stuffs)]

    def encoded(labels):
        return torch.from_numpy(np.stack([classes[labels], labels], -1))[None]

    for _ in range(CASES):
        predicted, true = random_pair(rng, n=5)
        true = np.where(rng.random(true.shape) < void_share, UNKNOWN, true)
        table = contingency(predicted, true, n_predicted=5, n_true=5)
        segments_of = Segments.of(classes[1:-1])
        total = quality_by_category(match(table, segments_of, segments_of), segments_of, segments_of)
        metric.reset()
        metric.update(encoded(predicted), encoded(true))
        names = ("iou_sum", "true_positives", "false_positives", "false_negatives")
        iou, tp, fp, fn = (getattr(metric, name).double().numpy() for name in names)
        for row, name in enumerate(order):
            segments = tp[row] + fp[row] / 2 + fn[row] / 2
            if name == 0 or not segments:
                assert name not in total
                continue
            q = total[name]
            assert abs(q.pq - iou[row] / segments) < 1e-9
            assert abs(q.rq - tp[row] / segments) < 1e-9
            assert tp[row] == 0 or abs(q.sq - iou[row] / tp[row]) < 1e-9


def counted(predicted, true, *, classes=(1,) * 9, true_classes=None, crowd=None, void=None, **rules):
    """(TP, FP, FN) by class of one row of labels."""
    predicted, true = np.atleast_2d(predicted), np.atleast_2d(true)
    n, m = int(predicted.max(initial=0)), int(max(true.max(initial=0), 0))
    ours = Segments.of(np.array(classes[:n], int))
    theirs = Segments.of(np.array((true_classes or classes)[:m], int), crowd=crowd, void=void)
    table = contingency(predicted, true, n_predicted=n, n_true=m)
    found = quality_by_category(match(table, ours, theirs, **rules), ours, theirs)
    return {
        name: (each.true_positives, each.false_positives, each.false_negatives)
        for name, each in found.items()
    }


def test_worked_example():
    total: dict[int, PanopticQuality] = {}
    true, predicted = np.array([[1, 1, 1, 1, 2, 2, 0, 0]]), np.array([[1, 1, 1, 0, 0, 3, 3, 3]])
    add_image(total, predicted, {1: 5, 3: 5}, true, {1: 5, 2: 5})
    counts = total[5]
    assert (counts.true_positives, counts.false_positives, counts.false_negatives) == (1, 1, 1)
    assert counts.iou_sum == pytest.approx(3 / 4)
    assert counts.pq == pytest.approx(0.75 / 2)
    assert counts.recall_by_size == {"0-100": [1, 2]}


def test_exactly_one_half_is_no_match():
    assert counted([1, 1, 0], [1, 1, 1]) == {1: (1, 0, 0)}
    assert counted([1, 0], [1, 1]) == {1: (0, 1, 1)}
    # Both halves of an object: neither is it.
    assert counted([1, 2], [1, 1]) == {1: (0, 2, 1)}


def test_void_is_neither_right_nor_wrong():
    # Of its four pixels two lie on void: not more than half.
    assert counted([1, 1, 1, 1], [0, 0, -1, -1]) == {1: (0, 1, 0)}
    assert counted([1, 1, 1, 1], [0, -1, -1, -1]) == {}
    # Void does not enlarge the union: 1/1 where it would be 1/3.
    assert counted([1, 1, 1], [1, -1, -1]) == {1: (1, 0, 0)}


def test_outside_counts_or_is_void():
    # The same prediction reaches out of the only object: IoU 1/3, or 1.
    assert counted([1, 1, 1], [1, 0, 0]) == {1: (0, 1, 1)}
    assert counted([1, 1, 1], [1, 0, 0], outside="ignore") == {1: (1, 0, 0)}
    assert counted([1, 1, 1], [0, 0, 0], outside="ignore") == {}


def test_a_crowd_excuses_its_own_class_only():
    crowd = np.array([True])
    assert counted([1, 1], [1, 1], crowd=crowd) == {}
    assert counted([1, 1], [1, 1], crowd=crowd, classes=(2,), true_classes=(1,)) == {2: (0, 1, 0)}


def test_the_pastis_protocol_drops_by_void_objects():
    void = np.array([False, True])
    # One pixel on void 2 and two on no object: COCO counts it, PASTIS too; three on void: both drop it.
    on_two_thirds = {"predicted": [1, 1, 1, 0, 0], "true": [0, 2, 2, 2, 2]}
    assert counted(**on_two_thirds, void=void) == {}
    # IoU with the void object is 2/5: the PASTIS meter keeps the rest of the prediction as wrong.
    assert counted(**on_two_thirds, void=void, protocol="pastis") == {1: (0, 1, 0)}
    covers = {"predicted": [1, 1, 1, 1, 1], "true": [0, 0, 2, 2, 2]}
    assert counted(**covers, void=void, protocol="pastis") == {}
    assert counted([1, 1], [-1, -1], protocol="pastis") == {}


def test_different_classes_do_not_match():
    assert counted([1, 1], [1, 1], classes=(1,), true_classes=(2,)) == {1: (0, 1, 0), 2: (0, 0, 1)}


def test_nothing_predicted_and_nothing_true():
    assert counted([0, 0], [1, 2]) == {1: (0, 0, 2)}
    assert counted([1, 2], [0, 0]) == {1: (0, 2, 0)}
    assert counted([0, 0], [0, 0]) == {}
    assert np.isnan(PanopticQuality().pq)


def test_small_objects_are_left_out():
    true, predicted = [1, 2, 2, 2, 3, 0], [1, 2, 2, 2, 0, 3]
    assert counted(predicted, true) == {1: (2, 1, 1)}
    assert counted(predicted, true, min_area_px=2) == {1: (1, 0, 0)}


def test_a_class_without_segments_is_not_averaged():
    perfect = PanopticQuality(true_positives=1, iou_sum=1.0)
    missed = PanopticQuality(false_negatives=1)
    mean = mean_quality([perfect, missed, PanopticQuality()])
    assert (mean.pq, mean.sq, mean.rq, mean.classes) == (0.5, 0.5, 0.5, 2)
    assert np.isnan(mean_quality([PanopticQuality()]).pq)


def test_an_image_has_its_own_void():
    total: dict[int, PanopticQuality] = {}
    void = np.array([[False, False, True, True, True, True]])
    true, predicted = np.array([[1, 1, 0, 0, 2, 2]]), np.array([[1, 1, 1, 2, 2, 2]])
    add_image(total, predicted, {1: 1, 2: 1}, true, {1: 1, 2: 1}, void=void)
    assert (total[1].pq, total[1].false_positives, total[1].false_negatives) == (1.0, 0, 0)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="shape"):
        add_image({}, np.zeros((2, 2), int), {}, np.zeros((2, 3), int), {})
    with pytest.raises(ValueError, match="negative"):
        add_image({}, np.zeros((2, 2), int), {}, np.full((2, 2), -1), {})
    with pytest.raises(ValueError, match="announced"):
        contingency(np.full((2, 2), 3), np.zeros((2, 2), int), n_predicted=2, n_true=0)


def test_a_table_of_many_blocks_is_summed_up_on_the_way(monkeypatch):
    monkeypatch.setattr(module, "_COMPACT_AT", 81)
    blocks = np.random.default_rng(0).integers(0, 9, (2, 20, 30, 30))
    tally = Tally(n_predicted=9, n_true=9)
    for predicted, true in zip(*blocks, strict=True):
        tally.add(predicted, true)
        assert tally._held <= 2 * 81
    whole = contingency(*(each.reshape(-1, 30) for each in blocks), n_predicted=9, n_true=9)
    np.testing.assert_array_equal(tally.result().shared_px, whole.shared_px)
