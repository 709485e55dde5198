"""A checkpoint's averaged weights -> a model bundle.

``python -m geopanoptic.training.export RUN/last.safetensors configs/default-bundle.yaml
configs/fields-s.yaml geopanoptic/models/bundled/fields-s``
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml
from safetensors import safe_open

from geopanoptic.errors import GeopanopticError
from geopanoptic.models.bundle import Bundle, save_bundle
from geopanoptic.models.reach import measure_reach_px
from geopanoptic.models.unet import PanopticUNet
from geopanoptic.training.config import read_config

_AVERAGE = "average/"


def export_bundle(
    checkpoint: Path, config: Path, description: Path, folder: Path, *, reach_px: int | None = None
) -> Bundle:
    """Write the bundle into ``folder``; a card that lies there stays.

    ``config`` gives the network, ``description`` (YAML) every other field of the manifest. The reach is
    measured unless given.
    """
    described = yaml.safe_load(description.read_text(encoding="utf-8"))
    settings = read_config(config).network
    network = PanopticUNet(n_bands=len(described["bands"]), n_classes=len(described["classes"]), **settings)
    with safe_open(checkpoint, framework="pt") as stored:
        keys = [key for key in stored.keys() if key.startswith(_AVERAGE)]  # noqa: SIM118  no mapping
        weights = {key.removeprefix(_AVERAGE): stored.get_tensor(key) for key in keys}
    network.load_state_dict(weights)
    card = folder / "card.md"
    return save_bundle(
        folder,
        weights=weights,
        card=card.read_text(encoding="utf-8") if card.is_file() else f"# {described['title']}\n",
        network=settings,
        stride_px=network.stride_px,
        output_scale=network.output_scale,
        reach_px=reach_px
        or measure_reach_px(
            network,
            n_channels=2 * network.n_bands,
            stride_px=network.stride_px,
            output_scale=network.output_scale,
        ),
        **described,
    )


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
            asked.checkpoint, asked.config, asked.description, asked.folder, reach_px=asked.reach_px
        )
    except GeopanopticError as error:
        print(f"{error.message}\n{error.remedy}", file=sys.stderr)
        return error.exit_code
    print(f"{bundle.path}: reach {bundle.reach_px} px, sha256 {bundle.sha256[:12]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
