"""Model bundles: a folder with ``bundle.json``, ``model.safetensors``, ``card.md``, maybe ``grouping.json``; ``stac.json``
says the same for catalogues.

Nothing in a bundle is code and nothing is pickled: the architecture is a name from an allowlist, the
weights are plain arrays whose hash ``bundle.json`` states. Describing a bundle does not import torch.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from geopanoptic.errors import ModelError
from geopanoptic.models.grouping import Grouping, read_grouping, write_grouping
from geopanoptic.models.manifest import (
    FORMAT_VERSION,
    WEIGHTS_FILE,
    ClassSpec,
    Manifest,
    Thresholds,
    UNetSettings,
    Weights,
    architecture_of,
)
from geopanoptic.models.mlm import ITEM_FILE, mlm_item
from geopanoptic.models.weights import check_weights, own_file, sha256_of, write_weights
from geopanoptic.wording import did_you_mean, fault

if TYPE_CHECKING:
    from torch import Tensor

    from geopanoptic.models.networks.series import PanopticUNetSeries
    from geopanoptic.models.networks.unet import PanopticUNet

__all__ = [
    "Bundle",
    "ClassSpec",
    "Grouping",
    "Manifest",
    "Thresholds",
    "list_bundles",
    "load_bundle",
    "save_bundle",
    "save_with_grouping",
]

DEFAULT_BUNDLE = "fields-s"
_BUNDLED = Path(__file__).parent / "bundled"
_MANIFEST_FILE = "bundle.json"
_CARD_FILE = "card.md"
_MANIFEST_LIMIT_BYTES = 2**20
# A tile begins and ends on the stride, so its mirror image does too. The second view is turned half round: what the
# first one leans to along either axis, it leans away from.
_MIRRORS: tuple[tuple[int, ...], ...] = ((), (2, 3), (2,), (3,))
_PICKLED_SUFFIXES = {".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".bin"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A checked bundle on disk. Picklable; holds no weights until ``network()`` is called."""

    path: Path
    manifest: Manifest
    grouping: Grouping | None = None
    """How candidates are judged, where that was learned; None: by ``thresholds``."""
    of_fine_pixels: bool = False
    """Whether scenes of about half ``working_pixel_m`` are mapped; only one that looks at two scales cares."""

    def __repr__(self) -> str:
        return f"<Bundle {self.name}: {len(self.bands)} bands, {len(self.classes)} classes, path={str(self.path)!r}>"

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def bands(self) -> tuple[str, ...]:
        """Canonical band names in the order of the network's input channels."""
        return self.manifest.bands

    @property
    def classes(self) -> tuple[ClassSpec, ...]:
        """Classes in the order of the network's semantic channels."""
        return self.manifest.classes

    @property
    def output_scale(self) -> int:
        """Output pixels per input pixel along an axis."""
        return self.manifest.output_scale

    @property
    def views(self) -> int:
        """Views of a tile that are computed and averaged, 1, 2 or 4."""
        return self.manifest.views

    @property
    def mirrors(self) -> tuple[tuple[int, ...], ...]:
        """Axes to mirror a batch (B, C, H, W) along for every one of ``views``."""
        return _MIRRORS[: self.views]

    @property
    def second_scale(self) -> Fraction | None:
        """How much larger the network's second look shows every tile; None: it has one look only."""
        if not self.manifest.two_scales:
            return None
        return Fraction(1, 2) if self.of_fine_pixels else Fraction(3, 2)

    def for_pixels(self, pixel_m: float) -> Bundle:
        """The bundle as it looks at scenes of such pixels, see ``second_scale``."""
        working_m = self.working_pixel_m
        fine = self.manifest.two_scales and working_m is not None and pixel_m < working_m / math.sqrt(2)
        return self if fine == self.of_fine_pixels else replace(self, of_fine_pixels=fine)

    @property
    def takes_series(self) -> bool:
        """Whether the network looks at any number of dates; otherwise it takes one image."""
        return self.manifest.network.temporal is not None

    @property
    def finds_parcels(self) -> bool:
        """Whether the network states parcels one by one (PaPs) instead of dense maps."""
        return self.manifest.network.outputs != "dense"

    @property
    def stride_px(self) -> int:
        """Tile origins and sizes are multiples of this many input pixels."""
        return self.manifest.stride_px * (1 if self.second_scale is None else 2)

    @property
    def reach_px(self) -> int:
        """Input pixels farther than this from an output pixel cannot change it."""
        reach_px, scale = self.manifest.reach_px, self.second_scale
        # Resampling there and back adds two pixels of the other size and two of the tile's; none of a larger look,
        # which reaches less far.
        return reach_px if scale is None else max(reach_px, int((reach_px + 2) / scale) + 2)

    @property
    def pixel_size_m(self) -> tuple[float, float]:
        """Smallest and largest pixel size, in metres, that training showed."""
        return self.manifest.pixel_size_m

    @property
    def working_pixel_m(self) -> float | None:
        """Pixel size in metres at which it draws best; None: at any."""
        return self.manifest.working_pixel_m

    @property
    def reading_pixel_m(self) -> float | None:
        """Pixel size in metres to which finer scenes are averaged; None: they are read as stored. The network that
        looks at two scales sees ``working_pixel_m`` with its second look."""
        working_m = self.working_pixel_m
        return working_m / 2 if working_m is not None and self.manifest.two_scales else working_m

    @property
    def thresholds(self) -> Thresholds:
        return self.manifest.thresholds

    @property
    def sha256(self) -> str:
        """Hash of the weights."""
        return self.manifest.weights.sha256

    @property
    def fingerprint(self) -> str:
        """Hash of all that ``bundle.json`` says, and so of the weights and the grouping, whose hashes it states."""
        return hashlib.blake2b(self.manifest.model_dump_json().encode(), digest_size=16).hexdigest()

    @property
    def card(self) -> str:
        """The model card, Markdown; empty where the bundle has none."""
        card = own_file(self.path, _CARD_FILE)
        return card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""

    def network(self) -> PanopticUNet | PanopticUNetSeries:
        """The network in eval mode, float32, on the CPU.

        Raises ``ModelError`` where the weights do not fit the architecture that ``bundle.json`` names.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from geopanoptic.models.networks.building import build_network

        manifest = self.manifest
        network = build_network(
            manifest.network, n_bands=len(manifest.bands), n_classes=len(manifest.classes)
        )
        try:
            stored = load_file(self.path / WEIGHTS_FILE)
        except (SafetensorError, OSError) as error:
            raise ModelError(
                f"{self.path / WEIGHTS_FILE} cannot be read: {error}.", remedy="Fetch the bundle again."
            ) from None
        wanted = network.state_dict()
        _check_tensors(self.path, stored, wanted)
        network.load_state_dict({name: stored[name].to(wanted[name].dtype) for name in wanted})
        return network.eval()

    def dense_network(self) -> PanopticUNet | PanopticUNetSeries:
        """``network()``, fit for tiles of scenes. Raises ``ModelError`` also where its outputs are not dense."""
        if self.finds_parcels:
            raise ModelError(
                f"Model {self.name} has the heads of PaPs, which state parcels one by one.",
                remedy="Map scenes and patches with it by geopanoptic run; for anything else train with "
                "network.outputs dense.",
            )
        return self.network()


def list_bundles() -> tuple[str, ...]:
    """Names of the bundles that come with the package."""
    return tuple(sorted(path.parent.name for path in _BUNDLED.glob(f"*/{_MANIFEST_FILE}")))


def load_bundle(name_or_path: str | Path | None = None) -> Bundle:
    """A bundle by name (one that comes with the package) or by folder; None: the default one.

    Checks everything but the fit of the weights to the network, without importing torch. Raises
    ``ModelError`` for unknown names, damaged or newer manifests, pickles, wrong sizes and hashes.
    """
    folder = _folder_of(DEFAULT_BUNDLE if name_or_path is None else name_or_path)
    manifest = _read_manifest(folder)
    weights = own_file(folder, WEIGHTS_FILE)
    check_weights(weights, sha256=manifest.weights.sha256, size_bytes=manifest.weights.size_bytes)
    grouping = None if manifest.grouping is None else read_grouping(folder, manifest.grouping)
    return Bundle(path=folder.resolve(), manifest=manifest, grouping=grouping)


def bundle_called(name: str) -> Bundle:
    """``load_bundle`` of a name in a configuration, where ``default`` is the default one."""
    return load_bundle(None if name == "default" else name)


def save_bundle(
    folder: Path, *, weights: Mapping[str, Tensor], card: str, half: bool = False, **manifest: Any
) -> Bundle:
    """Write a bundle and return it as ``load_bundle`` reads it back.

    ``weights`` is a state dict of the architecture; ``half`` stores floats as float16 (the network still
    computes in float32). ``manifest`` are the fields of ``Manifest`` but ``weights``; ``architecture`` follows
    from ``network`` unless given. Raises ``OutputError`` where the weights cannot be written.
    """
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    stored = {
        name: (tensor.half() if half and tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in weights.items()
        if isinstance(tensor, torch.Tensor)
    }
    path = folder / WEIGHTS_FILE
    write_weights(path, stored)
    path.chmod(0o644)  # safetensors writes files that only their owner may read
    network = UNetSettings.model_validate(manifest.get("network", {}))
    described = Manifest(
        weights=Weights(sha256=sha256_of(path), size_bytes=path.stat().st_size),
        **{"architecture": architecture_of(network), **manifest},
    )
    _write_description(folder, described)
    (folder / _CARD_FILE).write_text(card, encoding="utf-8")
    return load_bundle(folder)


def save_with_grouping(bundle: Bundle, grouping: Grouping, folder: Path) -> Bundle:
    """Write ``bundle`` with another learned grouping into ``folder``, which may be its own."""
    folder.mkdir(parents=True, exist_ok=True)
    if folder.resolve() != bundle.path:
        for name in (WEIGHTS_FILE, _CARD_FILE):
            if (stored := own_file(bundle.path, name)).is_file():
                shutil.copyfile(stored, folder / name)
    described = bundle.manifest.model_copy(update={"grouping": write_grouping(folder, grouping)})
    _write_description(folder, described)
    return load_bundle(folder)


def _write_description(folder: Path, manifest: Manifest) -> None:
    (folder / _MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    (folder / ITEM_FILE).write_text(json.dumps(mlm_item(manifest), indent=2) + "\n", encoding="utf-8")


def _folder_of(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.suffix.lower() in _PICKLED_SUFFIXES:
        raise ModelError(
            f"{path} is a pickled checkpoint, which runs code when read; it is never opened.",
            remedy="Give a bundle: a folder with bundle.json and model.safetensors.",
        )
    if isinstance(name_or_path, str) and path.name == name_or_path and name_or_path in list_bundles():
        return _BUNDLED / name_or_path
    # Path.is_dir raises for names that are too long.
    if os.path.isdir(path):  # noqa: PTH112
        return path
    if path.name == _MANIFEST_FILE and os.path.isfile(path):  # noqa: PTH113
        return path.parent
    bundled = list_bundles()
    guess = did_you_mean(str(name_or_path), bundled, f"Bundled models: {', '.join(bundled) or 'none'}.")
    raise ModelError(
        f"No model called {str(name_or_path)!r}, and no such folder.",
        remedy=f"{guess} A path must lead to a bundle's folder.",
    )


def _read_manifest(folder: Path) -> Manifest:
    path = own_file(folder, _MANIFEST_FILE)
    if not path.is_file():
        raise ModelError(
            f"{folder} is no model bundle: it has no {_MANIFEST_FILE}.",
            remedy="Give a folder with bundle.json and model.safetensors.",
        )
    if path.stat().st_size > _MANIFEST_LIMIT_BYTES:
        raise ModelError(f"{path} is larger than 1 MiB.", remedy="Fetch the bundle again.")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not JSON: {error}.", remedy="Fetch the bundle again.") from None
    version = values.get("format_version") if isinstance(values, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise ModelError(
            f"{path} has bundle format {version}; this geopanoptic reads up to {FORMAT_VERSION}.",
            remedy="Install a newer geopanoptic.",
        )
    try:
        return Manifest.model_validate_json(json.dumps(values))
    except ValidationError as error:
        raise ModelError(f"{path}: {fault(error)}.", remedy="Correct bundle.json.") from None


def _check_tensors(folder: Path, stored: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Names and shapes must match exactly; a wrong number of bands or classes shows here."""
    odd = sorted(stored.keys() ^ wanted.keys())
    if odd:
        raise ModelError(
            f"{folder}: the weights do not fit the architecture; {len(odd)} tensors are missing or unknown, "
            f"first {odd[0]}.",
            remedy="Weights and bundle.json must come from the same training.",
        )
    for name, tensor in wanted.items():
        if stored[name].shape != tensor.shape:
            raise ModelError(
                f"{folder}: {name} has shape {tuple(stored[name].shape)}; the bands and classes of bundle.json "
                f"ask for {tuple(tensor.shape)}.",
                remedy="Weights and bundle.json must come from the same training.",
            )
