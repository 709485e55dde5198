"""Another look at a batch: undone exactly where pixels stay, closely where they change, and learned from."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_training import same, tiny_config, write_pool

from geopanoptic.training.config import FIELDS_CLASSES, AugmentationSettings
from geopanoptic.training.datasets.pool import Pool
from geopanoptic.training.learning.batch import Batch
from geopanoptic.training.learning.feed import Feed
from geopanoptic.training.learning.second_look import SecondLook, seen_bhw
from geopanoptic.training.learning.trainer import train
from geopanoptic.training.synthetic import BANDS

LOOKS = st.builds(
    SecondLook,
    quarter_turns=st.integers(0, 3),
    mirrored=st.booleans(),
    scale=st.sampled_from([Fraction(1), Fraction(3, 2)]),
)


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    pool = Pool.open(
        write_pool(tmp_path_factory.mktemp("data") / "pool"), bands=BANDS, classes=FIELDS_CLASSES
    )
    feed = Feed(
        source=pool,
        augmentation=AugmentationSettings(nodata_chance=1.0),
        crop_px=32,
        batch=4,
        seed=0,
        part=slice(None),
        with_clear=True,
    )
    return feed.batch_number(0)


@settings(max_examples=30)
@given(look=LOOKS)
def test_what_a_look_shows_is_brought_back_to_its_place(look: SecondLook) -> None:
    rows, cols = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    ramps = torch.stack([rows, cols, rows + 2 * cols])[None, None] / 100
    seen = torch.cat([ramps, torch.ones_like(ramps)], dim=2)
    batch = Batch(input_btchw=seen, day_bt=torch.zeros(1, 1), targets=None)  # type: ignore[arg-type]  # not looked at
    bands, flags = look.at(batch).input_btchw[:, 0].chunk(2, dim=1)
    assert bands.shape[2:] == (32 * look.scale, 32 * look.scale)
    assert flags.all()
    laid = np.rot90(ramps[0, 0].numpy(), look.quarter_turns, (1, 2))
    corners = (laid[..., ::-1] if look.mirrored else laid)[:, ::31, ::31]
    last_px = int(32 * look.scale) - 1
    np.testing.assert_allclose(bands[0, :, ::last_px, ::last_px], corners, atol=0.01)
    back = look.brought_back({"any": bands})["any"]
    inner = np.s_[..., 2:-2, 2:-2]
    # The triangle's weights on whole pixels lie up to a thirty-sixth of a pixel beside its middle.
    atol = 0 if look.scale == 1 else 3 / 3600 + 1e-6
    torch.testing.assert_close(back[inner], ramps[:, 0][inner], atol=atol, rtol=0)


def test_larger_pixels_are_seen_where_all_they_are_made_of_was(batch: Batch) -> None:
    look = SecondLook(scale=Fraction(3, 2))
    altered = Batch(input_btchw=batch.input_btchw, day_bt=batch.day_bt, targets=batch.targets)
    before, after = (each.input_btchw[:, 0].chunk(2, dim=1) for each in (altered, look.at(altered)))
    assert set(after[1].unique().tolist()) == {0.0, 1.0}
    assert not after[0][after[1] == 0].any()
    # Nothing of the ground is lost but a rim.
    assert 0.8 < after[1].mean() / before[1].mean() < 1


def test_looks_are_clear_and_judged_where_the_altered_image_has_data(batch: Batch) -> None:
    assert batch.clear_btchw is not None
    flags_bchw = batch.clear_btchw[:, 0, len(BANDS) :]
    assert flags_bchw.amax(1).sum() > seen_bhw(batch).sum() / 4
    assert torch.equal(SecondLook().at(batch).input_btchw, batch.clear_btchw)
    seen = seen_bhw(batch)
    assert seen.shape == batch.targets.weight_bhw.shape
    assert 0 < seen.mean() < 1
    assert not batch.targets.weight_bhw[seen == 0].any()


def test_all_looks_are_taken() -> None:
    rng = np.random.default_rng(0)
    looks = [SecondLook.at_random(rng) for _ in range(600)]
    assert {(each.quarter_turns, each.mirrored) for each in looks} == {
        (turns, mirrored) for turns in range(4) for mirrored in (False, True)
    }
    assert 150 < sum(each.scale > 1 for each in looks) < 250


def test_a_network_learns_to_agree_with_itself_and_does_so_again(tmp_path: Path) -> None:
    data = [{"kind": "pool", "folder": str(write_pool(tmp_path / "pool"))}]

    def run(name: str, weight: float) -> tuple[Path, float]:
        """The weights and how far the last ones were from agreeing."""
        config = tiny_config(data, steps=80, log_steps=40, losses={"agreement": weight})
        weights = train(config, tmp_path / name)
        with (tmp_path / name / "log.csv").open(newline="") as file:
            return weights, float(list(csv.DictReader(file))[-1]["agreement"]) / weight

    (first, apart), (_, apart_unasked) = run("first", 4.0), run("unasked", 1e-6)
    assert 0 < apart < 0.8 * apart_unasked
    assert same(first, run("second", 4.0)[0])
