"""A checkpoint's averaged weights -> a model bundle.

``python -m geopanoptic.training.export RUN/last.safetensors configs/default-bundle.yaml
configs/fields-s.yaml geopanoptic/models/bundled/fields-s``
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from geopanoptic.errors import GeopanopticError, UsageError
from geopanoptic.models.bundle import Bundle, save_bundle
from geopanoptic.models.manifest import UNetSettings
from geopanoptic.models.networks.building import build_network
from geopanoptic.models.networks.reach import measure_reach_px
from geopanoptic.strict import read_yaml
from geopanoptic.training.learning.start import averaged_weights


def export_bundle(
    checkpoint: Path,
    folder: Path,
    *,
    network: UNetSettings,
    described: dict[str, Any],
    card: str | None = None,
    reach_px: int | None = None,
) -> Bundle:
    """Write the bundle into ``folder``; without ``card`` one that lies there stays.

    ``described`` are the fields of the manifest but weights, network, stride and reach. The reach is measured
    unless given. Raises ``ModelError`` for a checkpoint that cannot be read or holds another network.
    """
    built = build_network(network, n_bands=len(described["bands"]), n_classes=len(described["classes"]))
    weights = averaged_weights(checkpoint)
    try:
        built.load_state_dict(weights)
    except RuntimeError as error:
        raise UsageError(
            f"{checkpoint} does not hold the network described: {str(error).splitlines()[1].strip()}",
            remedy="Give the configuration of the run that wrote it.",
        ) from None
    lying = folder / "card.md"
    if card is None:
        card = lying.read_text(encoding="utf-8") if lying.is_file() else f"# {described['title']}\n"
    return save_bundle(
        folder,
        weights=weights,
        card=card,
        network=network,
        stride_px=built.stride_px,
        output_scale=built.output_scale,
        reach_px=reach_px
        or measure_reach_px(
            built, n_channels=2 * built.n_bands, stride_px=built.stride_px, output_scale=built.output_scale
        ),
        **described,
    )


def described_from(parent: Bundle) -> dict[str, Any]:
    """What ``parent`` says of itself beyond weights and network, for a bundle that learned from it."""
    of_files = {"format", "format_version", "weights", "grouping"}
    of_network = {"architecture", "network", "stride_px", "reach_px", "output_scale"}
    return parent.manifest.model_dump(mode="json", exclude=of_files | of_network)


def network_of(config: Path) -> UNetSettings:
    """What a run's YAML file says of the network, whatever else is in it and however old it is."""
    values = read_yaml(config, remedy="Name the configuration of the run.")
    return UNetSettings.model_validate(values.get("network", {}))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m geopanoptic.training.export", description="Turn a checkpoint into a model bundle."
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("config", type=Path, help="the configuration the network was trained with")
    parser.add_argument("description", type=Path, help="YAML with the other fields of bundle.json")
    parser.add_argument("folder", type=Path, help="where the bundle goes")
    parser.add_argument("--reach-px", type=int, help="skip the measurement of the reach")
    asked = parser.parse_args()
    try:
        bundle = export_bundle(
            asked.checkpoint,
            asked.folder,
            network=network_of(asked.config),
            described=read_yaml(asked.description, remedy="Name a YAML file with the fields of bundle.json."),
            reach_px=asked.reach_px,
        )
    except GeopanopticError as error:
        print(f"{error.message}\n{error.remedy}", file=sys.stderr)
        return error.exit_code
    print(f"{bundle.path}: reach {bundle.reach_px} px, sha256 {bundle.sha256[:12]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
