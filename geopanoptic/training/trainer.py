"""The training loop: a wall-clock budget, a cosine over it, a running average of the weights."""

from __future__ import annotations

import copy
import csv
import functools
import logging
import math
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor, nn

from geopanoptic.models.unet import PanopticUNet
from geopanoptic.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from geopanoptic.training.config import TrainingConfig
from geopanoptic.training.feed import Feed
from geopanoptic.training.initial_weights import load_imagenet_encoder
from geopanoptic.training.losses import TargetBatch, panoptic_loss

log = logging.getLogger(__name__)

_GRADIENT_NORM = 3.0
_LOG_EVERY = 20


def train(config: TrainingConfig, out: Path) -> Path:
    """Train until the budget is spent; return the checkpoint ``out/last.safetensors``.

    Goes on from that file where it exists; the time already spent counts. ``out/log.csv`` gets the mean
    of every loss term per 20 steps.
    """
    torch.manual_seed(config.seed)
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    network = build_network(config).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]  # torch's stub lacks the overload
    average = copy.deepcopy(network).eval().requires_grad_(False)
    optimiser = _optimiser(network, config)
    checkpoint = out / "last.safetensors"
    progress = Progress()
    if checkpoint.exists():
        progress = load_checkpoint(checkpoint, network=network, average=average, optimiser=optimiser)
        log.info("going on from step %d", progress.step)

    def save() -> None:
        save_checkpoint(checkpoint, network=network, average=average, optimiser=optimiser, progress=progress)

    feed = Feed(
        pool=config.pool,
        sources=config.sources,
        crop_px=config.crop_px,
        batch=config.batch,
        seed=config.seed + progress.step,
    )
    budget_s = config.minutes * 60
    started, spent_before = time.monotonic(), progress.elapsed_s
    saved_s = spent_before
    terms: list[dict[str, float]] = []
    with (
        feed,
        ThreadPoolExecutor(config.threads, initializer=torch.set_num_threads, initargs=(1,)) as workers,
    ):
        while progress.elapsed_s < budget_s:
            _set_rates(optimiser, config, progress)
            terms.append(_step(network, optimiser, next(feed), workers, config.threads))
            progress = Progress(step=progress.step + 1, elapsed_s=spent_before + time.monotonic() - started)
            _update_average(average, network, config.average_decay, progress.step)
            if progress.step % _LOG_EVERY == 0:
                _write_log(out / "log.csv", progress, terms)
                terms = []
            if progress.elapsed_s - saved_s > config.checkpoint_minutes * 60:
                save()
                saved_s = progress.elapsed_s
    save()
    return checkpoint


def build_network(config: TrainingConfig) -> PanopticUNet:
    """The configured network with its starting weights."""
    network = PanopticUNet(**config.network)
    if config.initial_weights == "imagenet" and not load_imagenet_encoder(network):
        log.warning("ImageNet weights are not installed: the encoder starts from random weights")
    return network


def _optimiser(network: PanopticUNet, config: TrainingConfig) -> torch.optim.Optimizer:
    encoder = list(network.encoder.parameters())
    in_encoder = {id(parameter) for parameter in encoder}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in in_encoder]
    groups = [
        {"params": encoder, "peak": config.encoder_rate},
        {"params": rest, "peak": config.decoder_rate},
    ]
    return torch.optim.AdamW(groups, lr=config.decoder_rate, weight_decay=config.weight_decay)


def _set_rates(optimiser: torch.optim.Optimizer, config: TrainingConfig, progress: Progress) -> None:
    warm = min(1.0, (progress.step + 1) / config.warm_up_steps)
    spent = min(1.0, progress.elapsed_s / (config.minutes * 60))
    factor = warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * spent)))
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * factor


def _step(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    batch: tuple[Tensor, TargetBatch],
    workers: ThreadPoolExecutor,
    n_parts: int,
) -> dict[str, float]:
    """One update from a batch, computed in ``n_parts`` parts side by side.

    Each part runs on one thread: threads inside the operators wait for each other hundreds of times a
    step, which halves the speed as soon as another process uses a core.
    """
    input_bchw, targets = batch
    parts = list(
        workers.map(
            functools.partial(_gradients, network),
            input_bchw.contiguous(memory_format=torch.channels_last).chunk(n_parts),
            targets.chunk(n_parts),
        )
    )
    terms = {name: sum(part[0][name] for part in parts) / len(parts) for name in parts[0][0]}
    if not math.isfinite(sum(terms.values())):
        log.warning("a batch with a loss that is not finite was left out")
        return {}
    for parameter, *gradients in zip(network.parameters(), *(part[1] for part in parts), strict=True):
        parameter.grad = torch.stack(gradients).mean(0)
    nn.utils.clip_grad_norm_(network.parameters(), _GRADIENT_NORM)
    optimiser.step()
    return terms


def _gradients(
    network: nn.Module, input_bchw: Tensor, targets: TargetBatch
) -> tuple[dict[str, float], tuple[Tensor, ...]]:
    terms = panoptic_loss(network(input_bchw), targets)
    gradients = torch.autograd.grad(torch.stack(list(terms.values())).sum(), list(network.parameters()))
    return {name: term.item() for name, term in terms.items()}, gradients


@torch.no_grad()
def _update_average(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    decay = min(decay, (1 + step) / (10 + step))
    current = network.state_dict()
    for name, value in average.state_dict().items():
        if value.is_floating_point():
            value.lerp_(current[name], 1 - decay)
        else:
            value.copy_(current[name])


def _write_log(path: Path, progress: Progress, terms: list[dict[str, float]]) -> None:
    kept = [entry for entry in terms if entry]
    if not kept:
        return
    means = {name: sum(entry[name] for entry in kept) / len(kept) for name in kept[0]}
    row = {"step": progress.step, "minutes": progress.elapsed_s / 60, "loss": sum(means.values()), **means}
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        if new:
            writer.writeheader()
        writer.writerow({name: f"{v:.4f}" if isinstance(v, float) else v for name, v in row.items()})
    log.info("step %d, %.1f min, loss %.3f", progress.step, row["minutes"], row["loss"])
