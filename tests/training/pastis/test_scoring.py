"""Scores of a fold: both protocols against the meter as its authors describe it, pixel by pixel."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from geopanoptic.training.pastis.folder import VOID, PastisLabels
from geopanoptic.training.pastis.mapping import ParcelMap
from geopanoptic.training.pastis.scoring import score_fold
from geopanoptic.training.pastis.table import FoldTable, fold_from_dict
from geopanoptic.training.pastis.targets import numbered


def labels_of(parcels: NDArray[np.int64], class_of: dict[int, int]) -> PastisLabels:
    target = np.vectorize(lambda parcel: class_of.get(int(parcel), 0))(parcels).astype(np.uint8)
    return PastisLabels(instances_hw=numbered(parcels, target), target_hw=target)


def map_of(instances: NDArray[np.int64], class_of: list[int]) -> ParcelMap:
    return ParcelMap(instances_hw=instances.astype(np.int32), class_of=np.array(class_of))


def plain_meter(predicted: ParcelMap, labels: PastisLabels) -> dict[int, tuple[int, int, int, float]]:
    """The published meter in its own words, without its two faults: TP, FP, FN and summed IoU by class."""
    ours, theirs = predicted.instances_hw.copy(), labels.instances_hw.copy()
    void = labels.target_hw == VOID
    for parcel in np.unique(theirs[void]):
        truth = theirs == parcel
        for number in np.unique(ours[ours > 0]):
            mask = ours == number
            if (mask & truth).sum() / (mask | truth).sum() > 0.5:
                ours[mask] = 0
    ours[void], theirs[void] = 0, 0
    result = {}
    for category in range(1, 19):
        found = [n for n in np.unique(ours[ours > 0]) if predicted.class_of[n] == category]
        true = np.unique(theirs[(labels.target_hw == category) & (theirs > 0)])
        ious = [
            ((ours == n) & (theirs == t)).sum() / ((ours == n) | (theirs == t)).sum()
            for n in found
            for t in true
        ]
        hits = [iou for iou in ious if iou > 0.5]
        if len(found) or len(true):
            result[category] = (len(hits), len(found) - len(hits), len(true) - len(hits), sum(hits))
    return result


@given(
    arrays(np.int64, (6, 7), elements=st.integers(0, 5)),
    arrays(np.int64, (6, 7), elements=st.integers(0, 5)),
    st.lists(st.sampled_from([0, 1, 2, VOID]), min_size=5, max_size=5),
    st.lists(st.sampled_from([1, 2]), min_size=5, max_size=5),
    st.booleans(),
)
def test_the_pastis_protocol_is_the_meter_of_its_authors(
    parcels: NDArray[np.int64],
    instances: NDArray[np.int64],
    classes: list[int],
    predicted: list[int],
    alike: bool,
) -> None:
    labels = labels_of(parcels, dict(enumerate(classes, 1)))
    if alike:  # random rasters hardly ever match: begin from the truth and spoil a part
        instances = np.where(instances > 3, instances, parcels)
    mapped = map_of(instances, [0, *predicted])
    score = score_fold(1, [(mapped, labels)]).scores["pastis"]
    counts = {
        category: (q.true_positives, q.false_positives, q.false_negatives, q.iou_sum)
        for category, q in score.by_class.items()
    }
    expected = plain_meter(mapped, labels)
    assert counts.keys() == expected.keys()
    for category, row in expected.items():
        assert counts[category] == pytest.approx(row)


def test_a_prediction_dropped_for_a_void_object_finds_nothing_else() -> None:
    parcels = np.kron(np.array([[7, 7, 7, 7, 8]]), np.ones((5, 4), np.int64))
    labels = labels_of(parcels, {7: VOID, 8: 3})
    over_both = map_of(np.ones_like(parcels), [0, 3])
    scores = score_fold(1, [(over_both, labels)]).scores
    # Its IoU with the void object is 0.8; what is left of it is the whole of parcel 8.
    assert scores["pastis"].by_class[3].true_positives == 0
    assert scores["pastis"].by_class[3].false_negatives == 1
    assert scores["pastis"].by_class[3].false_positives == 0
    assert scores["coco"].by_class[3].true_positives == 1


def test_classes_count_apart_and_parcels_together() -> None:
    parcels = np.kron(np.array([[1, 2], [3, 0]]), np.ones((4, 4), np.int64))
    labels = labels_of(parcels, {1: 3, 2: 3, 3: 5})
    mapped = map_of(parcels, [0, 3, 4, 5])
    scored = score_fold(2, [(mapped, labels), (mapped, labels)])
    assert scored.patches == 2
    for score in scored.scores.values():
        assert score.parcels.pq == 1
        assert score.by_class[3].pq == pytest.approx(2 / 3)
        assert score.by_class[4].pq == 0
        assert score.mean.pq == pytest.approx((2 / 3 + 0 + 1) / 3)
        assert score.mean.classes == 3


def test_the_table_states_folds_means_and_the_published_figures() -> None:
    parcels = np.kron(np.array([[1, 2], [3, 0]]), np.ones((4, 4), np.int64))
    labels = labels_of(parcels, {1: 3, 2: 3, 3: 5})
    right, half = map_of(parcels, [0, 3, 3, 5]), map_of(parcels, [0, 3, 3, 3])
    folds = [score_fold(1, [(right, labels)]), score_fold(2, [(half, labels)])]
    table = FoldTable(name="small", folds=folds)
    text = str(table)
    assert "| small | 1 | 1 | pastis | 100.0 | 100.0 | 100.0 | 100.0 |" in text
    assert "| small | 2 | 1 | pastis | 50.0 | 40.0 | 40.0 | 100.0 |" in text
    assert "| **small** | mean of 2 | 2 | pastis | 75.0 | 70.0 | 70.0 | 100.0 |" in text
    assert "| U-TAE + PaPs, published | mean of 5 | 2433 | pastis | 81.5 | 53.2 | 43.8 | - |" in text
    figures = json.loads(json.dumps(table.to_dict()))
    again = FoldTable(name="small", folds=[fold_from_dict(each) for each in figures["folds"]])
    assert (str(again), again.to_dict()) == (text, figures)
    assert figures["folds"][1]["protocols"]["pastis"]["classes"]["Corn"]["fp"] == 1
