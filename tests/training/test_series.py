"""Training networks of series: what they are shown, what they start from, and runs of a few steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_seasons import SERIES_CLASSES, TINY_TEMPORAL, tiny_season_config, write_season_pool
from tiny_training import TINY_NETWORK, feed_of, tensors_of, tiny_config, write_pool

from geopanoptic.errors import UsageError
from geopanoptic.models.manifest import channels_of
from geopanoptic.models.networks.series import PanopticUNetSeries
from geopanoptic.pipeline.progress import Silent
from geopanoptic.training.datasets.mixture import Mixture
from geopanoptic.training.learning.batch import Batch
from geopanoptic.training.learning.feed import collate, cropped, with_targets
from geopanoptic.training.learning.forward import logits_of
from geopanoptic.training.learning.losses import panoptic_loss
from geopanoptic.training.learning.start import build_network
from geopanoptic.training.learning.trainer import train
from geopanoptic.training.patches.patch import Patch
from geopanoptic.training.patches.targets import IGNORED
from geopanoptic.training.recipe import train_bundle


@pytest.fixture
def data(tmp_path: Path) -> list[dict[str, Any]]:
    """Series, and single images whose parcels are of unknown kind."""
    return [
        {"kind": "season_pool", "folder": str(write_season_pool(tmp_path / "seasons"))},
        {"kind": "pool", "folder": str(write_pool(tmp_path / "images"))},
    ]


def test_batches_of_series_and_images_are_filled_up_with_dates_without_a_flag(
    data: list[dict[str, Any]],
) -> None:
    config = tiny_season_config(
        data, season={"dates": [3], "dateless_chance": 0, "hidden_chance": 0}, batch=8
    )
    batch = feed_of(config).batch_number(3)
    seen_bt = batch.input_btchw[:, :, 10:].amax(dim=(2, 3, 4)) > 0
    assert set(seen_bt.sum(1).tolist()) == {1, 3}
    for dates, (seen_t, day_t) in enumerate(zip(seen_bt, batch.day_bt, strict=True)):
        single = int(seen_t.sum()) == 1
        assert day_t[seen_t].isnan().all() == single, dates
        assert not batch.input_btchw[dates][~seen_t].any()
    assert set(batch.targets.class_bhw.unique().tolist()) <= {0, 1, 4, IGNORED}
    halves = [feed_of(config, part).batch_number(3) for part in (slice(0, 4), slice(4, 8))]
    together = torch.cat([half.targets.class_bhw for half in halves])
    assert torch.equal(together, batch.targets.class_bhw)


def test_a_parcel_of_unknown_kind_counts_for_the_field_alone(data: list[dict[str, Any]]) -> None:
    config = tiny_season_config(data[:1])
    source = Mixture.open(config.data, bands=config.bands, classes=config.classes)
    patch = source.draw(48, np.random.default_rng(0), sample=0)
    targets = collate([cropped(with_targets(patch), 48)]).targets
    unknown = (targets.class_bhw == IGNORED) & (targets.field_bhw == 1)
    assert unknown.any()
    semantic = torch.randn(1, len(SERIES_CLASSES), 96, 96, requires_grad=True)
    logits = {name: torch.zeros(1, 1, 96, 96) for name in ("centre", "boundary", "distance")}
    terms = panoptic_loss(
        logits | {"semantic": semantic}, targets, thing_classes=channels_of(config.classes, "thing")
    )
    of_class, of_field = (
        torch.autograd.grad(terms[name], semantic, retain_graph=True)[0].abs().sum(1)[unknown]
        for name in ("classes", "field")
    )
    assert not of_class.any()
    assert of_field.any()


def small_batch(n_dates: int) -> Batch:
    torch.manual_seed(1)
    images = torch.rand(2, n_dates, 20, 32, 32)
    images[:, :, 10:] = 1.0
    days = torch.linspace(90, 300, n_dates).expand(2, -1)
    nothing = Patch(
        image_chw=np.zeros((10, 32, 32), np.float32),
        seen_chw=np.zeros((10, 32, 32), bool),
        instances_hw=np.zeros((64, 64), np.int32),
        classes_hw=np.zeros((64, 64), np.uint8),
    )
    targets = collate([with_targets(nothing)] * 2).targets
    return Batch(input_btchw=images, day_bt=days, targets=targets)


def test_dates_without_a_flag_leave_the_batch_norms_alone() -> None:
    torch.manual_seed(0)
    network = build_network(tiny_season_config([{"kind": "generated"}]))
    assert isinstance(network, PanopticUNetSeries)
    few = small_batch(3)
    filled = replace(
        few,
        input_btchw=torch.cat([few.input_btchw, torch.zeros(2, 2, 20, 32, 32)], dim=1),
        day_bt=torch.cat([few.day_bt, torch.full((2, 2), torch.nan)], dim=1),
    )
    network.eval()
    for name, values in logits_of(network, few).items():
        torch.testing.assert_close(values, network(few.input_btchw, few.day_bt)[name], rtol=0, atol=1e-5)
    outputs, statistics = [], []
    for batch in (few, filled):
        torch.manual_seed(0)
        network = build_network(tiny_season_config([{"kind": "generated"}])).train()
        outputs.append(logits_of(network, batch)["semantic"])
        statistics.append(network.state_dict()["unet.detail.1.running_mean"])
    assert torch.equal(*outputs)
    assert torch.equal(*statistics)
    nothing = replace(few, input_btchw=torch.zeros_like(few.input_btchw))
    assert logits_of(network, nothing)["semantic"].isfinite().all()


def test_an_interrupted_run_of_series_goes_on_to_identical_weights(
    data: list[dict[str, Any]], tmp_path: Path
) -> None:
    class Pulls(Silent):
        def note(self, text: str) -> None:
            if text.startswith("step 4 "):
                raise KeyboardInterrupt

    config = tiny_season_config(data, checkpoint_minutes=1e-9, threads=2, picture_steps=6)
    whole = tensors_of(train(config, tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "parts", progress=Pulls())
    resumed = tensors_of(train(config, tmp_path / "parts"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert (tmp_path / "whole" / "pictures" / "0000006.png").exists()


@pytest.mark.parametrize("fine_convolution", [True, False])
def test_a_bundle_of_images_becomes_a_network_of_series(
    fine_convolution: bool, data: list[dict[str, Any]], tmp_path: Path
) -> None:
    network = {**TINY_NETWORK, "fine_convolution": fine_convolution}
    images = train_bundle(tiny_config(data, steps=1, network=network), tmp_path / "images")
    assert images is not None
    start = {"from": str(images.path), "network": {**network, "temporal": TINY_TEMPORAL}}
    grown = build_network(tiny_season_config(data, **start))
    assert isinstance(grown, PanopticUNetSeries)
    grown.eval()
    image = torch.rand(1, 20, 32, 32)
    image[:, 10:] = 1.0
    with torch.no_grad():
        expected = images.network()(image)
        outputs = grown(image[:, None], torch.tensor([[200.0]]))
    for name in ("centre", "boundary", "distance"):
        torch.testing.assert_close(outputs[name], expected[name], rtol=0, atol=1e-5)
    before, after = (each["semantic"].softmax(1) for each in (expected, outputs))
    torch.testing.assert_close(after[:, :4], before[:, :1].expand(-1, 4, -1, -1) / 4, rtol=0, atol=1e-5)
    torch.testing.assert_close(after[:, 4:], before[:, 1:], rtol=0, atol=1e-5)

    series = train_bundle(tiny_season_config(data, steps=2, name="seasons", **start), tmp_path / "series")
    assert series is not None
    assert series.takes_series
    assert [each.name for each in series.classes] == [each["name"] for each in SERIES_CLASSES]
    again = build_network(tiny_season_config(data, **start | {"from": str(series.path)}))
    for name, values in series.network().state_dict().items():
        assert torch.equal(again.state_dict()[name], values)
    with pytest.raises(UsageError, match="The network of the configuration"):
        build_network(tiny_config(data, classes=SERIES_CLASSES, **{"from": str(series.path)}))
    marsh = [*SERIES_CLASSES[:4], {**SERIES_CLASSES[4], "name": "marsh"}]
    with pytest.raises(UsageError, match="has no class marsh"):
        build_network(tiny_season_config(data, **start, classes=marsh))


def test_a_network_of_images_learns_from_single_dates_of_series(
    data: list[dict[str, Any]], tmp_path: Path
) -> None:
    config = tiny_config(data[:1], steps=1, batch=6)
    feed = replace(feed_of(config), season=None)
    batch = feed.batch_number(0)
    assert batch.input_btchw.shape[1] == 1
    assert set(batch.targets.class_bhw.unique().tolist()) <= {0, 1, IGNORED}
    train(config, tmp_path / "run")
