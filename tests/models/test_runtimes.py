"""Promise P1 at its root: within one runtime a pixel's value depends on its surroundings alone, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from shown import PARITY, as_trained, plane

from geopanoptic.errors import ModelError, ResourceError, UsageError
from geopanoptic.models.bundle import Bundle, load_bundle
from geopanoptic.models.runtimes import RUNTIMES, RuntimeName, load_runtime
from geopanoptic.models.runtimes.loading import Precision
from geopanoptic.models.runtimes.torch_runtime import TorchProbabilities, halving


def test_cores_equal_the_whole_scene_bit_for_bit(runtime: RuntimeName) -> None:
    assert_cores_equal_the_whole_scene(runtime, "f32")


def test_so_they_do_in_openvinos_bfloat16(native_bf16: None) -> None:
    assert_cores_equal_the_whole_scene("openvino", "bf16")


def assert_cores_equal_the_whole_scene(runtime: RuntimeName, precision: Precision) -> None:
    bundle = load_bundle()
    bands = ("blue", "green", "red", "nir")
    scale, margin_px, whole_px = (
        bundle.output_scale,
        -(-bundle.reach_px // bundle.stride_px) * bundle.stride_px,
        112,
    )
    scene = plane(bundle, whole_px + 2 * margin_px, bands)
    load = partial(load_runtime, bundle, "cpu", precision=precision, bands=bands, margin_px=margin_px)
    whole = load(threads=1, runtime=runtime)(scene)
    tiled = load(threads=2, runtime=runtime)
    tiled.release()
    for core_px, batch in ((16, 3), (48, 2), (80, 1)):
        last = whole_px - core_px
        origins = [(0, 0), (last, last), (0, last)][:batch]
        tiles = [
            scene[0, :, row : row + core_px + 2 * margin_px, col : col + core_px + 2 * margin_px]
            for row, col in origins
        ]
        for name, values in tiled(np.stack(tiles)).items():
            for number, (row, col) in enumerate(origins):
                rows, cols = (np.s_[at * scale : (at + core_px) * scale] for at in (row, col))
                np.testing.assert_array_equal(values[number], whole[name][0][:, rows, cols], err_msg=name)
        # Memory given back is taken again.
        tiled.release()


@pytest.mark.parametrize("bands", [None, ("nir", "blue", "green", "red", "swir16")])
def test_probabilities_and_labels_are_those_of_the_trained_network(
    runtime: RuntimeName, bands: tuple[str, ...] | None
) -> None:
    bundle = load_bundle()
    scene = plane(bundle, 416, bands)
    expected = as_trained(bundle, scene)
    for margin_px in (0, 192):
        inner = np.s_[:, :, 2 * margin_px : 2 * (416 - margin_px), 2 * margin_px : 2 * (416 - margin_px)]
        found = load_runtime(bundle, "cpu", 1, runtime, bands=bands, margin_px=margin_px)(scene)
        for name, values in found.items():
            np.testing.assert_allclose(values, expected[name][inner], rtol=0, atol=PARITY, err_msg=name)
        labels, theirs = found["semantic"].argmax(1), expected["semantic"][inner].argmax(1)
        assert (labels == theirs).mean() > 0.9999


def test_channels_that_the_network_reads_may_be_given_alone(
    runtime: RuntimeName, tiny_bundle: Bundle
) -> None:
    bands = tiny_bundle.bands[1:]
    network = load_runtime(tiny_bundle, "cpu", 1, runtime, bands=bands)
    scene = plane(tiny_bundle, 64, bands)
    assert len(network.channels) == len(bands) + 1
    for name, values in network(np.ascontiguousarray(scene[:, network.channels])).items():
        np.testing.assert_array_equal(values, network(scene)[name], err_msg=name)
    with pytest.raises(ModelError, match="takes"):
        network(scene[:, :-1])


@pytest.mark.parametrize("margin_px", [32, 48])
def test_a_small_network_without_and_with_a_margin(
    runtime: RuntimeName, tiny_bundle: Bundle, margin_px: int
) -> None:
    scene = plane(tiny_bundle, 128)
    expected = as_trained(tiny_bundle, scene)
    found = load_runtime(tiny_bundle, "cpu", 1, runtime, margin_px=margin_px)(scene)
    inner = np.s_[:, :, 2 * 48 : 2 * 80, 2 * 48 : 2 * 80]
    for name, values in found.items():
        excess = 2 * (48 - margin_px)
        core = np.s_[:, :, excess : values.shape[2] - excess, excess : values.shape[3] - excess]
        np.testing.assert_allclose(values[core], expected[name][inner], rtol=0, atol=PARITY, err_msg=name)


@pytest.mark.parametrize("mirrored", [((2, 3),), ((2,), (3,), (2, 3))])
def test_views_are_the_mean_over_mirror_images(
    mirrored: tuple[tuple[int, ...], ...], runtime: RuntimeName, tiny_bundle: Bundle
) -> None:
    scene = plane(tiny_bundle, 64)
    one = load_runtime(tiny_bundle, "cpu", runtime=runtime)
    manifest = tiny_bundle.manifest.model_copy(update={"views": 1 + len(mirrored)})
    several = load_runtime(replace(tiny_bundle, manifest=manifest), "cpu", runtime=runtime)(scene)
    seen = [
        {name: np.flip(values, axes) for name, values in one(np.flip(scene, axes).copy()).items()}
        for axes in ((), *mirrored)
    ]
    for name, values in several.items():
        np.testing.assert_allclose(values, np.mean([each[name] for each in seen], axis=0), atol=1e-6)


def test_outputs_are_probabilities(runtime: RuntimeName, tiny_bundle: Bundle) -> None:
    outputs = load_runtime(tiny_bundle, "cpu", runtime=runtime)(plane(tiny_bundle, 64))
    assert outputs["semantic"].shape == (1, len(tiny_bundle.classes), 128, 128)
    np.testing.assert_allclose(outputs["semantic"].sum(axis=1), 1, atol=1e-5)
    assert all(
        values.dtype == np.float32 and values.min() >= 0 and values.max() <= 1 for values in outputs.values()
    )


def test_nan_in_the_output_is_refused(runtime: RuntimeName, tiny_bundle: Bundle) -> None:
    scene = plane(tiny_bundle, 32)
    scene[0, 0, 5, 5] = np.nan
    with pytest.raises(ModelError, match="NaN"):
        load_runtime(tiny_bundle, "cpu", runtime=runtime)(scene)


def test_the_fastest_installed_runtime_is_taken_and_named(tiny_bundle: Bundle) -> None:
    loaded = load_runtime(tiny_bundle, "cpu")
    assert loaded.name in RUNTIMES
    assert loaded.version.split(".")[0].isdigit()
    assert load_runtime(tiny_bundle, "cpu", runtime="torch").name == "torch"


def test_the_process_keeps_its_own_number_of_threads(tiny_bundle: Bundle) -> None:
    before = torch.get_num_threads()
    load_runtime(tiny_bundle, "cpu", threads=2, runtime="torch")(plane(tiny_bundle, 32))
    assert torch.get_num_threads() == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA GPU")
def test_a_gpu_that_is_not_there(tiny_bundle: Bundle) -> None:
    with pytest.raises(ResourceError, match="cuda") as refusal:
        load_runtime(tiny_bundle, "cuda")
    assert "--device cpu" in refusal.value.remedy


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"runtime": "tensorrt"}, "tensorrt"),
        ({"bands": ("blue", "pink")}, "pink"),
        ({"bands": ()}, "none given"),
        ({"margin_px": 20}, "20 px"),
        ({"margin_px": 8}, "8 px"),
        ({"precision": "int4"}, "int4"),
    ],
)
def test_settings_that_cannot_be_meant(tiny_bundle: Bundle, settings: dict, found: str) -> None:
    with pytest.raises(UsageError, match=found) as refusal:
        load_runtime(tiny_bundle, "cpu", **settings)
    assert refusal.value.remedy


def test_a_runtime_that_is_not_installed(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    from geopanoptic.models.runtimes import loading

    missing = {"openvino": ("openvino",), "onnxruntime": ("onnxruntime", "onnx"), "torch": ()}
    monkeypatch.setattr(loading, "_missing_packages", missing.__getitem__)
    assert load_runtime(tiny_bundle, "cpu").name == "torch"
    with pytest.raises(UsageError, match="onnxruntime and onnx") as refusal:
        load_runtime(tiny_bundle, "cpu", runtime="onnxruntime")
    assert "pip install 'geopanoptic[onnx]'" in refusal.value.remedy


@pytest.mark.parametrize("shape", [(1, 7, 32, 32), (8, 32, 32), (1, 8, 32, 31)])
def test_wrong_shapes_are_refused(tiny_bundle: Bundle, shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="takes"):
        load_runtime(tiny_bundle, "cpu")(np.zeros(shape, np.float32))


def test_a_tile_of_margins_only_is_refused(tiny_bundle: Bundle) -> None:
    with pytest.raises(ModelError, match="margins"):
        load_runtime(tiny_bundle, "cpu", margin_px=48)(np.zeros((1, 8, 96, 128), np.float32))


@pytest.mark.parametrize("takes", [1, 2, 3, 5, 9])
def test_batches_are_halved_until_they_fit(takes: int) -> None:
    computed: list[int] = []

    def compute(part: slice) -> None:
        if part.stop - part.start > takes:
            raise torch.OutOfMemoryError
        computed.extend(range(part.start, part.stop))

    fitted = halving(compute, 9, 9)
    assert computed == list(range(9))
    assert fitted <= takes < 2 * fitted + 1 or fitted == 9


def test_room_is_made_before_batches_are_halved() -> None:
    kept, computed = [2, 1], []

    def compute(part: slice) -> None:
        if kept or part.stop - part.start > 4:
            raise torch.OutOfMemoryError
        computed.append(part)

    assert halving(compute, 6, 6, make_room=lambda: bool(kept and kept.pop())) == 3
    assert computed == [slice(0, 3), slice(3, 6)]


def test_a_device_without_room_for_one_tile_is_named() -> None:
    def full(tiles: torch.Tensor) -> list[torch.Tensor]:
        raise torch.OutOfMemoryError

    probabilities = TorchProbabilities(network=full, device=torch.device("cpu"))
    with pytest.raises(ResourceError, match="too little memory"):
        probabilities(np.zeros((2, 5, 32, 32), np.float32))


def test_bfloat16_is_close_where_it_is_asked_for(tiny_bundle: Bundle) -> None:
    scene = plane(tiny_bundle, 64)
    exact = load_runtime(tiny_bundle, "cpu", runtime="torch")(scene)
    coarse = load_runtime(tiny_bundle, "cpu", runtime="torch", precision="bf16")(scene)
    for name, values in coarse.items():
        np.testing.assert_allclose(values, exact[name], atol=0.02)
    with pytest.raises(UsageError, match="float32 only"):
        load_runtime(tiny_bundle, "cpu", runtime="onnxruntime", precision="bf16")


@pytest.mark.parametrize("native", [True, False])
def test_left_to_choose_it_takes_bfloat16_where_openvino_and_the_processor_have_it(
    native: bool, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    from geopanoptic.models.runtimes import openvino_runtime

    if native and not openvino_runtime.computes_in_bf16():
        pytest.skip("this processor has no instructions for bfloat16")
    monkeypatch.setattr(openvino_runtime, "computes_in_bf16", lambda: native)
    assert load_runtime(tiny_bundle, "cpu", precision="auto").precision == ("bf16" if native else "f32")
    assert load_runtime(tiny_bundle, "cpu", runtime="torch", precision="auto").precision == "f32"
    assert load_runtime(tiny_bundle, "cpu").precision == "f32"
    if not native:
        with pytest.raises(ResourceError, match="bfloat16") as refusal:
            load_runtime(tiny_bundle, "cpu", precision="bf16")
        assert "--precision f32" in refusal.value.remedy


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")
def test_kernels_of_its_own_give_the_networks_outputs(tiny_bundle: Bundle) -> None:
    scene = plane(tiny_bundle, 64)
    exact = load_runtime(tiny_bundle, "cpu", runtime="torch")(scene)
    runtime = load_runtime(tiny_bundle, "cpu", runtime="compiled")
    assert runtime.name == "compiled"
    for name, values in runtime(scene).items():
        np.testing.assert_allclose(values, exact[name], atol=1e-5)
    assert load_runtime(tiny_bundle, "cpu").name != "compiled"


def test_what_cannot_be_compiled_is_told(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def compiled(network: object, dynamic: bool) -> object:
        def fails(*inputs: object) -> None:
            raise torch._dynamo.exc.TorchDynamoException("no compiler\nand much more")

        return fails

    monkeypatch.setattr(torch, "compile", compiled)
    with pytest.raises(ResourceError, match="cannot compile the network here: no compiler") as refusal:
        load_runtime(tiny_bundle, "cpu", runtime="compiled")(plane(tiny_bundle, 64))
    assert "--runtime torch" in refusal.value.remedy
