"""Outlines from several dates: what one date hides another shows, and doubt stays unknown."""

from __future__ import annotations

import numpy as np
import pytest

from geopanoptic.training.samples import crops
from geopanoptic.training.samples.series import Date, outlines, samples

SIDE_PX = 60
BANDS = (0, 1, 2, 6)


def date(*halves: float, valid: np.ndarray | None = None) -> Date:
    """A scene of vertical strips of the given brightness."""
    rng = np.random.default_rng(len(halves))
    strips = np.repeat(np.array(halves, np.float32), SIDE_PX // len(halves))
    image = np.tile(strips, (4, SIDE_PX, 1)) + rng.normal(0, 0.01, (4, SIDE_PX, SIDE_PX)).astype(np.float32)
    seen = np.ones((SIDE_PX, SIDE_PX), bool) if valid is None else valid
    return Date(image_chw=(image * seen).astype(np.float32), bands=BANDS, valid_hw=seen)


def teacher(field: float):
    """Says the same everywhere; sees no boundary."""

    def opinion(input_bchw: np.ndarray) -> dict[str, np.ndarray]:
        batch, channels, height, width = input_bchw.shape
        assert channels == 20
        fine = (batch, 1, 2 * height, 2 * width)
        return {
            "semantic": np.concatenate([np.full(fine, field), np.full(fine, 1 - field)], axis=1),
            "boundary": np.zeros(fine),
        }

    return opinion


def parcels(labels: np.ndarray) -> int:
    return len(np.unique(labels[labels > 0]))


def test_an_edge_of_any_date_divides():
    one, other = date(0.2, 0.2, 0.8), date(0.1, 0.9, 0.9)
    assert parcels(outlines([one], teacher(0.9))) == 2
    both = outlines([one, other], teacher(0.9))
    assert parcels(both) == 3
    # The borders lie where they were drawn, to one label pixel.
    middle = both[SIDE_PX]
    assert np.flatnonzero(np.diff(middle)) == pytest.approx([39.5, 79.5], abs=1)


@pytest.mark.parametrize(("field", "label"), [(0.1, 0), (0.5, -1)])
def test_the_teacher_decides_what_is_a_field_at_all(field, label):
    assert (outlines([date(0.1, 0.9)], teacher(field)) == label).all()


def test_hidden_ground_hides_all_that_touches_it():
    hidden = np.zeros((SIDE_PX, SIDE_PX), bool)
    hidden[5, 5] = True
    labels = outlines([date(0.1, 0.9)], teacher(0.9), hidden)
    assert (labels[:, :58] == -1).all()
    assert parcels(labels) == 1


def test_no_data_is_unknown():
    valid = np.ones((SIDE_PX, SIDE_PX), bool)
    valid[:, :10] = False
    labels = outlines([date(0.1, 0.9), date(0.1, 0.9, valid=valid)], teacher(0.9))
    assert (labels[:, :20] == -1).all()


def test_samples_share_labels_and_differ_in_pixels(monkeypatch):
    monkeypatch.setattr(crops, "CROP_PX", 20)
    dates = [date(0.1, 0.9), date(0.3, 0.4)]
    labels = np.repeat([[1, 2]], SIDE_PX, axis=1).repeat(2 * SIDE_PX, axis=0).astype(np.int32)
    cut = list(samples(dates, labels, reductions=(1, 2)))
    assert len(cut) % 2 == 0
    for first, second in zip(cut[::2], cut[1::2], strict=True):
        np.testing.assert_array_equal(first.instances, second.instances)
        assert first.instances.shape == (40, 40)
        assert not np.array_equal(first.image, second.image)
        assert np.flatnonzero(first.available).tolist() == list(BANDS)
    # Reduced or not, a pixel keeps the label of its strip.
    for crop in cut[::2]:
        bright = (crop.image[0] > 0.5).repeat(2, 0).repeat(2, 1)
        np.testing.assert_array_equal(bright, crop.instances == 2)
