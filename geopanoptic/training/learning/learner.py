"""One network learning: gradients of a batch in parts, one update, the running average drawn along."""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from geopanoptic.errors import UsageError
from geopanoptic.models.bundle import bundle_called
from geopanoptic.models.manifest import channels_of
from geopanoptic.models.networks.building import paps_heads_of
from geopanoptic.pipeline.resuming.identity import Identity
from geopanoptic.training.config import TrainingConfig, fits_second_look
from geopanoptic.training.learning.batch import Batch
from geopanoptic.training.learning.checkpoint import Course, State, load_checkpoint
from geopanoptic.training.learning.forward import logits_of
from geopanoptic.training.learning.losses import TargetBatch, divergence, panoptic_loss, probabilities_of
from geopanoptic.training.learning.paps_losses import paps_loss
from geopanoptic.training.learning.parallel import Ranks, average_buffers, twins
from geopanoptic.training.learning.second_look import SecondLook, seen_bhw
from geopanoptic.training.learning.start import build_network

_GRADIENT_NORM = 3.0
_LOOKS = 2**30  # apart from the seeds of samples
_NEW_LAYERS = ("heads.semantic.", "keys.", "queries", "values.", "seasons.", "summaries.", "kinds.")


class Learner:
    """Makes steps: gradients of a batch in parts, one update, the average drawn along."""

    def __init__(self, config: TrainingConfig, ranks: Ranks) -> None:
        self._config, self._ranks = config, ranks
        on_cpu = ranks.device.type == "cpu"
        network: nn.Module = build_network(config)
        network = network.to(ranks.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks the overload
        average = copy.deepcopy(network).eval().requires_grad_(False)
        self._old = copy.deepcopy(average) if config.losses.keeping else None
        self._teacher = _teacher(config)
        if self._teacher is not None:
            self._teacher.to(ranks.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # as above
        self.state = State(network=network, average=average, optimiser=_optimiser(network, config))
        n_parts = min(config.threads, config.batch // ranks.size) if on_cpu else 1
        self._twins = twins(network, n_parts)
        for twin in self._twins:
            _set_mode(twin, frozen_norms=config.frozen_norms)
        self._workers = ThreadPoolExecutor(
            n_parts, "geopanoptic-train", initializer=torch.set_num_threads, initargs=(1,)
        )
        # Sums in half precision need no scaling with bfloat16's range.
        self._autocast = functools.partial(
            torch.autocast,
            ranks.device.type,
            dtype=torch.bfloat16,
            enabled=config.mixed_precision and _computes_in_bf16(ranks.device),
        )

    @torch.no_grad()
    def load(self, checkpoint: Path, data: Identity) -> Course:
        """Go back to the state in ``checkpoint``, which learned from ``data``; raises as ``load_checkpoint``."""
        course = load_checkpoint(checkpoint, self.state, self._config, data)
        _set_buffers(self._twins[1:], list(self.state.network.buffers()))
        return course

    @property
    def rate(self) -> float:
        """The decoder's current learning rate."""
        return float(self.state.optimiser.param_groups[1]["lr"])

    def set_rates(self, factor: float) -> None:
        """Learning rates as a share of their peaks."""
        for group in self.state.optimiser.param_groups:
            group["lr"] = group["peak"] * factor

    def step(self, batch: Batch, number: int) -> dict[str, float]:
        """One update; the loss terms, or nothing where loss or gradient is not finite: the batch then leaves no trace."""
        # Before a step all twins have the same.
        statistics = [buffer.clone() for buffer in self.state.network.buffers()]
        # The same for all parts, so that it does not matter who computes them.
        look = SecondLook.at_random(np.random.default_rng([self._config.seed, _LOOKS, number]))
        chunks = batch.chunk(len(self._twins))
        parts = list(self._workers.map(self._gradients, self._twins, chunks, [look] * len(chunks)))
        names = list(parts[0][0])
        values = torch.stack([torch.stack(list(terms.values())) for terms, _ in parts]).mean(0)
        gradients = [torch.stack(column).mean(0) for column in zip(*(part[1] for part in parts), strict=True)]
        *gradients, values = self._ranks.mean([*gradients, values])
        parameters = list(self.state.network.parameters())
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        norm = nn.utils.clip_grad_norm_(parameters, _GRADIENT_NORM)
        if not (values.isfinite().all() and norm.isfinite()):
            _set_buffers(self._twins, statistics)
            return {}
        average_buffers(self._twins, self._ranks)
        self.state.optimiser.step()
        self._update_average(number)
        return dict(zip(names, values.tolist(), strict=True))

    @torch.no_grad()
    def loss(self, batches: Sequence[Batch]) -> float:
        """The averaged network's mean loss over batches."""
        losses = self._workers.map(self._loss, batches)
        sizes = [len(batch) for batch in batches]
        return sum(loss * size for loss, size in zip(losses, sizes, strict=True)) / sum(sizes)

    @torch.no_grad()
    def outputs(self, batch: Batch) -> dict[str, Tensor]:
        """The averaged network's logits."""
        with self._autocast():
            return logits_of(self.state.average, batch.to(self._ranks.device))

    def close(self) -> None:
        self._workers.shutdown(wait=False)

    def _gradients(
        self, network: nn.Module, batch: Batch, look: SecondLook
    ) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
        batch, weights = batch.to(self._ranks.device), self._config.losses
        with self._autocast():
            logits = logits_of(network, batch)
        terms = self._terms(network, logits, batch.targets)
        if self._old is not None:
            with torch.no_grad(), self._autocast():
                old = probabilities_of(logits_of(self._old, batch))
            unlabelled_bhw = (batch.targets.weight_bhw == 0).float()
            terms["keeping"] = weights.keeping * divergence(logits, old, unlabelled_bhw, weights)
        if weights.agreement:
            with torch.no_grad(), self._autocast():
                shown = logits_of(self._teacher or self.state.average, look.at(batch))
            other = look.brought_back(probabilities_of(shown))
            terms["agreement"] = weights.agreement * divergence(logits, other, seen_bhw(batch), weights)
        # A head that no term looks at, as terms of weight 0 are left out, has gradient 0.
        gradients = torch.autograd.grad(
            sum(terms.values()),  # type: ignore[arg-type]  # some term there is
            list(network.parameters()),
            allow_unused=True,
            materialize_grads=True,
        )
        return {name: term.detach() for name, term in terms.items()}, gradients

    def _loss(self, batch: Batch) -> float:
        with torch.no_grad():
            targets = batch.targets.to(self._ranks.device)
            terms = self._terms(self.state.average, self.outputs(batch), targets)
        return float(sum(term.item() for term in terms.values()))

    def _terms(
        self, network: nn.Module, logits: dict[str, Tensor], targets: TargetBatch
    ) -> dict[str, Tensor]:
        if self._config.network.outputs != "dense":
            return paps_loss(paps_heads_of(network), logits, targets)  # type: ignore[arg-type]  # as built
        return panoptic_loss(
            logits,
            targets,
            thing_classes=channels_of(self._config.classes, "thing"),
            settings=self._config.losses,
        )

    @torch.no_grad()
    def _update_average(self, step: int) -> None:
        decay = min(self._config.average_decay, (1 + step) / (10 + step))
        current = self.state.network.state_dict()
        for name, value in self.state.average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(current[name], 1 - decay)
            else:
                value.copy_(current[name])


@torch.no_grad()
def _set_buffers(networks: Sequence[nn.Module], stored: Sequence[Tensor]) -> None:
    for network in networks:
        for own, value in zip(network.buffers(), stored, strict=True):
            own.copy_(value)


def _teacher(config: TrainingConfig) -> nn.Module | None:
    """The network of the bundle that teaches. Raises ``UsageError`` for one that cannot see or name the same."""
    if config.teacher is None:
        return None
    bundle = bundle_called(config.teacher)
    for what, mine, theirs in (
        ("bands", config.bands, bundle.bands),
        ("classes", tuple(each.name for each in config.classes), tuple(each.name for each in bundle.classes)),
        ("outputs", config.network.outputs, bundle.manifest.network.outputs),
    ):
        if mine != theirs:
            raise UsageError(
                f"The {what} of the configuration are {mine}, those of the teacher {bundle.name} {theirs}.",
                remedy="Take over the teacher's, or leave the teacher out.",
            )
    if config.network.temporal is not None and not bundle.takes_series:
        raise UsageError(
            f"The teacher {bundle.name} takes single images, the network to be trained series.",
            remedy="Name a teacher of series, or leave it out: the running average of the weights teaches then.",
        )
    if not fits_second_look(config.crop_px, bundle.manifest.stride_px):
        raise UsageError(
            f"The teacher {bundle.name} does not take crops of {config.crop_px} px one and a half times as large.",
            remedy=f"Give a crop_px in multiples of {2 * bundle.manifest.stride_px}.",
        )
    return bundle.network().eval().requires_grad_(False)


def _computes_in_bf16(device: torch.device) -> bool:
    """Whether it has instructions for it; without them it would be emulated, which is slower than float32."""
    if device.type == "cpu":
        # Older versions of torch do not say.
        able: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
        return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    return torch.cuda.is_bf16_supported(including_emulation=False)


def _optimiser(network: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """AdamW; the encoder's parameters have a rate of their own, and with ``new_rate`` those of the new layers."""
    new = _NEW_LAYERS if config.new_rate is not None else ()
    rates = {"encoder": config.encoder_rate, "rest": config.decoder_rate, "new": config.new_rate}
    parameters: dict[str, list[nn.Parameter]] = {group: [] for group in rates}
    for name, parameter in network.named_parameters():
        path = name.removeprefix("unet.")
        group = "encoder" if path.startswith("encoder.") else "new" if path.startswith(new) else "rest"
        parameters[group].append(parameter)
    groups = [
        {"params": parameters[group], "peak": rate} for group, rate in rates.items() if parameters[group]
    ]
    return torch.optim.AdamW(groups, lr=config.decoder_rate, weight_decay=config.weight_decay)


def _set_mode(network: nn.Module, *, frozen_norms: bool) -> None:
    network.train()
    if frozen_norms:
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
