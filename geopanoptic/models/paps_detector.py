"""A network with the heads of PaPs as a detector: tiles on some dates to parcels, always in torch.

On the CPU a tile is computed by one thread and tiles side by side, so that its bits do not depend on their number.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geopanoptic.errors import ModelError, UsageError
from geopanoptic.grid import Window
from geopanoptic.models.bundle import Bundle
from geopanoptic.models.manifest import channels_of
from geopanoptic.models.networks.building import paps_heads_of
from geopanoptic.models.networks.paps import DrawnParcel, PapsRules, find_parcels
from geopanoptic.models.networks.series import PanopticUNetSeries
from geopanoptic.models.networks.unet import PanopticUNet
from geopanoptic.models.runtimes.loading import resolved_device

DatedTile = tuple[NDArray[np.float32], float]
"""A tile (1, 2 * n_bands, H, W) on one date and its day, 1 to 366 of the northern seasons, NaN where unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PapsDetector:
    """A bundle's network on a device; holds weights, so it is not sent between processes."""

    name: ClassVar[str] = "torch"
    precision: ClassVar[str] = "f32"
    bundle: Bundle
    device: str
    network: PanopticUNet | PanopticUNetSeries
    workers: ThreadPoolExecutor
    rules: PapsRules = field(default_factory=PapsRules)

    @property
    def version(self) -> str:
        return importlib.metadata.version("torch")

    @property
    def things(self) -> tuple[int, ...]:
        """The semantic channels of thing classes."""
        return channels_of(self.bundle.classes, "thing")

    def parcels(self, dates: Iterable[DatedTile], core: Window) -> list[DrawnParcel]:
        """The parcels with a centre in the ``core`` of a tile (output pixels), as ``find_parcels``; without a date
        none. Raises ``ModelError`` for NaN."""
        return self.workers.submit(self._parcels, dates, core).result()

    def outputs(self, dates: Iterable[DatedTile]) -> dict[str, Tensor]:
        """What the heads say of a tile (., H, W), by name; nothing without a date.

        A network of single images looks at the first date only.
        """
        shown = ((torch.from_numpy(tile).to(self.device), day) for tile, day in dates)
        with torch.inference_mode():
            if not isinstance(self.network, PanopticUNetSeries):
                first = next(shown, None)
                found = {} if first is None else self.network(first[0])
            else:
                found = self._of_season(self.network, shown)
        if not all(values.isfinite().all() for values in found.values()):
            raise ModelError(
                f"Model {self.bundle.name} gives NaN for a tile.",
                remedy="Look for extreme values in the scene; if there are none, the weights are damaged.",
            )
        return {name: values[0] for name, values in found.items()}

    def _of_season(
        self, network: PanopticUNetSeries, shown: Iterable[tuple[Tensor, float]]
    ) -> dict[str, Tensor]:
        totals: list[Tensor] = []
        for tile, day in shown:
            shares = network.read(tile, torch.tensor([day], dtype=torch.float32, device=self.device))
            totals = (
                [total + share for total, share in zip(totals, shares, strict=True)] if totals else shares
            )
        return network.decode(totals) if totals else {}

    def _parcels(self, dates: Iterable[DatedTile], core: Window) -> list[DrawnParcel]:
        outputs = self.outputs(dates)
        if not outputs:
            return []
        with torch.inference_mode():
            heads = paps_heads_of(self.network)
            return list(find_parcels(heads, outputs, things=self.things, rules=self.rules, core=core))


def load_detector(
    bundle: Bundle,
    *,
    device: str = "auto",
    threads: int = 1,
    runtime: str = "auto",
    precision: str = "f32",
) -> PapsDetector:
    """A bundle's network as a detector; arguments as for ``load_runtime``, errors too.

    Raises ``UsageError`` for another runtime than torch and another precision than f32.
    """
    if runtime not in ("auto", "torch") or precision == "bf16":
        raise UsageError(
            f"Model {bundle.name} has the heads of PaPs, which torch computes in f32 only, not {runtime} in {precision}.",
            remedy="Leave --runtime and --precision out.",
        )
    target = resolved_device(device)
    return PapsDetector(
        bundle=bundle,
        device=str(target),
        network=bundle.network().to(target),
        workers=ThreadPoolExecutor(
            threads, "geopanoptic-detector", initializer=torch.set_num_threads, initargs=(1,)
        ),
    )
