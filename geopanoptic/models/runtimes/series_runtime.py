"""A network of series at work: sums over dates for every tile, and at the end their probabilities.

However many dates there are, a batch holds the sums, one date's share of them and the date itself. A date that
shows nothing of a tile, or nothing that the decoder looks at, is not computed: its share would be zero.
Sums begin as zero plus the first share, so that they never are minus zero and no bit tells whether that was done.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import torch

from geopanoptic.errors import ModelError
from geopanoptic.models.networks.margins import kept_margins_px
from geopanoptic.models.networks.series import encoded_days
from geopanoptic.models.runtimes.runtime import DatedTiles, Floats, Runtime, Take, release_of

if TYPE_CHECKING:
    from geopanoptic.models.runtimes.device_layers import Layers, Quantisation

Sums = Sequence[Any]
"""Arrays of numpy or, on a device, of torch: what ``CompactReader`` gives and ``CompactSeasonDecoder`` takes."""


class Halves(Protocol):
    """Both halves of a network of series; on the CPU called from several threads at once, one tile each."""

    def read(self, input_bchw: Floats, day_bchw: Floats) -> Sums:
        """As ``CompactReader``. What is returned may change with the thread's next call."""

    def decode(self, totals: Sums) -> tuple[Floats, Floats]:
        """As ``CompactSeasonDecoder``; valid until the thread's next call."""


@runtime_checkable
class QuantisesSums(Protocol):
    """Halves whose probabilities can be quantised where they are computed."""

    def quantised(
        self, of_views: Sequence[Sums], mirrors: Sequence[tuple[int, ...]], quantisation: Quantisation
    ) -> Layers | None:
        """As ``QuantisesTiles``, of the sums of every view."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesRuntime(Runtime):
    """A network of series."""

    halves: Halves
    harmonics: int

    def release(self) -> None:
        release_of(self.halves)

    def each_over(
        self, dates: Iterable[DatedTiles], take: Take, quantisation: Quantisation | None = None
    ) -> None:
        shape: tuple[int, ...] | None = None
        totals: dict[tuple[int, int], Sums] = {}
        for input_bchw, day in dates:
            if shape is None:
                shape = input_bchw.shape
                self.check_shape(shape)
            elif shape != input_bchw.shape:
                raise ModelError(
                    f"Tiles of {input_bchw.shape} after tiles of {shape}.",
                    remedy="Give the same tiles on every date.",
                )
            self._add(totals, input_bchw, day)
        if shape is None:
            raise ModelError(
                f"Model {self.bundle.name} was given no date.", remedy="Give it one date or more."
            )
        self.side_by_side(lambda part: self._decode(totals, part, take, quantisation), shape[0])

    def _add(self, totals: dict[tuple[int, int], Sums], input_bchw: Floats, day: float) -> None:
        day_bchw = encoded_days(torch.tensor([day], dtype=torch.float32), self.harmonics)[..., None, None]
        encoded = day_bchw.numpy()

        def add(part: slice) -> None:
            begun = (part.start, 0) in totals
            tiles = self.read_of(input_bchw, part)
            if begun and not self._shows_anything(tiles):
                return
            for view, axes in enumerate(self.bundle.mirrors):
                shares = self.halves.read(np.ascontiguousarray(np.flip(tiles, axes)), encoded)
                if begun:
                    for total, share in zip(totals[part.start, view], shares, strict=True):
                        total += share
                else:
                    totals[part.start, view] = [share + 0.0 for share in shares]

        self.side_by_side(add, len(input_bchw))

    def _shows_anything(self, tiles_bchw: Floats) -> bool:
        """Whether a flag is set where the decoder looks."""
        stride_px = self.bundle.stride_px
        kept = kept_margins_px(stride_px.bit_length() - 1, self.margin_px)[-1]
        crop = self.margin_px - kept * stride_px
        rows, cols = (slice(crop, length - crop) for length in tiles_bchw.shape[2:])
        flags = [place for place, channel in enumerate(self.channels) if channel >= len(self.bundle.bands)]
        return any(tiles_bchw[:, flag, rows, cols].any() for flag in flags)

    def _decode(
        self,
        totals: dict[tuple[int, int], Sums],
        part: slice,
        take: Take,
        quantisation: Quantisation | None,
    ) -> None:
        of_views = (totals.pop((part.start, view)) for view in range(self.bundle.views))
        if quantisation is not None and self.on_gpu and isinstance(self.halves, QuantisesSums):
            self.hand_on_layers(
                part, self.halves.quantised(list(of_views), self.bundle.mirrors, quantisation), take
            )
            return
        self.hand_on(part, self.mean_of_views(lambda _: self.halves.decode(next(of_views))), take)
