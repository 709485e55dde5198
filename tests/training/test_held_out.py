"""What is counted against a map where only some fields are drawn."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from tiny_training import tiny_config, write_patchwork

from geopanoptic.errors import SceneError, UsageError
from geopanoptic.evaluation.metrics.panoptic_quality import PanopticQuality
from geopanoptic.evaluation.sparse import compare
from geopanoptic.models.bundle import Bundle
from geopanoptic.training.datasets.labelled_scene import LabelledScene
from geopanoptic.training.datasets.settings import VectorData
from geopanoptic.training.held_out import HeldOutFigures, check_validation, false_parcels, score_held_out


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
    assert not before.is_beaten_by(figures(0.6, 0.5, 0.7, 0.5, 0.5))  # one and a half standard errors
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


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("source")
    scene, fields = write_patchwork(folder, size_px=96)
    fields.to_file(folder / "fields.gpkg")
    return {"kind": "vectors", "scene": str(scene), "labels": str(folder / "fields.gpkg")}


def test_fields_that_are_learned_as_well_are_no_validation(source: dict[str, Any]) -> None:
    held_out = source | {"fold": 0, "part": "held-out"}
    check_validation(tiny_config([source | {"fold": 0}], validation=[held_out]))
    for data, validation in (
        (source, held_out),
        (source | {"fold": 1}, held_out),
        (source | {"fold": 0, "block_m": 200}, held_out),
        (source | {"fold": 0}, source | {"fold": 0}),
        (source | {"fold": 0}, source),
    ):
        with pytest.raises(
            UsageError, match=r"fields of validation.0 \(fields.gpkg\) are learned from data.0"
        ):
            check_validation(tiny_config([data], validation=[validation]))


def test_generated_scenes_that_are_learned_are_no_validation() -> None:
    check_validation(tiny_config([{"kind": "generated"}], validation=[{"kind": "generated", "seed": 1}]))
    with pytest.raises(UsageError, match="generated scenes of seed 0"):
        check_validation(tiny_config([{"kind": "generated"}], validation=[{"kind": "generated"}]))


def test_a_season_that_the_network_could_not_map_is_refused_before_training(
    source: dict[str, Any], tmp_path: Path
) -> None:
    dates = [str(tmp_path / f"S2_{day}.tif") for day in ("20210401", "20210701")]
    for path in dates:
        shutil.copy(source["scene"], path)
    season = source | {"scene": dates, "fold": 0}
    with pytest.raises(SceneError, match=r"validation.0: .* has 2 dates") as refusal:
        check_validation(tiny_config([season], validation=[season | {"part": "held-out"}]))
    assert "network.temporal" in refusal.value.remedy


@pytest.mark.parametrize("known", ["sparse", "full"])
def test_ground_without_data_is_not_held_against_a_map(
    source: dict[str, Any], tiny_bundle: Bundle, tmp_path: Path, known: str
) -> None:
    with rasterio.open(source["scene"]) as stored:
        image, profile, names = stored.read(), stored.profile, stored.descriptions
    image[:, :, :40] = 0
    with rasterio.open(tmp_path / "part.tif", "w", **profile | {"nodata": 0}) as target:
        target.write(image)
        target.descriptions = names
    figures = []
    for left in (600_300, 600_400):
        outline = shapely.box(left, 5_699_400, 600_600, 5_699_700)
        labels = tmp_path / f"{left}.gpkg"
        geopandas.GeoDataFrame(geometry=[outline], crs="EPSG:32632").to_file(labels)
        settings = VectorData(kind="vectors", scene=str(tmp_path / "part.tif"), labels=labels, known=known)
        part = LabelledScene.open(settings, bands=tiny_bundle.bands, classes=tiny_bundle.classes)
        figures.append(score_held_out(tiny_bundle, [part], threads=1))
    whole, shown = figures
    assert whole.best_iou == pytest.approx(shown.best_iou)
    assert whole.quality == shown.quality
