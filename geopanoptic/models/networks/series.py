"""``PanopticUNetSeries``: a ``PanopticUNet`` that looks at any number of dates.

Every date goes through the same encoder. Per pixel, group of channels and date a weight says how much that
date tells; the maps' weighted mean and spread over the dates are what the decoder sees. The weights come from
the coarsest map and the day of the year, and are brought to the finer maps by bilinear interpolation, after
U-TAE (Garnot & Landrieu, ICCV 2021). As in its lightweight attention (L-TAE, Garnot & Landrieu 2020) the
queries are learned and belong to no date: a date's weight depends on that date alone. Sums over dates are
therefore all that has to be kept, however many dates there are, and nothing depends on their order.

With untrained attention and one date it is the ``PanopticUNet`` it is made of, so training may begin there.
Kinds of parcels may be told apart by ``geopanoptic.models.networks.season_kinds`` instead of its semantic head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from geopanoptic.models.networks.season_kinds import SeasonKinds, share_out
from geopanoptic.models.networks.unet import PanopticUNet

DAYS_PER_YEAR = 365.25

SCORE_LIMIT = 6.0  # sums of float32 bear exponentials up to this without a running maximum
LEAST_WEIGHT = 1e-6
SPREAD_FLOOR = 0.1


class PanopticUNetSeries(nn.Module):
    """Dense panoptic outputs from a season of images.

    Input ``(B, T, 2 * n_bands, H, W)`` float32, every date as ``PanopticUNet`` takes it, and ``day_bt``
    ``(B, T)`` float32: day of the year, 1 to 366, of the northern hemisphere's seasons; NaN where unknown.
    A date counts where any of its flags is 1, so dates without a flag change nothing and may fill a batch up;
    in training mode they would take part in batch normalisation.

    Output: as ``PanopticUNet``. With ``kinds`` above 0 the first so many classes are kinds of parcels, among which
    ``SeasonKinds`` shares out their probability.
    """

    output_scale = PanopticUNet.output_scale

    def __init__(
        self,
        *,
        heads: int = 8,
        key_channels: int = 8,
        harmonics: int = 4,
        kinds: int = 0,
        kind_channels: int = 48,
        **unet: Any,
    ) -> None:
        super().__init__()
        self.unet = PanopticUNet(**unet)
        self.n_bands, self.stride_px = self.unet.n_bands, self.unet.stride_px
        self.heads, self.harmonics = heads, harmonics
        widths = self.unet.widths
        n_day, deepest = 2 * harmonics + 1, widths[-1]
        self.keys = nn.Conv2d(deepest + n_day, heads * key_channels, 1)
        self.queries = nn.Parameter(torch.zeros(heads, key_channels))
        self.values = nn.Sequential(
            nn.Conv2d(deepest + n_day, deepest, 1),
            nn.ReLU(inplace=True),
            _filled(nn.Conv2d(deepest, deepest, 1), torch.zeros(deepest, deepest)),
        )
        self.seasons = _filled(nn.Linear(n_day, 2 * sum(widths)), torch.zeros(2 * sum(widths), n_day))
        # The mean as it is, nothing of the spread.
        self.summaries = nn.ModuleList(
            _filled(nn.Conv2d(2 * width, width, 1), torch.eye(width, 2 * width)) for width in widths
        )
        self.kinds: SeasonKinds | None = None
        if kinds:
            self.kinds = SeasonKinds(
                n_kinds=kinds, n_channels=kind_channels, n_bands=self.n_bands, harmonics=harmonics
            )

    def forward(self, input_btchw: Tensor, day_bt: Tensor) -> dict[str, Tensor]:
        n_batch, n_dates = day_bt.shape
        totals = self.read(input_btchw.flatten(0, 1), day_bt.flatten())
        return self.decode([total.unflatten(0, (n_batch, n_dates)).sum(1) for total in totals])

    def read(self, input_bchw: Tensor, day_b: Tensor) -> list[Tensor]:
        """One date's share of the sums over dates, finest level first.

        Per level n ``(B, 2 * widths[n] + heads, H / 2**n, W / 2**n)``: weighted maps, weighted squares, weights.
        With kinds, at last what ``SeasonKinds`` reads.
        """
        maps = self.unet.encode(input_bchw)
        season = encoded_days(day_b, self.harmonics)
        factors, shifts = self.seasons(season)[..., None, None].chunk(2, dim=1)
        widths = self.unet.widths
        maps = [
            values * (1 + factor) + shift
            for values, factor, shift in zip(
                maps, factors.split(widths, 1), shifts.split(widths, 1), strict=True
            )
        ]
        dated = torch.cat([maps[-1], season[..., None, None].expand(-1, -1, *maps[-1].shape[2:])], dim=1)
        keys = self.keys(dated).unflatten(1, self.queries.shape)
        scores = torch.einsum("bgkhw,gk->bghw", keys, self.queries) * self.queries.shape[1] ** -0.5
        scores = SCORE_LIMIT * torch.tanh(scores / SCORE_LIMIT)
        maps[-1] = maps[-1] + self.values(dated)
        seen = input_bchw[:, self.n_bands :].amax(1, keepdim=True)
        coarsest = len(maps) - 1
        shares = [
            self._share(values, scores, seen, level, 2 ** (coarsest - level))
            for level, values in enumerate(maps)
        ]
        if self.kinds is not None:
            standardised = self.unet.standardised(input_bchw)
            shares.append(self.kinds.read(standardised, season[..., None, None], seen))
        return shares

    def decode(self, totals: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits of the sums of what ``read`` gave for every date."""
        maps = []
        levels = totals if self.kinds is None else totals[:-1]
        for total, width, summary in zip(levels, self.unet.widths, self.summaries, strict=True):
            values, squares, weights = total.split((width, width, self.heads), dim=1)
            weights = self._of_channels(weights.clamp_min(LEAST_WEIGHT), width)
            mean = values / weights
            variance = (squares / weights - mean.square()).clamp_min(0)
            spread = (variance + SPREAD_FLOOR**2).sqrt() - SPREAD_FLOOR
            maps.append(summary(torch.cat([mean, spread], dim=1)))
        logits = self.unet.decode(maps)
        if self.kinds is not None:
            logits["semantic"] = share_out(logits["semantic"], self.kinds.decode(totals[-1]))
        return logits

    def _share(self, values: Tensor, scores: Tensor, seen: Tensor, level: int, factor: int) -> Tensor:
        """Weighted values, squares and weights of one level, ``factor`` times finer than the scores."""
        if factor > 1:
            scores = nn.functional.interpolate(
                scores, scale_factor=float(factor), mode="bilinear", align_corners=False
            )
        weights = scores.exp() * (nn.functional.avg_pool2d(seen, 2**level) if level else seen)
        weighted = values * self._of_channels(weights, values.shape[1])
        return torch.cat([weighted, weighted * values, weights], dim=1)

    def _of_channels(self, weights: Tensor, width: int) -> Tensor:
        """(B, heads, h, w) as (B, width, h, w): every head has its group of neighbouring channels."""
        return weights.repeat_interleave(width // self.heads, dim=1)


Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)


def _filled(layer: Layer, weight: Tensor) -> Layer:
    """The layer with this weight (out, in) and no bias to begin with."""
    with torch.no_grad():
        layer.weight.copy_(weight.reshape(layer.weight.shape))
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # both have one unless told otherwise
    return layer


def encoded_days(day_b: Tensor, harmonics: int) -> Tensor:
    """(B, 2 * harmonics + 1): sine and cosine of the year and its parts, and whether the day is known."""
    known = ~day_b.isnan()
    angle = day_b.nan_to_num(0.0) * (2 * torch.pi / DAYS_PER_YEAR)
    turns = angle[:, None] * torch.arange(1, harmonics + 1, device=day_b.device, dtype=angle.dtype)
    waves = torch.cat([turns.sin(), turns.cos()], dim=1) * known[:, None]
    return torch.cat([waves, known[:, None].to(waves.dtype)], dim=1)
