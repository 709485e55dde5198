"""Which network a bundle's or a configuration's settings describe."""

from __future__ import annotations

from geopanoptic.models.manifest import UNetSettings
from geopanoptic.models.networks.paps import PapsHeads
from geopanoptic.models.networks.series import PanopticUNetSeries
from geopanoptic.models.networks.unet import PanopticUNet


def build_network(
    settings: UNetSettings, *, n_bands: int, n_classes: int
) -> PanopticUNet | PanopticUNetSeries:
    """The network of these settings, untrained: with ``temporal`` a ``PanopticUNetSeries``."""
    unet = {"n_bands": n_bands, "n_classes": n_classes, **settings.model_dump(exclude={"temporal"})}
    if settings.temporal is None:
        return PanopticUNet(**unet)
    return PanopticUNetSeries(**settings.temporal.model_dump(), **unet)


def paps_heads_of(network: PanopticUNet | PanopticUNetSeries) -> PapsHeads:
    """The heads of PaPs that a network has; TypeError where it has others."""
    heads = (network.unet if isinstance(network, PanopticUNetSeries) else network).heads
    if not isinstance(heads, PapsHeads):
        raise TypeError("the network has dense heads")
    return heads
