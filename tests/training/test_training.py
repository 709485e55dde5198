"""Losses, samples on their way to the network, and a run from start to bundle."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from geopanoptic.errors import UsageError
from geopanoptic.training.augmentation import augment
from geopanoptic.training.checkpoint import load_checkpoint
from geopanoptic.training.config import Source, TrainingConfig, read_config
from geopanoptic.training.export import export_bundle
from geopanoptic.training.feed import Feed, collate, cropped, read_sample
from geopanoptic.training.losses import TargetBatch, panoptic_loss
from geopanoptic.training.targets import IGNORED
from geopanoptic.training.trainer import build_network, train

SETTINGS = {"encoder_depth": 3, "decoder_channels": [8, 8], "detail_channels": 4, "head_channels": 4}
N_BANDS = 10


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """Two samples of a quartered square; the last column has no data."""
    folder = tmp_path / "pool" / "generated"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    labels = np.kron(np.array([[1, 2], [3, 0]], np.int32), np.ones((48, 48), np.int32))
    valid = np.ones((48, 48), bool)
    valid[:, -1] = False
    for name in ("a", "b"):
        image = np.kron(rng.random((N_BANDS, 2, 2)), np.ones((24, 24)))
        np.savez(
            folder / f"{name}.npz",
            image=image.astype(np.float16),
            available=np.ones(N_BANDS, bool),
            valid=valid,
            instances=labels,
            stuff=np.where(labels > 0, 0, 2).astype(np.uint8),
        )
    return folder.parent


@pytest.fixture
def batch(pool: Path) -> tuple[torch.Tensor, TargetBatch]:
    return collate([cropped(read_sample(path), 32) for path in sorted(pool.glob("*/*.npz"))])


def ideal_logits(targets: TargetBatch) -> dict[str, torch.Tensor]:
    def logit(probability: torch.Tensor) -> torch.Tensor:
        return probability.clamp(1e-6, 1 - 1e-6).logit().unsqueeze(1)

    semantic = torch.nn.functional.one_hot(targets.class_bhw.clamp_max(5), 6).permute(0, 3, 1, 2) * 20.0
    return {
        "semantic": semantic,
        "centre": logit(targets.centre_bhw),
        "boundary": logit((targets.boundary_bhw == 1).float()),
        "distance": logit(targets.distance_bhw),
    }


def test_truth_has_almost_no_loss(batch: tuple[torch.Tensor, TargetBatch]) -> None:
    terms = panoptic_loss(ideal_logits(batch[1]), batch[1])
    assert set(terms) == {"field", "classes", "centre", "boundary", "distance"}
    assert all(0 <= term.item() < 0.01 for term in terms.values())


def test_unlabelled_pixels_take_part_in_no_term(batch: tuple[torch.Tensor, TargetBatch]) -> None:
    targets = batch[1]
    hidden = torch.zeros_like(targets.weight_bhw, dtype=torch.bool)
    hidden[:, 10:30, 5:40] = True
    targets = replace(
        targets,
        class_bhw=targets.class_bhw.masked_fill(hidden, IGNORED),
        boundary_bhw=targets.boundary_bhw.masked_fill(hidden, IGNORED),
        weight_bhw=targets.weight_bhw.masked_fill(hidden, 0),
        shape_weight_bhw=targets.shape_weight_bhw.masked_fill(hidden, 0),
    )
    torch.manual_seed(0)
    logits = {name: torch.randn_like(values) for name, values in ideal_logits(targets).items()}
    scrambled = {name: torch.where(hidden.unsqueeze(1), -3.0, values) for name, values in logits.items()}
    first, second = panoptic_loss(logits, targets), panoptic_loss(scrambled, targets)
    for name, term in first.items():
        torch.testing.assert_close(second[name], term)


def test_a_batch_without_labels_has_finite_loss(batch: tuple[torch.Tensor, TargetBatch]) -> None:
    targets = batch[1]
    blank = TargetBatch(**{entry.name: getattr(targets, entry.name) * 0 for entry in fields(targets)})
    blank = replace(blank, class_bhw=blank.class_bhw + IGNORED, boundary_bhw=blank.boundary_bhw + IGNORED)
    assert all(term.isfinite() for term in panoptic_loss(ideal_logits(targets), blank).values())


def test_input_is_zero_where_a_band_or_pixel_is_missing(pool: Path) -> None:
    sample = read_sample(pool / "generated" / "a.npz")
    rng = np.random.default_rng(4)
    for _ in range(30):
        tiles, targets = collate([augment(cropped(sample, 48, rng), rng)])
        bands, flags = tiles.split(N_BANDS, dim=1)
        assert set(flags.unique().tolist()) <= {0.0, 1.0}
        assert not bands[flags == 0].any()
        assert bands.min() >= -1
        assert bands.max() <= 2
        blind = (flags.sum(dim=1) == 0).repeat_interleave(2, 1).repeat_interleave(2, 2)
        assert not targets.weight_bhw[blind].any()


def test_augmentation_turns_image_and_labels_together(pool: Path) -> None:
    sample = cropped(read_sample(pool / "generated" / "a.npz"), 48)
    marked = replace(
        sample,
        image_chw=np.where(sample.labels["field"][::2, ::2] > 0, 1.5, -0.5).repeat(1, 0)[None].repeat(10, 0),
    )
    rng = np.random.default_rng(1)
    for _ in range(20):
        turned = augment(marked, rng)
        field = turned.labels["field"][::2, ::2] > 0
        assert turned.image_chw[6][field].mean() > turned.image_chw[6][~field].mean()


def test_crops_larger_than_a_sample_are_filled_with_nothing(pool: Path) -> None:
    crop = cropped(read_sample(pool / "generated" / "a.npz"), 64)
    assert crop.image_chw.shape == (N_BANDS, 64, 64)
    assert not crop.seen_chw[:, 48:].any()
    assert (crop.labels["class"][96:] == IGNORED).all()
    assert not crop.labels["weight"][96:].any()


def test_an_empty_pool_is_refused(tmp_path: Path) -> None:
    sources = (Source(folder="generated", share=1),)
    feed = Feed(pool=tmp_path, sources=sources, crop_px=32, batch=2, seed=0)
    with feed, pytest.raises(UsageError, match="no samples"):
        next(feed)


def test_unknown_keys_in_a_configuration_are_named(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("pool: here\nminutes: 1\nsources: [{folder: a, share: 1}]\nminuts: 3\n")
    with pytest.raises(UsageError, match="minuts"):
        read_config(path)


def test_a_run_learns_goes_on_and_becomes_a_bundle(pool: Path, tmp_path: Path) -> None:
    config = TrainingConfig(
        pool=pool,
        sources=(Source(folder="generated", share=1), Source(folder="absent", share=1)),
        crop_px=32,
        batch=2,
        minutes=0.06,
        warm_up_steps=4,
        initial_weights="random",
        network=SETTINGS,
    )
    checkpoint = train(config, tmp_path / "run")
    first = _progress(config, checkpoint)
    assert first.step > 0
    train(config.model_copy(update={"minutes": 0.08}), tmp_path / "run")
    assert _progress(config, checkpoint).step > first.step

    recipe, description = tmp_path / "recipe.yaml", tmp_path / "description.yaml"
    recipe.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    described = yaml.safe_load((Path(__file__).parents[2] / "configs" / "fields-s.yaml").read_text())
    description.write_text(yaml.safe_dump(described))
    bundle = export_bundle(checkpoint, recipe, description, tmp_path / "bundle")
    assert bundle.reach_px < 64
    assert bundle.network()(torch.zeros(1, 20, 16, 16))["semantic"].isfinite().all()


def _progress(config: TrainingConfig, checkpoint: Path):  # type: ignore[no-untyped-def]
    network = build_network(config)
    optimiser = torch.optim.AdamW([{"params": network.encoder.parameters()}, {"params": []}])
    rest = [p for name, p in network.named_parameters() if not name.startswith("encoder.")]
    optimiser.param_groups[1]["params"] = rest
    return load_checkpoint(checkpoint, network=network, average=build_network(config), optimiser=optimiser)
