"""Figures of seasons by the number of dates."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from geopanoptic.evaluation import __main__ as command
from geopanoptic.evaluation.pools.samples import Prediction
from geopanoptic.evaluation.pools.season_samples import (
    SEASON_CLASSES,
    LabelledSeason,
    is_season,
    read_season,
    read_seasons,
)
from geopanoptic.evaluation.pools.seasons import _true_kinds, figures_by_dates, season_figures
from geopanoptic.models.bundle import Bundle
from geopanoptic.pipeline.network.reading import ArrayDate
from geopanoptic.training.samples.season_crops import SeriesSample
from geopanoptic.training.synthetic import phenology

KINDS = ("summer crop", "winter crop", "grassland", "permanent or other crop")
"""In another order than the samples' classes."""
SIDE = 24


def test_stored_numbers_mean_the_generators_classes() -> None:
    assert (*phenology.KINDS, *phenology.COVERS) == SEASON_CLASSES


def quartered(n_dates: int = 5) -> SeriesSample:
    """A winter crop, a summer crop, a parcel of unknown kind, and water; clouds hide the left half of the first
    dates, and all of the second."""
    half = SIDE // 2
    instances = np.array([[1, 2], [3, 0]], np.int32).repeat(SIDE, 0).repeat(SIDE, 1)
    valid = np.ones((n_dates, SIDE, SIDE), bool)
    valid[0, :, :half] = False
    valid[1] = False
    rng = np.random.default_rng(0)
    return SeriesSample(
        image_tchw=rng.random((n_dates, 10, SIDE, SIDE)).astype(np.float32) * valid[:, None],
        available_tc=np.ones((n_dates, 10), bool),
        valid_thw=valid,
        day_t=np.linspace(50, 250, n_dates).astype(np.float32),
        instances=instances,
        stuff=np.array([4, 0, 1, 255], np.uint8)[instances],
    )


@pytest.fixture
def season(tmp_path: Path) -> LabelledSeason:
    quartered().save(tmp_path / "a.npz")
    return read_season(tmp_path / "a.npz")


def perfect(season: LabelledSeason, kinds: tuple[int, int, int] = (1, 0, 2)) -> Prediction:
    labels = np.where(season.instances > 0, season.instances, 4)
    return Prediction(
        labels=labels,
        n_things=3,
        score=np.ones(4),
        class_index=np.array([*kinds, 0]),
        class_score=np.array([0.9, 0.7, 0.6, np.nan]),
    )


def test_dates_are_spread_over_those_that_show_anything(season: LabelledSeason) -> None:
    assert [season.some(count).name for count in (1, 2)] == [f"{season.name} of 1", f"{season.name} of 2"]
    for count in range(1, 5):
        chosen = season.some(count).dates
        assert len(chosen) == count
        assert all(date.valid_hw.any() for date in chosen)
        assert (np.diff([date.day for date in chosen]) > 0).all()
        assert chosen == season.some(count).dates
    assert len(season.some(24).dates) == 4


def test_a_perfect_map_of_the_right_kinds(season: LabelledSeason) -> None:
    found = season_figures([season], [perfect(season)], kinds=KINDS, n_dates=5)
    assert {name: each.pq for name, each in found.quality.items()} == {"known": 1.0, "whole": 1.0}
    assert found.kinds.accuracy == 1.0
    assert found.kinds.recall == {"winter crop": (1.0, 1), "summer crop": (1.0, 1)}
    assert found.kinds.calibration_error == pytest.approx(0.2)
    mixed = season_figures([season], [perfect(season, (0, 0, 2))], kinds=KINDS, n_dates=5)
    assert mixed.kinds.recall == {"winter crop": (0.0, 1), "summer crop": (1.0, 1)}
    assert "kind right 0.500" in mixed.in_words()
    other = season_figures([season], [perfect(season)], kinds=("parcel",) * 4, n_dates=5)
    assert other.kinds.accuracy == 0.0


def test_ground_that_no_date_shows_is_missed_of_the_whole(season: LabelledSeason) -> None:
    clouded = replace(season, dates=season.dates[:1])
    seen = perfect(season)
    half = np.where(clouded.void, 4, seen.labels)
    found = season_figures([clouded], [replace(seen, labels=half)], kinds=KINDS, n_dates=1)
    assert found.quality["known"].pq == 1.0
    assert found.quality["whole"].true_positives == 1
    assert found.quality["whole"].false_negatives == 2
    assert found.kinds.recall == {"summer crop": (1.0, 1)}


def test_more_dates_than_any_season_has_are_left_out(season: LabelledSeason) -> None:
    asked: list[tuple[ArrayDate, ...]] = []

    def mapper(shown: LabelledSeason) -> Prediction:
        asked.append(shown.dates)
        return perfect(shown)

    rows = list(figures_by_dates([season], mapper, kinds=KINDS))
    assert [row.n_dates for row in rows] == [1, 3]
    assert [len(dates) for dates in asked] == [1, 3]


def test_the_command_tells_seasons_from_images(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tiny_bundle: Bundle,
    tiny_series_bundle: Bundle,
) -> None:
    folder = tmp_path / "val-season"
    folder.mkdir()
    sample, n_bands = quartered(), len(tiny_bundle.bands)
    sample = replace(
        sample, image_tchw=sample.image_tchw[:, :n_bands], available_tc=sample.available_tc[:, :n_bands]
    )
    for name in "ab":
        sample.save(folder / f"{name}.npz")
    (folder / ".half.npz").touch()
    assert is_season(folder / "a.npz")
    assert [each.name for each in read_seasons(folder)] == ["val-season/a", "val-season/b"]
    figures = tmp_path / "figures.json"
    models = (str(tiny_bundle.path), str(tiny_series_bundle.path))
    asked = ("--pool", str(tmp_path), "--model", *models, "--json", str(figures))
    monkeypatch.setattr("sys.argv", ["evaluation", *asked])
    assert command.main() == 0
    assert "class calibration error" in capsys.readouterr().out
    rows = json.loads(figures.read_text())["seasons"]
    assert list(rows["tiny"]["val-season"]) == ["1"]
    assert list(rows["tiny-series"]["val-season"]) == ["1", "3"]
    assert set(rows["tiny"]["val-season"]["1"]) == {"known", "whole", "kinds"}


def test_a_parcel_is_of_the_kind_that_its_labelled_pixels_have() -> None:
    classes = np.array([[255, 255, 2, 255]], np.uint8)
    season = SimpleNamespace(instances=np.array([[1, 1, 1, 2]]), classes=classes)
    assert _true_kinds(season, 2).tolist() == [255, 2, 255]
