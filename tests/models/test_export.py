"""Exported files compute what the bundle's network computes, and say what they take."""

from __future__ import annotations

import json
from dataclasses import replace
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


@pytest.mark.filterwarnings("ignore::FutureWarning:copyreg", "ignore::FutureWarning:torch")
def test_what_is_written_gives_the_mean_of_all_views(tiny_bundle: Bundle, tmp_path: Path) -> None:
    onnxruntime, openvino = pytest.importorskip("onnxruntime"), pytest.importorskip("openvino")
    pytest.importorskip("onnx")
    bundle = replace(tiny_bundle, manifest=tiny_bundle.manifest.model_copy(update={"views": 4}))
    (onnx_path,) = export_bundle(bundle, "onnx", tmp_path / "tiny.onnx")
    export_bundle(bundle, "openvino", tmp_path / "tiny.xml")
    (torch_path,) = export_bundle(bundle, "torch-export", tmp_path / "tiny.pt2")
    session = onnxruntime.InferenceSession(onnx_path)
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(tmp_path / "tiny.xml", "CPU", exact)
    program = torch.export.load(torch_path).module()
    tiles = example(bundle)
    with torch.inference_mode():
        by_torch = program(torch.from_numpy(tiles)).numpy()
    for found in (by_torch, session.run(None, {"input_bchw": tiles})[0], compiled(tiles)[0]):
        np.testing.assert_allclose(found, expected(bundle), rtol=0, atol=5e-6)
    assert "mean" in session.get_modelmeta().custom_metadata_map["views"]
    (one_view,) = export_bundle(
        replace(bundle, manifest=bundle.manifest.model_copy(update={"views": 1})),
        "onnx",
        tmp_path / "one.onnx",
    )
    # Nodes are written once per view, weights are not.
    assert onnx_path.stat().st_size < 1.6 * one_view.stat().st_size


def test_suffixes_may_be_in_large_letters(tiny_bundle: Bundle, tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    pytest.importorskip("onnx")
    written = export_bundle(tiny_bundle, "openvino", tmp_path / "TINY.XML")
    assert [file.name for file in written] == ["TINY.bin", "TINY.XML"]
    assert sorted(tmp_path.iterdir()) == sorted(written)
    assert openvino.Core().read_model(tmp_path / "TINY.XML").inputs


def test_openvino(tiny_bundle: Bundle, tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    pytest.importorskip("onnx")
    written = export_bundle(tiny_bundle, "openvino", tmp_path / "tiny.xml")
    assert [file.name for file in written] == ["tiny.bin", "tiny.xml"]
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(tmp_path / "tiny.xml", "CPU", exact)
    found = compiled(example(tiny_bundle))[0]
    np.testing.assert_allclose(found, expected(tiny_bundle), rtol=0, atol=5e-6)


def series_example(bundle: Bundle, n_dates: int) -> tuple[list[tuple[np.ndarray, float]], list[np.ndarray]]:
    """Dates as a runtime takes them, and as an exported file does."""
    n_bands, temporal = len(bundle.bands), bundle.manifest.network.temporal
    assert temporal is not None
    rng = np.random.default_rng(4)
    image = rng.random((n_dates, 2 * n_bands, 48, 80), np.float32)
    image[:, n_bands:] = rng.random((n_dates, 1, 48, 80)) > 0.3
    days = [float("nan"), *rng.uniform(1, 366, n_dates - 1)]
    turns = np.outer(days, np.arange(1, temporal.harmonics + 1)) * 2 * np.pi / 365.25
    encoded = np.nan_to_num(np.concatenate([np.sin(turns), np.cos(turns), turns[:, :1] * 0 + 1], axis=1))
    dates = [(image[number : number + 1], day) for number, day in enumerate(days)]
    return dates, [image, encoded.astype(np.float32)[..., None, None]]


@pytest.mark.filterwarnings("ignore::FutureWarning:copyreg", "ignore::FutureWarning:torch")
def test_a_network_of_series_takes_all_dates_at_once(tiny_series_bundle: Bundle, tmp_path: Path) -> None:
    onnxruntime, openvino = pytest.importorskip("onnxruntime"), pytest.importorskip("openvino")
    pytest.importorskip("onnx")
    manifest = tiny_series_bundle.manifest.model_copy(update={"views": 2})
    bundle = replace(tiny_series_bundle, manifest=manifest)
    (onnx_path,) = export_bundle(bundle, "onnx", tmp_path / "tiny.onnx")
    export_bundle(bundle, "openvino", tmp_path / "tiny.xml")
    (torch_path,) = export_bundle(bundle, "torch-export", tmp_path / "tiny.pt2")
    session = onnxruntime.InferenceSession(onnx_path)
    compiled = openvino.Core().compile_model(
        tmp_path / "tiny.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    program = torch.export.load(torch_path).module()
    assert "sin(2 pi k d / 365.25) for k = 1 to 2" in session.get_modelmeta().custom_metadata_map["dates"]
    network = load_runtime(bundle, "cpu", 1, "torch")
    for n_dates in (1, 3):
        dates, inputs = series_example(tiny_series_bundle, n_dates)
        wanted = np.concatenate(list(network.over(dates).values()), axis=1)
        with torch.inference_mode():
            by_torch = program(*map(torch.from_numpy, inputs)).numpy()
        by_onnx = session.run(None, dict(zip(("input_tchw", "day_tchw"), inputs, strict=True)))[0]
        for found in (by_torch, by_onnx, compiled(inputs)[0]):
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


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
