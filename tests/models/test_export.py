"""Exported files compute what the bundle's network computes, and say what they take."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from geopanoptic.errors import OutputError, UsageError
from geopanoptic.models.bundle import Bundle
from geopanoptic.models.export import export_bundle
from geopanoptic.models.runtimes import load_runtime


def example(bundle: Bundle) -> np.ndarray:
    n_bands = len(bundle.bands)
    values = np.random.default_rng(0).random((2, 2 * n_bands, 48, 80), np.float32)
    values[:, n_bands:] = 1
    return values


def expected(bundle: Bundle) -> np.ndarray:
    return np.concatenate(list(load_runtime(bundle, "cpu", 1, "torch")(example(bundle)).values()), axis=1)


def test_onnx(tiny_bundle: Bundle, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    (path,) = export_bundle(tiny_bundle, "onnx", tmp_path / "tiny.onnx")
    session = onnxruntime.InferenceSession(path)
    (found,) = session.run(None, {"input_bchw": example(tiny_bundle)})
    np.testing.assert_allclose(found, expected(tiny_bundle), rtol=0, atol=5e-6)
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["bands"]) == list(tiny_bundle.bands)
    assert about["weights_sha256"] == tiny_bundle.sha256


def test_openvino(tiny_bundle: Bundle, tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    pytest.importorskip("onnx")
    written = export_bundle(tiny_bundle, "openvino", tmp_path / "tiny.xml")
    assert [file.name for file in written] == ["tiny.bin", "tiny.xml"]
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(tmp_path / "tiny.xml", "CPU", exact)
    found = compiled(example(tiny_bundle))[0]
    np.testing.assert_allclose(found, expected(tiny_bundle), rtol=0, atol=5e-6)


@pytest.mark.filterwarnings("ignore::FutureWarning:copyreg", "ignore::FutureWarning:torch")
def test_torch_export(tiny_bundle: Bundle, tmp_path: Path) -> None:
    (path,) = export_bundle(tiny_bundle, "torch-export", tmp_path / "tiny.pt2")
    described = {"geopanoptic.json": ""}
    program = torch.export.load(path, extra_files=described)
    with torch.inference_mode():
        found = program.module()(torch.from_numpy(example(tiny_bundle))).numpy()
    np.testing.assert_allclose(found, expected(tiny_bundle), rtol=0, atol=5e-6)
    assert json.loads(described["geopanoptic.json"])["model"] == "tiny"


def test_an_existing_file_is_kept_unless_asked(tiny_bundle: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    path = tmp_path / "tiny.onnx"
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists"):
        export_bundle(tiny_bundle, "onnx", path)
    assert path.read_bytes() == b"precious"
    export_bundle(tiny_bundle, "onnx", path, overwrite=True)
    assert path.stat().st_size > 1000
    assert [file.name for file in tmp_path.iterdir()] == ["tiny.onnx"]


@pytest.mark.parametrize(
    ("to", "name", "kind", "found"),
    [
        ("onnx", "tiny.xml", UsageError, r"\.onnx"),
        ("tflite", "tiny.tflite", UsageError, "tflite"),
        ("onnx", "nowhere/tiny.onnx", OutputError, "no folder"),
    ],
)
def test_refusals(tiny_bundle: Bundle, tmp_path: Path, to: str, name: str, kind: type, found: str) -> None:
    with pytest.raises(kind, match=found) as refusal:
        export_bundle(tiny_bundle, to, tmp_path / name)  # type: ignore[arg-type]
    assert refusal.value.remedy
