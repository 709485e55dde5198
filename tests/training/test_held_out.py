"""What is counted against a map where only some fields are drawn."""

from __future__ import annotations

import geopandas
import numpy as np
import pytest
import shapely

from geopanoptic.evaluation.panoptic_quality import PanopticQuality
from geopanoptic.evaluation.sparse import compare
from geopanoptic.training.held_out import HeldOutFigures, false_parcels


def test_only_parcels_that_cannot_match_an_undrawn_field_are_false() -> None:
    def boxes(*bounds: tuple[float, float, float, float]) -> geopandas.GeoDataFrame:
        return geopandas.GeoDataFrame(geometry=[shapely.box(*each) for each in bounds], crs="EPSG:32632")

    drawn = boxes((0, 0, 10, 10), (20, 0, 30, 10))
    parcels = boxes(
        (0, 0, 10, 9),  # matches the first field
        (20, 0, 23, 10),  # a piece of the second
        (26, 0, 32, 10),  # for the most part on it
        (10, 0, 20, 10),  # beside both
        (29, 0, 40, 10),  # for the most part where nobody drew
    )
    assert false_parcels(parcels, drawn, compare(parcels, drawn)) == 2


def figures(*best_iou: float, false_positives: int = 0) -> HeldOutFigures:
    met = [each for each in best_iou if each > 0.5]
    quality = PanopticQuality(len(met), false_positives, len(best_iou) - len(met), sum(met))
    return HeldOutFigures(best_iou=np.array(best_iou), quality=quality)


def test_a_gain_that_may_be_chance_is_none() -> None:
    before = figures(0.5, 0.5, 0.5, 0.5, 0.5)
    assert before.is_beaten_by(figures(0.6, 0.5, 0.7, 0.6, 0.5))
    assert not before.is_beaten_by(figures(0.9, 0.1, 0.9, 0.3, 0.5))
    assert not before.is_beaten_by(before)
    assert not figures(0.5).is_beaten_by(figures(0.9))


def test_fields_met_better_do_not_outweigh_false_parcels() -> None:
    before = figures(0.6, 0.6, 0.6)
    assert before.is_beaten_by(figures(0.7, 0.7, 0.8))
    assert not before.is_beaten_by(figures(0.7, 0.7, 0.8, false_positives=2))


def test_figures_of_folds_are_those_of_all_their_fields() -> None:
    parts = figures(0.6, 0.4, false_positives=1), figures(0.8)
    together = HeldOutFigures.joined(parts)
    assert together.pq == pytest.approx((0.6 + 0.8) / (2 + 1 / 2 + 1 / 2))
    np.testing.assert_array_equal(together.best_iou, [0.6, 0.4, 0.8])
    assert "gain +0.200, standard error inf" in figures(0.6).gain(figures(0.8))
