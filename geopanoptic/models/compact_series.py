"""``PanopticUNetSeries`` for inference, cut in two: what is done for every date, and what is done once.

Exact but for rounding, on top of what ``compact`` does:

- A head's keys are only ever multiplied by its query: both are one convolution, from maps to scores.
- What depends on the day alone is a 1 x 1 convolution of its encoding: a handful of values a date.
- Sums over dates are kept where the decoder looks at them, not within the tile's margin.
- Weights of heads become weights of channels by a convolution of zeros and ones, which every runtime has and
  which changes no bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from geopanoptic.models.compact import (
    CompactDecoder,
    CompactEncoder,
    convolution_of,
    cropped,
    fold_normalisation,
    kept_margins_px,
)
from geopanoptic.models.series import LEAST_WEIGHT, SCORE_LIMIT, SPREAD_FLOOR, PanopticUNetSeries

SUMS = ("values", "squares", "weights")
"""What is summed over dates at every level: weighted maps, weighted squares of maps, weights of heads."""


class CompactReader(nn.Module):
    """A date's share of the sums over dates.

    Input ``(B, n_inputs, H, W)`` float32 as ``CompactUNet`` takes it, and the ``encoded_days`` of its date,
    ``(B, n_days, 1, 1)``.

    Output: the ``SUMS`` of every level, finest first, with ``n_outputs`` channels; a level is half as fine as
    the one before and has the margins of ``kept_margins_px``.
    """

    def __init__(
        self, network: PanopticUNetSeries, *, bands: Sequence[int] | None = None, margin_px: int = 0
    ) -> None:
        super().__init__()
        unet, widths = network.unet, network.unet.widths
        depth = len(widths) - 1
        kept_px = kept_margins_px(depth, margin_px)
        # Scores are interpolated: they are needed a pixel farther.
        self.more_px = 1 if margin_px else 0
        self.encoder = CompactEncoder(
            unet, bands=bands, margin_px=margin_px, kept_px=[*kept_px[:-1], kept_px[-1] + self.more_px]
        )
        self.n_inputs, self.n_days = self.encoder.n_inputs, network.seasons.in_features
        self.n_levels = len(widths)
        self.n_outputs = [n for width in widths for n in (width, width, network.heads)]
        self.first_flag = unet.n_bands if bands is None else len(bands)
        kernels, biases = network.seasons.weight[..., None, None].chunk(2), network.seasons.bias.chunk(2)
        self.seasons = nn.ModuleList(map(_Season, *(each.split(widths) for each in (*kernels, *biases))))
        queries = network.queries * (network.queries.shape[1] ** -0.5 / SCORE_LIMIT)
        keys, values = network.keys, cast(Sequence[nn.Conv2d], network.values)
        kernel, bias = (each.unflatten(0, queries.shape) for each in _of(keys))
        self.scores = _OfMapAndDay(
            torch.einsum("gk,gkduv->gduv", queries, kernel), (queries * bias).sum(1), widths[-1]
        )
        self.value = _OfMapAndDay(*_of(values[0]), widths[-1])
        self.values = values[2]
        self.shares = nn.ModuleList(
            _Share(
                heads=network.heads,
                width=width,
                level=level,
                factor=2 ** (depth - level),
                crop_seen_px=margin_px - (kept_px[level] << level),
                crop_scores_px=((kept_px[-1] + self.more_px) << (depth - level)) - kept_px[level],
            )
            for level, width in enumerate(widths)
        )

    def forward(self, input_bchw: Tensor, day_bchw: Tensor) -> list[Tensor]:
        return self.shares_of(self.encoder(input_bchw), input_bchw, day_bchw)

    def shares_of(self, maps: Sequence[Tensor], input_bchw: Tensor, day_bchw: Tensor) -> list[Tensor]:
        """What follows the encoder: differences of squares, so in float32 whatever the encoder computes in."""
        maps = [season(values, day_bchw) for season, values in zip(self.seasons, maps, strict=True)]
        scores = SCORE_LIMIT * self.scores(maps[-1], day_bchw).tanh()
        coarsest = cropped(maps[-1], self.more_px)
        maps[-1] = coarsest + self.values(self.value(coarsest, day_bchw).relu())
        seen = input_bchw[:, self.first_flag :]
        if self.n_inputs - self.first_flag > 1:
            seen = seen.amax(1, keepdim=True)
        shares = [share(values, scores, seen) for share, values in zip(self.shares, maps, strict=True)]
        return [each for share in shares for each in share]


class CompactSeasonDecoder(nn.Module):
    """Probabilities, in the order of ``HEADS``, of the sums over dates of what ``CompactReader`` gives.

    ``whole``: of tiles without margins.
    """

    def __init__(self, network: PanopticUNetSeries, *, whole: bool) -> None:
        super().__init__()
        widths = network.unet.widths
        self.decoder = CompactDecoder(network.unet, whole=whole)
        self.n_levels = len(widths)
        self.n_inputs = [n for width in widths for n in (width, width, network.heads)]
        self.n_outputs = self.decoder.n_outputs
        self.summaries = network.summaries
        self.expansions = nn.ModuleList(_expansion(network.heads, width) for width in widths)

    def forward(self, totals: Sequence[Tensor]) -> Tensor:
        return self.decoder(self.maps_of(totals))

    def maps_of(self, totals: Sequence[Tensor]) -> list[Tensor]:
        """What comes before the decoder, in float32 likewise."""
        maps = []
        for level, (summary, expansion) in enumerate(zip(self.summaries, self.expansions, strict=True)):
            values, squares, weights = totals[3 * level : 3 * level + 3]
            weights = expansion(weights.clamp(min=LEAST_WEIGHT))
            mean = values / weights
            variance = (squares / weights - mean * mean).clamp(min=0.0)
            spread = (variance + SPREAD_FLOOR**2).sqrt() - SPREAD_FLOOR
            maps.append(summary(torch.cat([mean, spread], dim=1)))
        return maps


class CompactSeason(nn.Module):
    """Both halves in one, of all dates of one place at once: memory grows with them. For export.

    Input ``(T, n_inputs, H, W)`` and ``(T, n_days, 1, 1)`` float32, see ``CompactReader``; output ``(1, ...)``.
    """

    def __init__(self, reader: CompactReader, decoder: CompactSeasonDecoder) -> None:
        super().__init__()
        self.reader, self.decoder = reader, decoder
        self.n_inputs, self.n_days, self.n_outputs = reader.n_inputs, reader.n_days, decoder.n_outputs

    def forward(self, input_tchw: Tensor, day_tchw: Tensor) -> Tensor:
        return self.decoder([share.sum(0, keepdim=True) for share in self.reader(input_tchw, day_tchw)])


def compact_series(
    network: PanopticUNetSeries, *, bands: Sequence[int] | None = None, margin_px: int = 0
) -> tuple[CompactReader, CompactSeasonDecoder]:
    """Both halves of ``network``, which is changed and of no use afterwards."""
    with torch.no_grad():
        fold_normalisation(network)
        decoder = CompactSeasonDecoder(network, whole=margin_px == 0)
        reader = CompactReader(network, bands=bands, margin_px=margin_px)
        return reader.eval().requires_grad_(False), decoder.eval().requires_grad_(False)


class _Season(nn.Module):
    """A map times a factor and plus a shift per channel, both of the day; without training 1 and 0."""

    def __init__(self, factors: Tensor, shifts: Tensor, factor_bias: Tensor, shift_bias: Tensor) -> None:
        super().__init__()
        self.factor, self.shift = convolution_of(factors, factor_bias + 1), convolution_of(shifts, shift_bias)

    def forward(self, values_bchw: Tensor, day_bchw: Tensor) -> Tensor:
        return values_bchw * self.factor(day_bchw) + self.shift(day_bchw)


class _OfMapAndDay(nn.Module):
    """A 1 x 1 convolution of a map and the day's encoding below it, which need not be spread over the map."""

    def __init__(self, kernel: Tensor, bias: Tensor, n_map: int) -> None:
        super().__init__()
        self.of_map = convolution_of(kernel[:, :n_map], None)
        self.of_day = convolution_of(kernel[:, n_map:], bias)

    def forward(self, values_bchw: Tensor, day_bchw: Tensor) -> Tensor:
        return self.of_map(values_bchw) + self.of_day(day_bchw)


