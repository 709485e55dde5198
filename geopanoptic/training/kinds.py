"""Fit what tells kinds of parcels by their season, and put it into a checkpoint of the network it belongs to.

``python -m geopanoptic.training.kinds RUN/last.safetensors configs/series-bundle.yaml --out RUN/kinds.safetensors``

The layers of ``SeasonKinds`` look at single pixels, so they need pixels, not crops: a few of every parcel, drawn,
weathered and augmented as training does. Describing these once and going over them several times takes minutes where
training the same layers along with the U-Net takes hours. A parcel's kind and how sure it is are means over its pixels,
so that mean is what is fitted. The U-Net and all that it draws stay as they are.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from geopanoptic.errors import GeopanopticError, UsageError
from geopanoptic.models.manifest import KINDS_COARSER
from geopanoptic.models.networks import building
from geopanoptic.models.networks.season_kinds import SeasonKinds
from geopanoptic.models.networks.series import PanopticUNetSeries, encoded_days
from geopanoptic.training.config import TrainingConfig, read_config
from geopanoptic.training.datasets.mixture import Mixture
from geopanoptic.training.datasets.settings import SeasonPoolData
from geopanoptic.training.learning.batch import Batch
from geopanoptic.training.learning.checkpoint import save_averaged
from geopanoptic.training.learning.feed import Feed
from geopanoptic.training.learning.start import averaged_weights, fitting
from geopanoptic.training.patches.patch import OUTPUT_SCALE

NUMBERS_OF_DATES = (1, 2, 3, 4, 6, 8, 10, 12)
PARCELS_PER_CROP, PIXELS_PER_PARCEL = 6, 8
_EPOCHS, _PER_STEP, _RATE, _WEIGHT_DECAY = 12, 128, 2e-3, 1e-2
_LEAST = 1e-6
_STEP = KINDS_COARSER * OUTPUT_SCALE  # output pixels to a coarse one
_PREFIX = "kinds."


def fit_kinds(config: TrainingConfig, weights: dict[str, Tensor], *, batches: int) -> dict[str, Tensor]:
    """``weights`` of the configured network with new ones for its ``SeasonKinds``.

    Those of the kinds may be missing. Raises ``UsageError`` where the network has no such layers, the weights are
    of another one, or no sample of the configuration knows kinds.
    """
    torch.manual_seed(config.seed)
    network = building.build_network(config.network, n_bands=len(config.bands), n_classes=len(config.classes))
    if not isinstance(network, PanopticUNetSeries) or network.kinds is None:
        raise UsageError(
            "The configuration's network tells no kinds by their season.",
            remedy="Set network.temporal.kinds to the number of its thing classes.",
        )
    begun = {name: values for name, values in network.state_dict().items() if name.startswith(_PREFIX)}
    network.load_state_dict(fitting(begun | weights, network, "The checkpoint"))
    fit(network.kinds, *gather_seasons(network, network.kinds, feed_of(config), batches))
    return network.state_dict()


@torch.no_grad()
def gather_seasons(
    network: PanopticUNetSeries, kinds: SeasonKinds, feed: Feed, batches: int
) -> tuple[Tensor, Tensor]:
    """Described seasons (n, PIXELS_PER_PARCEL, n_described) of pixels of n parcels, and the kinds' numbers (n,)."""
    described, labels = [], []
    numbered = feed.batches(0)
    for _ in range(batches):
        batch = next(numbered)
        seasons_bnc = _seasons_of(network, kinds, batch).flatten(2).transpose(1, 2)
        middle = np.s_[:, _STEP // 2 :: _STEP, _STEP // 2 :: _STEP]
        parcels_bn = batch.targets.instance_bhw[middle].flatten(1)
        kinds_bn = batch.targets.class_bhw[middle].flatten(1)
        parcels_bn = torch.where(kinds_bn < kinds.n_kinds, parcels_bn, -1)
        for season_nc, parcel_n, kind_n in zip(seasons_bnc, parcels_bn, kinds_bn, strict=True):
            known = parcel_n[parcel_n > 0].unique()
            for parcel in known[torch.randperm(len(known))[:PARCELS_PER_CROP]]:
                inside = (parcel_n == parcel).nonzero()[:, 0]
                chosen = inside[torch.randint(len(inside), (PIXELS_PER_PARCEL,))]
                described.append(season_nc[chosen])
                labels.append(kind_n[chosen[0]])
    numbered.close()
    if not labels:
        raise UsageError(
            "No sample knows the kind of a parcel.",
            remedy="Name samples of seasons with labelled kinds (training.samples.season_pool).",
        )
    return torch.stack(described), torch.stack(labels)


def fit(kinds: SeasonKinds, described: Tensor, labels: Tensor) -> None:
    """Fit the layers, from where they are, by the log likelihood of parcels; a cosine over ``_EPOCHS`` passes."""
    optimiser = torch.optim.AdamW(kinds.parameters(), lr=_RATE, weight_decay=_WEIGHT_DECAY)
    steps_per_pass = math.ceil(len(labels) / _PER_STEP)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, _EPOCHS * steps_per_pass)
    for _ in range(_EPOCHS):
        for chosen in torch.randperm(len(labels)).split(_PER_STEP):
            logits = kinds.season(described[chosen].flatten(0, 1)[..., None, None])
            of_parcels = logits.softmax(1).unflatten(0, (len(chosen), -1)).mean(1)[..., 0, 0]
            optimiser.zero_grad()
            nn.functional.nll_loss((of_parcels + _LEAST).log(), labels[chosen]).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()


def _seasons_of(network: PanopticUNetSeries, kinds: SeasonKinds, batch: Batch) -> Tensor:
    """(B, n_described, h, w): every coarse pixel's season as the network sees it."""
    input_bchw, n_dates = batch.input_btchw.flatten(0, 1), batch.input_btchw.shape[1]
    days = encoded_days(batch.day_bt.flatten(), network.harmonics)[..., None, None]
    seen = input_bchw[:, network.n_bands :].amax(1, keepdim=True)
    shares = kinds.read(network.unet.standardised(input_bchw), days, seen)
    return kinds.describe(shares.unflatten(0, (-1, n_dates)).sum(1))


def feed_of(config: TrainingConfig) -> Feed:
    """Batches of the configuration's seasons, on up to as many dates as a user may have."""
    data = [each for each in config.data if isinstance(each, SeasonPoolData)]
    return Feed(
        source=Mixture.open(data, bands=config.bands, classes=config.classes),
        augmentation=config.augmentation,
        crop_px=config.crop_px,
        batch=config.batch,
        seed=config.seed,
        part=slice(None),
        season=config.season.model_copy(update={"dates": NUMBERS_OF_DATES}),
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m geopanoptic.training.kinds", description="Fit what tells kinds by their season."
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("config", type=Path, help="the configuration of its network, with temporal.kinds")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    parser.add_argument("--batches", type=int, default=1500, help="batches of crops to draw pixels from")
    asked = parser.parse_args()
    try:
        weights = averaged_weights(asked.checkpoint)
        fitted = fit_kinds(read_config(asked.config), weights, batches=asked.batches)
    except GeopanopticError as error:
        print(f"{error.message}\n{error.remedy}", file=sys.stderr)
        return error.exit_code
    save_averaged(asked.out, fitted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
