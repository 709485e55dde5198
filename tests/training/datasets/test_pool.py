"""Reading folders of samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_training import write_pool

from geopanoptic.errors import UsageError
from geopanoptic.training.config import FIELDS_CLASSES
from geopanoptic.training.datasets.pool import Pool
from geopanoptic.training.synthetic import BANDS
from geopanoptic.training.targets import IGNORED


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