class _Share(nn.Module):
    """The ``SUMS`` of one level of one date; scores are ``factor`` times coarser than it."""

    def __init__(
        self, *, heads: int, width: int, level: int, factor: int, crop_seen_px: int, crop_scores_px: int
    ) -> None:
        super().__init__()
        self.expansion = _expansion(heads, width)
        self.level, self.crop_seen_px = level, crop_seen_px
        self.finer: nn.Module = nn.Identity()
        if factor > 1:
            self.finer = nn.Upsample(scale_factor=float(factor), mode="bilinear", align_corners=False)
        # Interpolation looks at one coarse pixel beyond.
        self.crop_coarse_px = max(crop_scores_px // factor - 1, 0)
        self.crop_fine_px = crop_scores_px - self.crop_coarse_px * factor

    def forward(self, values: Tensor, scores: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        scores = self.finer(cropped(scores, self.crop_coarse_px))
        seen = cropped(seen, self.crop_seen_px)
        if self.level:
            seen = nn.functional.avg_pool2d(seen, 2**self.level)
        weights = cropped(scores, self.crop_fine_px).exp() * seen
        weighted = values * self.expansion(weights)
        return weighted, weighted * values, weights


def _of(layer: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Kernel and bias."""
    return layer.weight, layer.weight.new_zeros(layer.out_channels) if layer.bias is None else layer.bias


def _expansion(heads: int, width: int) -> nn.Conv2d:
    """Weights of heads as weights of channels: every head has its group of neighbouring channels."""
    return convolution_of(torch.eye(heads).repeat_interleave(width // heads, dim=0)[..., None, None], None)
