"""``grouping.json`` beside a bundle: what comes back, what is refused, and what it changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geopanoptic.errors import ModelError
from geopanoptic.models.bundle import Bundle, Grouping, load_bundle, save_with_grouping
from geopanoptic.models.weights import sha256_of
from geopanoptic.panoptic.parcels.choice import LearnedRules, RepairRules
from geopanoptic.panoptic.parcels.scoring import FEATURES
from geopanoptic.pipeline.grouping.rules import rules_of_bundle


def stump(**changes: Any) -> Grouping:
    """Expected IoU 0.2 or 0.7, by the field probability alone."""
    trees = {
        "base": 0.1,
        "root": (0,),
        "feature": (FEATURES.index("field"), -1, -1),
        "threshold": (0.5, 0.0, 0.0),
        "left": (1, -1, -1),
        "right": (2, -1, -1),
        "value": (0.0, 0.1, 0.6),
    }
    values = {
        "centre": 0.1,
        "centre_radius_px": 2,
        "field": 0.4,
        "features": FEATURES,
        "trees": trees,
        "price": 0.3,
        "score_slope": 8.0,
        "score_offset": -3.0,
    }
    return Grouping.model_validate(values | changes)


@pytest.fixture
def learned(tiny_bundle: Bundle, tmp_path: Path) -> Bundle:
    return save_with_grouping(tiny_bundle, stump(), tmp_path / "learned")


def test_a_grouping_comes_back_as_it_was_saved(learned: Bundle, tiny_bundle: Bundle) -> None:
    assert learned.grouping == stump()
    assert learned.manifest.model_copy(update={"grouping": None}) == tiny_bundle.manifest
    assert learned.card == tiny_bundle.card
    again = save_with_grouping(learned, stump(price=0.4), learned.path)
    assert again.grouping is not None
    assert again.grouping.price == 0.4
    assert load_bundle(tiny_bundle.path).grouping is None


def test_the_rules_follow_the_grouping_where_there_is_one(learned: Bundle, tiny_bundle: Bundle) -> None:
    by_thresholds = rules_of_bundle(tiny_bundle, min_area_px=7)
    assert by_thresholds.centre == tiny_bundle.thresholds.centre
    assert by_thresholds.repair == RepairRules(
        merge_boundary=tiny_bundle.thresholds.merge_boundary,
        drop_field=tiny_bundle.thresholds.drop_field,
        min_area_px=7,
    )
    rules = rules_of_bundle(learned, min_area_px=7)
    assert (rules.centre, rules.centre_radius_px, rules.field) == (0.1, 2, 0.4)
    assert isinstance(rules.repair, LearnedRules)
    assert rules.repair.min_area_px == 7
    features = np.zeros((2, len(FEATURES)))
    features[1, FEATURES.index("field")] = 0.6
    assert rules.repair.trees(features).tolist() == pytest.approx([0.2, 0.7])


def test_a_changed_or_missing_file_is_refused(learned: Bundle) -> None:
    path = learned.path / "grouping.json"
    path.write_text(path.read_text().replace('"price":0.3', '"price":0.2'))
    with pytest.raises(ModelError, match="sha256"):
        load_bundle(learned.path)
    path.unlink()
    with pytest.raises(ModelError, match=r"no grouping\.json"):
        load_bundle(learned.path)


@pytest.mark.parametrize(
    "change",
    [
        {"price": 2},
        {"code": "print()"},
        {"centre_radius_px": 0},
        {"format_version": 2},
        {"score_slope": -1},
        {"trees": stump().trees.model_dump() | {"left": [2**70, -1, -1]}},
    ],
)
def test_values_out_of_range_are_refused_by_key(learned: Bundle, change: dict[str, Any]) -> None:
    path = learned.path / "grouping.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    manifest = json.loads((learned.path / "bundle.json").read_text())
    manifest["grouping"]["sha256"] = sha256_of(path)
    (learned.path / "bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match=next(iter(change))):
        load_bundle(learned.path)


def test_other_features_or_endless_trees_are_refused(tiny_bundle: Bundle, tmp_path: Path) -> None:
    other = save_with_grouping(tiny_bundle, stump(features=("area",)), tmp_path / "other")
    with pytest.raises(ModelError, match="features"):
        rules_of_bundle(other, min_area_px=1)
    trees = stump().trees.model_copy(update={"left": (0, -1, -1)})
    endless = save_with_grouping(tiny_bundle, stump(trees=trees.model_dump()), tmp_path / "endless")
    with pytest.raises(ModelError, match="damaged"):
        rules_of_bundle(endless, min_area_px=1)
