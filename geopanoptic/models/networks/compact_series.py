"""``PanopticUNetSeries`` for inference, cut in two: what is done for every date, and what is done once.

Exact but for rounding, on top of what ``compact`` does:

- A head's keys are only ever multiplied by its query: both are one convolution, from maps to scores.
- What depends on the day alone is a 1 x 1 convolution of its encoding: a handful of values a date.
- Sums over dates are kept where the decoder looks at them, not within the tile's margin.
- Weights of heads become weights of channels by a convolution of zeros and ones, which every runtime has and
  which changes no bit.
- Kinds are read and told of the tile's core, and as far beyond as outputs reach: they have no neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from geopanoptic.models.manifest import KIND_PARTS, KINDS_COARSER
from geopanoptic.models.networks.compact import (
    CompactDecoder,
    CompactEncoder,
    convolution_of,
    cropped,
    fold_normalisation,
    mean_of_views,
)
from geopanoptic.models.networks.margins import kept_margins_px, surplus_px
from geopanoptic.models.networks.season_kinds import SeasonKinds, by_part, described, weights_of_parts
from geopanoptic.models.networks.series import LEAST_WEIGHT, SCORE_LIMIT, SPREAD_FLOOR, PanopticUNetSeries
from geopanoptic.models.networks.unet import BAND_MEAN, BAND_STD

SUMS = ("values", "squares", "weights")
"""What is summed over dates at every level: weighted maps, weighted squares of maps, weights of heads."""
KIND_SUMS = ("kind_values", "kind_weights", "kind_flags")
"""What is summed over dates for the kinds of parcels, where the network has ``SeasonKinds``."""


class CompactReader(nn.Module):
    """A date's share of the sums over dates.

    Input ``(B, n_inputs, H, W)`` float32 as ``CompactUNet`` takes it, and the ``encoded_days`` of its date,
    ``(B, n_days, 1, 1)``.

    Output: the ``SUMS`` of every level, finest first, with ``n_outputs`` channels; a level is half as fine as
    the one before and has the margins of ``kept_margins_px``. Then the ``KIND_SUMS``, as far as outputs reach.
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
        self.sums = _names(network)
        self.n_outputs = _channels(network, bands)
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
        self.kinds = None
        if network.kinds is not None:
            # Whole coarse pixels, as many as outputs reach into.
            surplus = surplus_px(margin_px, fine_convolution=unet.fine_convolution)
            around = -(-surplus // (KINDS_COARSER * network.output_scale))
            crop_px = margin_px - around * KINDS_COARSER
            self.kinds = _KindsReader(network.kinds, n_bands=self.first_flag, crop_px=crop_px)

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
        if self.kinds is not None:
            shares.append(self.kinds(input_bchw, day_bchw, seen))
        return [each for share in shares for each in share]


class CompactSeasonDecoder(nn.Module):
    """What ``CompactDecoder`` gives of the sums over dates of what ``CompactReader`` gives, of tiles with ``margin_px``."""

    def __init__(
        self, network: PanopticUNetSeries, *, margin_px: int, bands: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        widths = network.unet.widths
        self.decoder = CompactDecoder(network.unet, margin_px=margin_px)
        self.sums = _names(network)
        self.n_inputs = _channels(network, bands)
        self.n_outputs = self.decoder.n_outputs
        self.summaries = network.summaries
        self.expansions = nn.ModuleList(_expansion(network.heads, width) for width in widths)
        self.kinds = None
        if network.kinds is not None:
            scale = KINDS_COARSER * network.output_scale
            self.kinds = _KindsDecoder(
                network.kinds, bands=bands, scale=scale, surplus_px=self.decoder.surplus_px
            )

    def forward(self, totals: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        return self.with_kinds(self.decoder(self.maps_of(totals)), totals)

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

    def with_kinds(self, outputs: Sequence[Tensor], totals: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """What comes after the decoder, in float32 likewise."""
        classes, others = outputs[0], outputs[1]
        return classes if self.kinds is None else self.kinds(classes, *totals[-3:]), others


class CompactSeason(nn.Module):
    """Both halves in one, of all dates of one place at once: memory grows with them. For export.

    Input ``(T, n_inputs, H, W)`` and ``(T, n_days, 1, 1)`` float32, see ``CompactReader``; output as of
    ``CompactImage``, B being 1.
    """

    def __init__(
        self, reader: CompactReader, decoder: CompactSeasonDecoder, mirrors: Sequence[tuple[int, ...]]
    ) -> None:
        super().__init__()
        self.reader, self.decoder, self.mirrors = reader, decoder, tuple(mirrors)
        self.n_inputs, self.n_days, self.n_outputs = reader.n_inputs, reader.n_days, sum(decoder.n_outputs)

    def forward(self, input_tchw: Tensor, day_tchw: Tensor) -> Tensor:
        return mean_of_views(lambda tiles: self._of_view(tiles, day_tchw), input_tchw, self.mirrors)

    def _of_view(self, input_tchw: Tensor, day_tchw: Tensor) -> Tensor:
        sums = [share.sum(0, keepdim=True) for share in self.reader(input_tchw, day_tchw)]
        return torch.cat(self.decoder(sums), dim=1)


def compact_series(
    network: PanopticUNetSeries, *, bands: Sequence[int] | None = None, margin_px: int = 0
) -> tuple[CompactReader, CompactSeasonDecoder]:
    """Both halves of ``network``, which is changed and of no use afterwards."""
    with torch.no_grad():
        fold_normalisation(network)
        decoder = CompactSeasonDecoder(network, margin_px=margin_px, bands=bands)
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


class _KindsReader(nn.Module):
    """The ``KIND_SUMS`` of one date."""

    def __init__(self, kinds: SeasonKinds, *, n_bands: int, crop_px: int) -> None:
        super().__init__()
        self.nearness = convolution_of(kinds.parts, None)
        self.n_bands, self.crop_px = n_bands, crop_px

    def forward(self, input_bchw: Tensor, day_bchw: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        coarse = nn.functional.avg_pool2d(cropped(input_bchw, self.crop_px), KINDS_COARSER)
        seen = nn.functional.avg_pool2d(cropped(seen, self.crop_px), KINDS_COARSER)
        flags = coarse[:, self.n_bands :]
        bands = (coarse[:, : self.n_bands] - BAND_MEAN * flags) * (1 / BAND_STD)
        weights = weights_of_parts(self.nearness(day_bchw))
        return by_part(bands, weights), seen * weights, flags


class _KindsDecoder(nn.Module):
    """Probabilities of classes of which the first, the kinds', are shared out anew as the ``KIND_SUMS`` say."""

    def __init__(
        self, kinds: SeasonKinds, *, bands: Sequence[int] | None, scale: int, surplus_px: int
    ) -> None:
        super().__init__()
        self.crop_px = -surplus_px % scale
        first, *others = cast(Sequence[nn.Conv2d], kinds.season)
        self.season = nn.Sequential(convolution_of(kinds.first_kernel_of(bands), _of(first)[1]), *others)
        self.n_kinds, self.n_bands = kinds.n_kinds, kinds.n_bands if bands is None else len(bands)
        self.finer = nn.Upsample(scale_factor=float(scale), mode="nearest")

    def forward(self, classes: Tensor, values: Tensor, weights: Tensor, flags: Tensor) -> Tensor:
        kinds = self.season(described(values, weights, flags, self.n_bands)).softmax(dim=1)
        parcel = classes[:, : self.n_kinds].sum(1, keepdim=True)
        fine = cropped(self.finer(kinds), self.crop_px)
        return torch.cat([parcel * fine, classes[:, self.n_kinds :]], dim=1)


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


def _names(network: PanopticUNetSeries) -> tuple[str, ...]:
    """Names of the sums over dates: ``values_0``, ``squares_0``, ``weights_0``, ``values_1`` ..."""
    of_levels = (f"{kind}_{level}" for level in range(len(network.unet.widths)) for kind in SUMS)
    return (*of_levels, *(() if network.kinds is None else KIND_SUMS))


def _channels(network: PanopticUNetSeries, bands: Sequence[int] | None) -> list[int]:
    """Of every sum over dates."""
    of_levels = [n for width in network.unet.widths for n in (width, width, network.heads)]
    if network.kinds is None:
        return of_levels
    n_bands, n_flags = (network.n_bands,) * 2 if bands is None else (len(bands), 1)
    return [*of_levels, KIND_PARTS * n_bands, KIND_PARTS, n_flags]


def _of(layer: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Kernel and bias."""
    return layer.weight, layer.weight.new_zeros(layer.out_channels) if layer.bias is None else layer.bias


def _expansion(heads: int, width: int) -> nn.Conv2d:
    """Weights of heads as weights of channels: every head has its group of neighbouring channels."""
    return convolution_of(torch.eye(heads).repeat_interleave(width // heads, dim=0)[..., None, None], None)
