"""Which kind a parcel is, told by when it is green.

The U-Net's maps serve borders, which are the same all year; a crop is told by its season. So every pixel's season is
kept beside them: its mean reflectance in each part of the year, parts that overlap, so that a gap is filled by the
nearest dates, and how much was seen in it. Such composites are what crop maps of large areas are made from (Griffiths
et al., 2019); three small layers name the kind. Where parcels are is left to the U-Net: the kinds share out its
probability of a parcel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from geopanoptic.models.manifest import KIND_PARTS, KINDS_COARSER

SHARPNESS = 4.0
"""Of a part of the year: a date a month from its middle counts 0.6, one three months away 0.02."""
LEAST_SEEN = 1e-6
_ONCE_SEEN = 100.0


class SeasonKinds(nn.Module):
    """Logits of ``n_kinds`` kinds from sums over dates, at ``1 / KINDS_COARSER`` of the input's resolution."""

    parts: Tensor

    def __init__(self, *, n_kinds: int, n_channels: int, n_bands: int, harmonics: int) -> None:
        super().__init__()
        self.n_kinds, self.n_bands = n_kinds, n_bands
        self.register_buffer("parts", _parts(harmonics), persistent=False)
        self.season = nn.Sequential(
            nn.Conv2d(KIND_PARTS * (n_bands + 1) + n_bands, 2 * n_channels, 1),
            nn.ReLU(),
            nn.Conv2d(2 * n_channels, n_channels, 1),
            nn.ReLU(),
            nn.Conv2d(n_channels, n_kinds, 1),
        )

    def read(self, standardised_bchw: Tensor, day_bchw: Tensor, seen_bchw: Tensor) -> Tensor:
        """One date's share of the sums, ``(B, KIND_PARTS * (n_bands + 1) + n_bands, H / 2, W / 2)``.

        ``standardised_bchw`` are the bands and flags that the U-Net's encoder takes, ``day_bchw`` the encoded day
        ``(B, n_days, 1, 1)``, ``seen_bchw`` 1 where any flag is.
        """
        coarse = nn.functional.avg_pool2d(standardised_bchw, KINDS_COARSER)
        seen = nn.functional.avg_pool2d(seen_bchw, KINDS_COARSER)
        bands, flags = coarse.split(self.n_bands, dim=1)
        weights = weights_of_parts(nn.functional.conv2d(day_bchw, self.parts))
        return torch.cat([by_part(bands, weights), seen * weights, flags], dim=1)

    def describe(self, total_bchw: Tensor) -> Tensor:
        """What ``season`` takes, of the sum of what ``read`` gave for every date."""
        sizes = (KIND_PARTS * self.n_bands, KIND_PARTS, self.n_bands)
        values, weights, flags = total_bchw.split(sizes, dim=1)
        return described(values, weights, flags, self.n_bands)

    def decode(self, total_bchw: Tensor) -> Tensor:
        """Logits ``(B, n_kinds, H / 2, W / 2)`` of the sum of what ``read`` gave for every date."""
        logits: Tensor = self.season(self.describe(total_bchw))
        return logits

    def first_kernel_of(self, bands: Sequence[int] | None) -> Tensor:
        """The first layer's kernel where only ``bands`` are there, sharing one flag; None: all, each with its own."""
        kernel = cast(nn.Conv2d, self.season[0]).weight
        if bands is None:
            return kernel
        means, weights, flags = kernel.split((KIND_PARTS * self.n_bands, KIND_PARTS, self.n_bands), dim=1)
        kept = means.unflatten(1, (KIND_PARTS, self.n_bands))[:, :, list(bands)].flatten(1, 2)
        return torch.cat([kept, weights, flags[:, list(bands)].sum(1, keepdim=True)], dim=1)


def weights_of_parts(nearness_bchw: Tensor) -> Tensor:
    """How much a day counts in every part of the year, of the cosine of its distance; little where unknown."""
    return (SHARPNESS * (nearness_bchw - 1.0)).exp()


def by_part(values_bchw: Tensor, weights_bp11: Tensor) -> Tensor:
    """The values times every part's weight, one part after the other."""
    return torch.cat([values_bchw * weights_bp11[:, part : part + 1] for part in range(KIND_PARTS)], dim=1)


def described(values: Tensor, weights: Tensor, flags: Tensor, n_bands: int) -> Tensor:
    """Sums over dates as means of every part, how well each was seen, and which bands there were at all."""
    seen = weights.clamp(min=LEAST_SEEN)
    means = [
        values[:, part * n_bands : (part + 1) * n_bands] / seen[:, part : part + 1]
        for part in range(KIND_PARTS)
    ]
    return torch.cat([*means, weights.tanh(), (_ONCE_SEEN * flags).tanh()], dim=1)


def share_out(semantic_bchw: Tensor, kinds_bchw: Tensor) -> Tensor:
    """Semantic logits whose first channels, together as likely as before, are as likely as the kinds say.

    ``kinds_bchw`` may be coarser by a whole number.
    """
    n_kinds = kinds_bchw.shape[1]
    factor = semantic_bchw.shape[2] // kinds_bchw.shape[2]
    kinds = nn.functional.interpolate(kinds_bchw.log_softmax(dim=1), scale_factor=float(factor))
    parcel = semantic_bchw[:, :n_kinds].logsumexp(dim=1, keepdim=True)
    return torch.cat([parcel + kinds, semantic_bchw[:, n_kinds:]], dim=1)


def _parts(harmonics: int) -> Tensor:
    """Kernel (KIND_PARTS, 2 * harmonics + 1, 1, 1): of an encoded day the cosine of its distance to each part."""
    kernel = torch.zeros(KIND_PARTS, 2 * harmonics + 1, 1, 1)
    middle = torch.arange(KIND_PARTS) * (2 * math.pi / KIND_PARTS)
    kernel[:, 0, 0, 0], kernel[:, harmonics, 0, 0] = middle.sin(), middle.cos()
    return kernel
