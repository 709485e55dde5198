"""What lies in a folder in the format of PASTIS is read as it is, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from small_pastis import season_of, write_small

from geopanoptic.errors import UsageError
from geopanoptic.training.pastis.folder import PastisFolder
from geopanoptic.training.pastis.normalisation import moments
from geopanoptic.training.pastis.targets import numbered


def test_everything_reads_back_bit_for_bit(tmp_path: Path) -> None:
    folder = write_small(tmp_path, radar=True)
    assert [patch.fold for patch in folder.patches] == [1, 2, 3, 4, 5]
    for number, patch in enumerate(folder.patches):
        season, labels = season_of(number, radar=True), folder.labels(patch)
        for sensor, images in season.images.items():
            stored = folder.series(patch, sensor)
            assert patch.dates[sensor] == images.dates
            assert stored.dtype == images.values_tchw.dtype
            np.testing.assert_array_equal(stored, images.values_tchw)
        np.testing.assert_array_equal(labels.target_hw, season.target_hw)
        np.testing.assert_array_equal(labels.instances_hw, numbered(season.parcels_hw, season.target_hw))


def test_moments_are_those_of_the_asked_folds_stored_or_not(tmp_path: Path) -> None:
    folder = write_small(tmp_path)
    stored = moments(folder, (2, 3), "S2")
    folder.norm_path("S2").unlink()
    computed = moments(folder, (2, 3), "S2")
    np.testing.assert_array_equal(stored.mean, computed.mean)
    np.testing.assert_array_equal(stored.std, computed.std)
    values = [season_of(number).images["S2"].values_tchw.astype(float) for number in (1, 2)]
    np.testing.assert_allclose(stored.mean, np.mean([v.mean((0, 2, 3)) for v in values], 0), rtol=1e-6)
    np.testing.assert_allclose(stored.std, np.mean([v.std((0, 2, 3)) for v in values], 0), rtol=1e-4)
    low, high = stored.ranges
    np.testing.assert_allclose((stored.mean - low) / (high - low), 0.4)
    np.testing.assert_allclose(stored.std / (high - low), 0.25)


@pytest.mark.parametrize("style", ["mapping", "json", "single quotes", "from 1"])
def test_dates_are_read_in_every_published_style(tmp_path: Path, style: str) -> None:
    folder = write_small(tmp_path, patches=1)
    path = tmp_path / "metadata.geojson"
    metadata = json.loads(path.read_text())
    properties = metadata["features"][0]["properties"]
    numbered_from_1 = {str(int(key) + 1): day for key, day in properties["dates-S2"].items()}
    shuffled = dict(reversed(properties["dates-S2"].items()))
    properties["dates-S2"] = {
        "mapping": shuffled, "json": json.dumps(shuffled), "single quotes": str(shuffled), "from 1": numbered_from_1
    }[style]  # fmt: skip
    properties["Fold"], properties["TILE"] = "1", "T31TFM"
    path.write_text(json.dumps(metadata))
    (patch,) = PastisFolder.open(tmp_path).patches
    assert patch.dates == folder.patches[0].dates
    assert patch.tile == "t31tfm"


@pytest.mark.parametrize(
    "stated",
    [[20190301], "-" * 200_000 + "1", "(" * 5000, {"0": 20190231}, {"Infinity": 20190301}, "{1e999: 1}"],
)
def test_dates_that_are_none_are_refused(tmp_path: Path, stated: object) -> None:
    write_small(tmp_path, patches=1)
    path = tmp_path / "metadata.geojson"
    metadata = json.loads(path.read_text())
    metadata["features"][0]["properties"]["dates-S2"] = stated
    path.write_text(json.dumps(metadata))
    with pytest.raises(UsageError, match="not the metadata of PASTIS"):
        PastisFolder.open(tmp_path)


@pytest.mark.realdata
def test_the_real_metadata_and_moments_are_read(shared_data: Path) -> None:
    folder = PastisFolder.open(shared_data / "pastis-labels")
    assert [patch.number for patch in folder.in_folds([1])] == [10_000, 10_007]
    assert all(33 <= len(patch.dates["S2"]) <= 61 for patch in folder.patches)
    stored = json.loads((shared_data / "pastis-labels" / "NORM_S2_patch.json").read_text())
    mean = moments(folder, (1, 2, 3), "S2").mean
    np.testing.assert_allclose(mean, np.mean([stored[f"Fold_{fold}"]["mean"] for fold in (1, 2, 3)], 0))
