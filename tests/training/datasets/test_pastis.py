"""Seasons of PASTIS as training patches."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from small_pastis import CORN, DATES, season_of, write_small

from geopanoptic.errors import UsageError
from geopanoptic.models.manifest import ClassSpec
from geopanoptic.training.config import FIELDS_CLASSES
from geopanoptic.training.datasets.pastis import Pastis, normalisation_of
from geopanoptic.training.datasets.settings import PastisData, PoolData
from geopanoptic.training.pastis.classes import PASTIS_CLASSES
from geopanoptic.training.pastis.folder import RADAR_BANDS, VOID
from geopanoptic.training.pastis.folds import FOLDS
from geopanoptic.training.pastis.season import ranges_of_folds
from geopanoptic.training.patches.series_patch import SeriesPatch
from geopanoptic.training.synthetic import BANDS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small(tmp_path_factory.mktemp("pastis"), radar=True).path


def draw(
    folder: Path,
    *,
    bands: tuple[str, ...] = BANDS,
    classes: tuple[ClassSpec, ...] = PASTIS_CLASSES,
    **settings: object,
) -> SeriesPatch:
    data = PastisData(kind="pastis", folder=folder, **settings)  # type: ignore[arg-type]
    source = Pastis.open(data, bands=bands, classes=classes)
    return source.draw(128, np.random.default_rng(0), sample=0)


def test_folds_are_the_official_ones() -> None:
    shown = ["/".join("".join(map(str, part)) for part in folds.values()) for folds in FOLDS.values()]
    assert shown == ["123/4/5", "234/5/1", "345/1/2", "451/2/3", "512/3/4"]


def test_a_season_has_every_date_ascending_and_none_collapsed(folder: Path) -> None:
    patch = draw(folder, part="test")
    assert patch.image_tchw.shape == (len(DATES) + 1, 10, 128, 128)
    assert patch.seen_tchw.all()
    days = [when.timetuple().tm_yday for when in DATES]
    np.testing.assert_array_equal(patch.day_t, sorted([*days, days[2]]))
    stored = season_of(4).images["S2"].values_tchw
    low, high = ranges_of_folds(
        Pastis.open(PastisData(kind="pastis", folder=folder), bands=BANDS, classes=()).reader.folder,
        (1, 2, 3),
        ["S2"],
    )["red"]
    # The file runs backwards and its last image is of the third date again.
    for place, number in enumerate([5, 4, 3, 6, 2, 1, 0]):
        expected = np.clip((stored[number, 2] - low) / (high - low), -1, 2)
        np.testing.assert_allclose(patch.image_tchw[place, 2], expected, atol=1e-5)


def test_labels_are_parcels_of_their_crop_void_is_unlabelled(folder: Path) -> None:
    patch, season = draw(folder, part="test"), season_of(4)
    instances, classes = patch.instances_hw[::2, ::2], patch.classes_hw[::2, ::2]
    assert (instances[season.target_hw == VOID] == -1).all()
    assert (classes[season.target_hw == VOID] == 255).all()
    assert (instances[season.target_hw == 0] == 0).all()
    assert (classes[season.target_hw == 0] == 18).all()
    assert (classes[season.target_hw == CORN] == CORN - 1).all()
    parcels = (season.target_hw > 0) & (season.target_hw != VOID)
    pairs = np.unique(np.stack([instances[parcels], season.parcels_hw[parcels]]), axis=1)
    assert len(pairs[0]) == len(np.unique(pairs[0])) == len(np.unique(season.parcels_hw[parcels]))
    np.testing.assert_array_equal(patch.instances_hw[1::2, 1::2], instances)


def test_without_a_class_of_its_name_a_crop_is_the_only_thing(folder: Path) -> None:
    patch, season = draw(folder, part="test", classes=FIELDS_CLASSES), season_of(4)
    assert (patch.classes_hw[::2, ::2][season.target_hw == CORN] == 0).all()
    assert (patch.classes_hw[::2, ::2][season.target_hw == 0] == 255).all()


def test_radar_dates_show_only_their_bands(folder: Path) -> None:
    bands = (*BANDS, *RADAR_BANDS)
    patch = draw(folder, part="test", bands=bands, radar=("S1A", "S1D"))
    assert patch.n_dates == 2 * len(DATES) + 1
    optical, radar = patch.seen_tchw[:, :10].all((1, 2, 3)), patch.seen_tchw[:, 10:].all((1, 2, 3))
    assert (optical != radar).all()
    assert radar.sum() == len(DATES)
    assert not patch.seen_tchw[optical][:, 10:].any()
    assert (np.diff(patch.day_t) >= 0).all()
    shown = patch.image_tchw[radar][:, 10:]
    assert shown.mean() == pytest.approx(0.4, abs=0.05)
    assert shown.std() == pytest.approx(0.25, abs=0.05)
    assert not draw(folder, part="test", bands=bands).seen_tchw[:, 10:].any()
    # A network without these bands has no use for the dates.
    assert draw(folder, part="test", radar=("S1A", "S1D")).n_dates == len(DATES) + 1


def test_pixels_without_data_are_not_seen(tmp_path: Path) -> None:
    small = write_small(tmp_path)
    path = small.image_path(small.patches[4], "S2")
    stored = np.load(path)
    stored[6, 3, :7] = -10_000
    np.save(path, stored)
    seen = draw(tmp_path, part="test").seen_tchw
    assert not seen[3, :, :7].any()
    assert seen[3, :, 7:].all()
    assert seen[[0, 1, 2, 4, 5, 6]].all()


def test_only_training_folds_decide_the_normalisation(tmp_path: Path) -> None:
    small = write_small(tmp_path)
    before = draw(tmp_path, part="test").image_tchw
    norm = json.loads(small.norm_path("S2").read_text())
    for fold in ("Fold_4", "Fold_5"):
        norm[fold]["mean"] = [5000.0] * 10
    small.norm_path("S2").write_text(json.dumps(norm))
    np.testing.assert_array_equal(draw(tmp_path, part="test").image_tchw, before)
    norm["Fold_1"]["mean"] = [5000.0] * 10
    small.norm_path("S2").write_text(json.dumps(norm))
    assert (draw(tmp_path, part="test").image_tchw < before).any()


def test_the_bundle_gets_the_ranges_of_the_training_folds(folder: Path) -> None:
    data = PastisData(kind="pastis", folder=folder)
    stated = normalisation_of([data], (*BANDS, "vv"))
    assert stated is not None
    assert (stated.low[-1], stated.high[-1]) == (0, 1)
    mean = 0.6 * np.array(stated.low) + 0.4 * np.array(stated.high)
    norm = json.loads((folder / "NORM_S2_patch.json").read_text())
    expected = np.mean([norm[f"Fold_{fold}"]["mean"] for fold in (1, 2, 3)], 0)
    np.testing.assert_allclose(mean[:10], expected)
    pool = PoolData(kind="pool", folder=folder)
    assert normalisation_of([pool], BANDS) is None
    with pytest.raises(UsageError, match="mixed with other data"):
        normalisation_of([data, pool], BANDS)


def test_folders_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not the metadata of PASTIS"):
        draw(tmp_path)
    small = write_small(tmp_path, patches=3)
    with pytest.raises(UsageError, match=r"no patch in fold 5; it has folds 1, 2, 3"):
        draw(tmp_path, part="test")
    with pytest.raises(UsageError, match="no image of S1A in fold 1"):
        draw(tmp_path, radar=("S1A",))
    np.save(small.image_path(small.patches[0], "S2"), np.zeros((3, 10, 128, 128), np.int16))
    with pytest.raises(UsageError, match=r"\(7, 10, 128, 128\) was expected"):
        Pastis.open(PastisData(kind="pastis", folder=tmp_path), bands=BANDS, classes=()).reader(
            small.patches[0]
        )
    small.image_path(small.patches[0], "S2").write_bytes(b"")
    with pytest.raises(UsageError, match=r"S2_10000\.npy cannot be read"):
        small.series(small.patches[0], "S2")
    for name in ("TARGET", "ParcelIDs"):
        np.save(tmp_path / "ANNOTATIONS" / f"{name}_10000.npy", np.zeros((64, 64), np.int32))
    with pytest.raises(UsageError, match=r"classes of \(64, 64\) pixels .* \(128, 128\) were expected"):
        small.labels(small.patches[0])
