"""PASTIS folders: a small one in the official layout, and the labels of real patches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geopanoptic.errors import UsageError
from geopanoptic.models.manifest import ClassSpec
from geopanoptic.training.config import TrainingConfig
from geopanoptic.training.datasets.pastis import Pastis
from geopanoptic.training.datasets.settings import PastisData
from geopanoptic.training.synthetic import BANDS

CLASSES = TrainingConfig.model_fields["classes"].default
CLOUDY = 2


def write_pastis(
    folder: Path,
    parcels: np.ndarray,
    target: np.ndarray,
    *,
    patch: int = 10_000,
    dates: Any = None,
    fold: int = 1,
) -> PastisData:
    """One patch: three clear dates whose values tell them apart, one cloudy one."""
    for name in ("DATA_S2", "ANNOTATIONS"):
        (folder / name).mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    series = rng.integers(300, 900, (4, 10, *parcels.shape)).astype(np.int16)
    series[CLOUDY] += 6000
    np.save(folder / "DATA_S2" / f"S2_{patch}.npy", series)
    np.save(folder / "ANNOTATIONS" / f"TARGET_{patch}.npy", np.stack([target] * 3).astype(np.uint8))
    np.save(folder / "ANNOTATIONS" / f"ParcelIDs_{patch}.npy", parcels.astype(np.int32))
    days = {"0": 20190510, "1": 20190601, "2": 20190601, "3": 20190401} if dates is None else dates
    properties = {"ID_PATCH": patch, "Fold": fold, "TILE": "t31tfm", "dates-S2": days}
    feature = {"type": "Feature", "properties": properties, "geometry": None}
    (folder / "metadata.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return PastisData(kind="pastis", folder=folder, folds=(1, 2))


PARCELS = np.kron(np.array([[0, 4711], [88, 99]]), np.ones((64, 64), np.int64))
TARGET = np.kron(np.array([[0, 3], [1, 19]]), np.ones((64, 64), np.int64))


def draw(settings: PastisData, seed: int = 0, classes: tuple[ClassSpec, ...] = CLASSES):  # type: ignore[no-untyped-def]
    source = Pastis.open(settings, bands=BANDS, classes=classes)
    return source.draw(128, np.random.default_rng(seed), sample=0)


def test_parcels_are_instances_and_void_is_unlabelled(tmp_path: Path) -> None:
    patch = draw(write_pastis(tmp_path, PARCELS, TARGET))
    quarters = patch.instances_hw[64::128, 64::128]
    assert quarters[0, 0] == 0
    assert quarters[0, 1] != quarters[1, 0]
    assert min(quarters[0, 1], quarters[1, 0]) > 0
    assert quarters[1, 1] == -1
    np.testing.assert_array_equal(patch.classes_hw[64::128, 64::128], [[255, 0], [0, 255]])
    assert patch.instances_hw.shape == (256, 256)


def test_crops_with_a_class_of_their_name_keep_it(tmp_path: Path) -> None:
    corn = ClassSpec(id=7, name="Corn", kind="thing", colour="#00ff00")
    patch = draw(write_pastis(tmp_path, PARCELS, TARGET), classes=(*CLASSES, corn))
    np.testing.assert_array_equal(patch.classes_hw[64::128, 64::128], [[255, 6], [255, 255]])


def test_cloudy_dates_are_not_shown(tmp_path: Path) -> None:
    settings = write_pastis(tmp_path, PARCELS, TARGET)
    cloudy = np.load(tmp_path / "DATA_S2" / "S2_10000.npy")[CLOUDY, 0].astype(float)
    shown = [draw(settings, seed).image_chw[0] for seed in range(12)]
    likeness = [np.corrcoef(image.ravel(), cloudy.ravel())[0, 1] for image in shown]
    assert max(likeness) < 0.5
    assert len({image.tobytes() for image in shown}) == 2  # of four dates the clearer half


@pytest.mark.parametrize("dates", ["{'0': 20190510, '1': 20190601, '2': 20190601, '3': 20190401}", None])
def test_dates_may_be_text_unsorted_and_repeated(tmp_path: Path, dates: str | None) -> None:
    source = Pastis.open(write_pastis(tmp_path, PARCELS, TARGET, dates=dates), bands=BANDS, classes=CLASSES)
    assert source.patches[0].dates == (20190510, 20190601, 20190601, 20190401)


def test_folders_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not the metadata of PASTIS"):
        draw(PastisData(kind="pastis", folder=tmp_path))
    settings = write_pastis(tmp_path, PARCELS, TARGET, fold=5)
    with pytest.raises(UsageError, match=r"no patch in fold 1, 2; it has folds 5"):
        draw(settings)
    settings = write_pastis(tmp_path, PARCELS, TARGET, dates={"0": 20190510})
    with pytest.raises(UsageError, match=r"\(1, 10, 128, 128\) was expected"):
        draw(settings)


@pytest.mark.realdata
def test_real_parcels_are_read_as_they_are(shared_data: Path, tmp_path: Path) -> None:
    parcels = np.load(shared_data / "pastis-labels" / "ANNOTATIONS" / "ParcelIDs_10000.npy")
    rows = json.loads((shared_data / "pastis-labels" / "metadata.geojson").read_text())["features"]
    properties = next(row["properties"] for row in rows if row["properties"]["ID_PATCH"] == 10_000)
    settings = write_pastis(
        tmp_path, parcels, np.where(parcels > 0, 1, 0), dates=dict(list(properties["dates-S2"].items())[:4])
    )
    patch = draw(settings)
    coarse = patch.instances_hw[::2, ::2]
    numbers = np.unique(coarse[coarse > 0])
    assert len(numbers) == len(np.unique(parcels[parcels > 0]))
    # The published count and cover are independent of this reader; some parcels hold no pixel centre.
    assert properties["N_Parcel"] - 5 <= len(numbers) <= properties["N_Parcel"]
    assert (coarse > 0).mean() == pytest.approx(properties["Parcel_Cover"], abs=0.01)
    for number in numbers[::6]:
        assert len(np.unique(parcels[coarse == number])) == 1
