"""Bundles: what comes back, and every way a stranger's bundle is refused."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from geopanoptic.errors import ModelError
from geopanoptic.models.bundle import Bundle, list_bundles, load_bundle, save_bundle
from geopanoptic.models.manifest import FixedNormalisation
from geopanoptic.models.networks.series import PanopticUNetSeries
from geopanoptic.models.weights import sha256_of


@pytest.fixture
def folder(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    """A copy of a good bundle, to be spoilt."""
    return Path(shutil.copytree(tiny_bundle.path, tmp_path / "copy"))


def rewrite(folder: Path, **changes: Any) -> None:
    path = folder / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def replace_weights(folder: Path, content: bytes) -> None:
    """Other bytes as weights, with size and hash stated truthfully."""
    path = folder / "model.safetensors"
    path.write_bytes(content)
    rewrite(folder, weights={"file": path.name, "sha256": sha256_of(path), "size_bytes": path.stat().st_size})


def classes(thing: str, stuff: str) -> list[dict[str, object]]:
    return [
        {"id": number, "name": name, "kind": kind, "colour": "#112233"}
        for number, (name, kind) in enumerate(((thing, "thing"), (stuff, "stuff")), 1)
    ]


def header(length: int, entries: object) -> bytes:
    return length.to_bytes(8, "little") + json.dumps(entries).encode()


def test_weights_come_back_as_they_were_saved(tiny_bundle: Bundle) -> None:
    stored = load_file(tiny_bundle.path / "model.safetensors")
    network = tiny_bundle.network()
    assert not network.training
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, stored[name])


def test_a_bundle_of_series_says_so(tiny_series_bundle: Bundle, tiny_bundle: Bundle) -> None:
    assert tiny_series_bundle.takes_series
    assert not tiny_bundle.takes_series
    written = json.loads((tiny_series_bundle.path / "bundle.json").read_text())
    assert written["architecture"] == "PanopticUNetSeries"
    assert written["network"]["temporal"].items() >= {"heads": 4, "key_channels": 2, "harmonics": 2}.items()
    network = tiny_series_bundle.network()
    assert isinstance(network, PanopticUNetSeries)
    assert not network.training
    stored = load_file(tiny_series_bundle.path / "model.safetensors")
    assert all(torch.equal(tensor, stored[name]) for name, tensor in network.state_dict().items())


def test_a_normalisation_may_be_fixed(tiny_bundle: Bundle, tmp_path: Path) -> None:
    rest = tiny_bundle.manifest.model_dump(exclude={"weights", "normalisation"})
    fixed = {"kind": "fixed", "low": [0.0, 0.0, 10.0, -1.0], "high": [0.2, 0.3, 4000.0, 1.0]}
    weights = tiny_bundle.network().state_dict()
    saved = save_bundle(tmp_path, weights=weights, card="", normalisation=fixed, **rest)
    assert isinstance(saved.manifest.normalisation, FixedNormalisation)
    assert saved.manifest.normalisation.high[2] == 4000.0


def test_half_precision_halves_the_file(tiny_bundle: Bundle, tmp_path: Path) -> None:
    rest = tiny_bundle.manifest.model_dump(exclude={"weights"})
    half = save_bundle(
        tmp_path, weights=tiny_bundle.network().state_dict(), card=tiny_bundle.card, half=True, **rest
    )
    assert half.manifest.weights.size_bytes < 0.8 * tiny_bundle.manifest.weights.size_bytes
    assert next(half.network().parameters()).dtype == torch.float32


def test_bundles_travel_between_processes(tiny_bundle: Bundle) -> None:
    assert pickle.loads(pickle.dumps(tiny_bundle)) == tiny_bundle


def test_the_default_bundle_is_whole() -> None:
    bundle = load_bundle()
    assert bundle.name in list_bundles()
    assert bundle.bands[:3] == ("blue", "green", "red")
    assert [each.kind for each in bundle.classes].count("thing") == 1
    assert bundle.card.startswith("# ")
    assert bundle.network().stride_px == bundle.stride_px


def test_describing_a_bundle_leaves_torch_alone() -> None:
    code = (
        "import sys; from geopanoptic.models.bundle import load_bundle; load_bundle().card; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["model.pt", "run/last.ckpt", "weights.PTH"])
def test_pickled_checkpoints_are_never_opened(name: str) -> None:
    with pytest.raises(ModelError, match="runs code"):
        load_bundle(name)


def test_pickle_named_safetensors(folder: Path) -> None:
    replace_weights(folder, pickle.dumps({"weights": [1, 2]}))
    with pytest.raises(ModelError, match="pickle"):
        load_bundle(folder)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x01\x00",
        header(2**60, {}),
        header(5 * 2**20, {}) + bytes(6 * 2**20),
        (9).to_bytes(8, "little") + b"not json!",
        header(2, []),
        header(77, {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}),
    ],
    ids=["empty", "two bytes", "header past the end", "huge header", "no json", "a list", "off by some"],
)
def test_damaged_headers(folder: Path, content: bytes) -> None:
    replace_weights(folder, content) if content else (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError):
        load_bundle(folder)


@pytest.mark.parametrize("second", [[0, 8], [4, 12], [12, 20], [8, 400]], ids=str)
def test_overlaps_gaps_and_overreach(folder: Path, second: list[int]) -> None:
    tensor = {"dtype": "F32", "shape": [2]}
    entries = json.dumps(
        {"a": tensor | {"data_offsets": [0, 8]}, "b": tensor | {"data_offsets": second}}
    ).encode()
    replace_weights(folder, len(entries).to_bytes(8, "little") + entries + bytes(16))
    with pytest.raises(ModelError, match="overlap"):
        load_bundle(folder)


def test_one_changed_byte(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match="sha256"):
        load_bundle(folder)


def test_cut_short(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cut short or replaced"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"architecture": "os.system"}, "architecture"),
        ({"surprise": 1}, "surprise"),
        ({"weights": {"file": "../../secret", "sha256": "0" * 64, "size_bytes": 1}}, "weights.file"),
        ({"network": {"encoder": "resnet50"}}, "network.encoder"),
        ({"network": {"encoder_depth": 3, "decoder_channels": [8, 10**9]}}, "network.decoder_channels"),
        ({"network": {"outputs": "paps", "fine_convolution": False}}, "fine_convolution: false needs"),
        ({"name": "../up"}, "name"),
        ({"stride_px": 16}, "stride_px"),
        ({"bands": ["red", "red"]}, "bands repeat"),
        ({"format": "other"}, "format"),
        ({"architecture": "PanopticUNetSeries"}, "temporal belongs to"),
        ({"network": {"temporal": {"heads": 3}}}, "network.temporal.heads"),
        ({"normalisation": {"kind": "fixed", "low": [0], "high": [1]}}, "need 4 values"),
        ({"normalisation": {"kind": "fixed", "low": [0] * 4, "high": [1, 1, 1, 0]}}, "the smaller in low"),
        (
            {"normalisation": {"kind": "fixed", "low": [0] * 4, "high": [1] * 4, "clip": [2, -1]}},
            "clip needs",
        ),
        ({"normalisation": {"kind": "by-feel"}}, "normalisation"),
        ({"normalisation": {"kind": "scene-percentiles", "low_percentile": 1.0}}, "are 2 and 98"),
        ({"normalisation": {"kind": "scene-percentiles", "clip": [0.0, 1.0]}}, "are 2 and 98"),
        ({"working_pixel_m": float("inf")}, "working_pixel_m"),
        ({"format_version": "1"}, "format_version"),
        ({"format_version": 0}, "format_version"),
        ({"classes": classes("a\x01", "b")}, r"classes\.0\.name"),
        ({"classes": classes("same", "same")}, "class names repeat"),
    ],
    ids=str,
)
def test_manifests_that_lie(folder: Path, changes: dict[str, Any], names: str) -> None:
    rewrite(folder, **changes)
    with pytest.raises(ModelError, match=names):
        load_bundle(folder)


def test_newer_format_says_so(folder: Path) -> None:
    rewrite(folder, format_version=99, unknown_key_of_the_future=1)
    with pytest.raises(ModelError, match="format 99") as refusal:
        load_bundle(folder)
    assert "newer geopanoptic" in refusal.value.remedy


@pytest.mark.parametrize("name", ["model.safetensors", "bundle.json", "card.md"])
def test_files_linked_from_elsewhere(folder: Path, tmp_path: Path, name: str) -> None:
    path = folder / name
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="outside"):
        assert load_bundle(folder).card


def test_a_card_of_other_letters_is_shown_as_far_as_it_can_be(folder: Path) -> None:
    (folder / "card.md").write_bytes("Äcker".encode("latin-1"))
    assert load_bundle(folder).card == "\ufffdcker"


def test_wrong_number_of_bands_lists_both(folder: Path) -> None:
    rewrite(folder, bands=["red", "green"])
    with pytest.raises(ModelError, match=r"shape .*\b8\b.*\b4\b"):
        load_bundle(folder).network()


def test_unknown_names_get_a_suggestion() -> None:
    with pytest.raises(ModelError) as refusal:
        load_bundle("field-s")
    assert "'fields-s'" in refusal.value.remedy


def test_names_too_long_for_a_file_are_unknown() -> None:
    with pytest.raises(ModelError, match="No model called"):
        load_bundle("a" * 300)
