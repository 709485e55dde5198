"""Reading folders of samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_seasons import SERIES_CLASSES, write_season_pool
from tiny_training import write_pool

from geopanoptic.errors import UsageError
from geopanoptic.models.manifest import ClassSpec
from geopanoptic.npy import load_npz
from geopanoptic.training.config import FIELDS_CLASSES
from geopanoptic.training.datasets.pool import Pool, _read
from geopanoptic.training.datasets.season_pool import SeasonPool
from geopanoptic.training.datasets.season_pool import _read as _read_season
from geopanoptic.training.patches.series_patch import SeriesPatch
from geopanoptic.training.patches.targets import IGNORED
from geopanoptic.training.synthetic import BANDS


def test_a_sample_comes_with_its_labels_and_no_data_where_invalid(tmp_path: Path) -> None:
    pool = Pool.open(write_pool(tmp_path / "pool"), bands=BANDS, classes=FIELDS_CLASSES)
    patch = pool.draw(64, np.random.default_rng(0), sample=0)
    assert patch.shape == (48, 48)
    assert not patch.seen_chw[..., -1].any()
    assert patch.seen_chw[..., :-1].all()
    assert set(np.unique(patch.instances_hw)) == {0, 1, 2, 3}
    np.testing.assert_array_equal(patch.classes_hw, np.where(patch.instances_hw > 0, 0, 1))
    assert not patch.valid_hw[:, -2:].any()


def test_bands_come_in_the_networks_order(tmp_path: Path) -> None:
    folder = write_pool(tmp_path / "pool", invalid_column=False)
    rng = np.random.default_rng(0)
    every = Pool.open(folder, bands=BANDS, classes=FIELDS_CLASSES).draw(
        48, np.random.default_rng(0), sample=0
    )
    some = Pool.open(folder, bands=("nir", "red", "thermal"), classes=FIELDS_CLASSES).draw(48, rng, sample=0)
    np.testing.assert_array_equal(some.image_chw[0], every.image_chw[BANDS.index("nir")])
    np.testing.assert_array_equal(some.image_chw[1], every.image_chw[BANDS.index("red")])
    assert not some.seen_chw[2].any()
    assert (every.classes_hw != IGNORED).all()


def test_folders_without_samples_and_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no samples"):
        Pool.open(tmp_path, bands=BANDS, classes=FIELDS_CLASSES)
    np.savez(tmp_path / "other.npz", image=np.zeros(3))
    with pytest.raises(UsageError, match=r"other\.npz is no training sample"):
        Pool.open(tmp_path, bands=BANDS, classes=FIELDS_CLASSES).draw(32, np.random.default_rng(0), sample=0)


def test_pixels_that_are_no_number_have_no_data(tmp_path: Path) -> None:
    folder = write_pool(tmp_path / "pool", invalid_column=False)
    _change(folder, image=lambda image: _with_nan(image))
    patch = Pool.open(folder, bands=BANDS, classes=FIELDS_CLASSES).draw(
        48, np.random.default_rng(0), sample=0
    )
    assert np.isfinite(patch.image_chw).all()
    assert not patch.seen_chw[:, 3, 4].any()
    assert patch.seen_chw.sum() == patch.seen_chw.size - len(BANDS)


def test_pixels_of_series_that_are_no_number_have_no_data(tmp_path: Path) -> None:
    folder = write_season_pool(tmp_path / "pool")
    before = _season(folder)
    _change(folder, image_tchw=lambda image: _with_nan(image))
    after = _season(folder)
    assert np.isfinite(after.image_tchw).all()
    assert not after.seen_tchw[2, :, 3, 4].any()
    # The last band of the second date is not there: nothing is known of it, and nothing lost.
    assert before.seen_tchw.sum() - after.seen_tchw.sum() == 2 * len(BANDS) + len(BANDS) - 1


@pytest.mark.parametrize("name", ["image", "valid", "instances", "stuff"])
def test_arrays_that_do_not_belong_together_are_refused(tmp_path: Path, name: str) -> None:
    folder = write_pool(tmp_path / "pool")
    _change(folder, **{name: lambda array: array[..., :32, :32]})
    with pytest.raises(UsageError, match=r"[ab]\.npz is no training sample: .* was expected"):
        Pool.open(folder, bands=BANDS, classes=FIELDS_CLASSES).draw(48, np.random.default_rng(0), sample=0)


@pytest.mark.parametrize("name", ["image_tchw", "valid_thw", "available_tc", "day_t", "instances", "stuff"])
def test_arrays_of_series_that_do_not_belong_together_are_refused(tmp_path: Path, name: str) -> None:
    folder = write_season_pool(tmp_path / "pool")
    _change(folder, **{name: lambda array: array[..., :3]})
    with pytest.raises(UsageError, match=r"[ab]\.npz is no series: "):
        _season(folder)


def test_files_cut_short_are_named(tmp_path: Path) -> None:
    folder = write_pool(tmp_path / "pool")
    for path in folder.iterdir():
        path.write_bytes(b"")
    with pytest.raises(UsageError, match=r"[ab]\.npz is no training sample: File is not a zip file"):
        Pool.open(folder, bands=BANDS, classes=FIELDS_CLASSES).draw(48, np.random.default_rng(0), sample=0)


def _change(folder: Path, **changed: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
    """Write every sample of a pool anew with arrays changed."""
    for path in folder.iterdir():
        arrays = load_npz(path)
        np.savez(path, **{k: changed[k](v) if k in changed else v for k, v in arrays.items()})
    _read.cache_clear()
    _read_season.cache_clear()


def _with_nan(image: NDArray[Any]) -> NDArray[Any]:
    image[..., 3, 4] = np.nan
    return image


def _season(folder: Path) -> SeriesPatch:
    classes = tuple(ClassSpec.model_validate(each) for each in SERIES_CLASSES)
    return SeasonPool.open(folder, bands=BANDS, classes=classes).draw(48, np.random.default_rng(0), sample=0)
