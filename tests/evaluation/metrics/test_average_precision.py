"""Average precision and mask IoU against pycocotools."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

from geopanoptic.evaluation.maps.segments import Segments
from geopanoptic.evaluation.metrics.average_precision import average_precision
from geopanoptic.evaluation.metrics.contingency import contingency
from geopanoptic.evaluation.metrics.matching import overlap_of


def random_pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    coarse = rng.integers(0, 13, (6, 6))
    true = coarse.repeat(5, 0).repeat(5, 1)
    predicted = np.where(
        rng.random(true.shape) < rng.uniform(0.6, 1), np.roll(true, rng.integers(0, 3), 1), 0
    )
    return predicted, true


def coco_of(labels: np.ndarray, categories: np.ndarray, score: np.ndarray | None):
    mask = pytest.importorskip("pycocotools.mask")
    found = []
    for label in np.unique(labels[labels > 0]).tolist():
        rle = mask.encode(np.asfortranarray((labels == label).astype(np.uint8)))
        entry = {
            "id": label, "image_id": 1, "category_id": int(categories[label]), "segmentation": rle,
            "area": float(mask.area(rle)), "bbox": mask.toBbox(rle).tolist(), "iscrowd": 0,
        }  # fmt: skip
        found.append(entry | ({} if score is None else {"score": float(score[label])}))
    return found


def coco_ap(predicted, true, of_predicted, of_true, score):
    """AP over all thresholds, at .5 and at .75, by category."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": 1, "height": true.shape[0], "width": true.shape[1]}],
            "categories": [{"id": number} for number in (1, 2)],
            "annotations": coco_of(true, of_true, None),
        }
        truth.createIndex()
        found = coco_of(predicted, of_predicted, score)
        if not found:
            return {}
        run = COCOeval(truth, truth.loadRes(found), "segm")
        run.params.maxDets = [1, 10, 1000]
        run.params.areaRng, run.params.areaRngLbl = [[0, 1e10]], ["all"]
        run.evaluate()
        run.accumulate()
    precision = run.eval["precision"][:, :, :, 0, -1]  # threshold, recall, category
    return {
        category: [precision[chosen, :, number].mean() for chosen in (slice(None), 0, 5)]
        for number, category in enumerate((1, 2))
        if precision[0, 0, number] > -1
    }


def test_equals_pycocotools():
    pytest.importorskip("pycocotools")
    rng = np.random.default_rng(4)
    compared = 0
    for _ in range(60):
        predicted, true = random_pair(rng)
        of_predicted, of_true = rng.integers(1, 3, 13), rng.integers(1, 3, 13)
        if rng.random() < 0.7:
            of_predicted = of_true
        # Some scores are equal: they are taken in label order.
        score = rng.integers(1, 9, 13) / 8
        table = contingency(predicted, true, n_predicted=12, n_true=12)
        ours, theirs = Segments.of(of_predicted[1:], score=score[1:]), Segments.of(of_true[1:])
        found = average_precision(table, ours, theirs, outside="count")
        expected = coco_ap(predicted, true, of_predicted, of_true, score)
        if not expected:
            continue
        assert set(found) == set(expected)
        for category, (ap, ap50, ap75) in expected.items():
            f = found[category]
            np.testing.assert_allclose([f.ap, f.ap50, f.ap75], [ap, ap50, ap75], atol=1e-9)
            compared += 1
    assert compared > 60


def test_iou_equals_pycocotools():
    mask = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(5)
    predicted, true = random_pair(rng)
    one = Segments.of(np.ones(12, int))
    overlap = overlap_of(contingency(predicted, true, n_predicted=12, n_true=12), one, one, outside="count")

    def encoded(labels, label):
        return mask.encode(np.asfortranarray((labels == label).astype(np.uint8)))

    for p, t, iou in zip(overlap.predicted, overlap.true, overlap.iou, strict=True):
        expected = mask.iou([encoded(predicted, p)], [encoded(true, t)], [0])[0, 0]
        assert iou == pytest.approx(expected, abs=1e-12)


def test_without_scores_there_is_no_average_precision():
    labels = np.array([[1, 1]])
    table = contingency(labels, labels, n_predicted=1, n_true=1)
    one = Segments.of(np.array([1]))
    assert average_precision(table, one, one, outside="count") == {}


def test_nothing_predicted_has_average_precision_zero():
    table = contingency(np.zeros((1, 2), int), np.array([[1, 1]]), n_predicted=0, n_true=1)
    none, one = Segments.of(np.zeros(0, int)), Segments.of(np.array([1]))
    assert average_precision(table, none, one, outside="count")[1].ap == 0.0
