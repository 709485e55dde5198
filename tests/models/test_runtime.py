"""Promise P1 at its root: a pixel's value depends on its surroundings alone, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from geopanoptic.errors import ModelError, ResourceError
from geopanoptic.models.bundle import Bundle, load_bundle
from geopanoptic.models.runtime import fold_normalisation, load_runtime


def plane(n_bands: int, size_px: int) -> NDArray[np.float32]:
    """Network input of a random scene with a hole of no data."""
    rng = np.random.default_rng(3)
    bands = rng.random((1, n_bands, size_px, size_px), dtype=np.float32)
    flags = np.ones_like(bands)
    flags[:, :, size_px // 3 : size_px // 2, size_px // 2 : size_px // 2 + 20] = 0
    return np.concatenate([bands * flags, flags], axis=1)


@pytest.mark.parametrize(
    ("core_px", "batch", "threads"), [(16, 3, 2), (48, 1, 2), (80, 2, 1), (96, 3, 2), (128, 1, 1)]
)
def test_cores_equal_the_whole_scene_bit_for_bit(core_px: int, batch: int, threads: int) -> None:
    bundle = load_bundle()
    stride, scale = bundle.stride_px, bundle.output_scale
    halo = -(-bundle.reach_px // stride) * stride
    whole_px = 128
    scene = plane(len(bundle.bands), whole_px + 2 * halo)
    expected = load_runtime(bundle, "cpu", threads=1)(scene)
    last = whole_px - core_px
    origins = [(0, 0), (last, last), (0, last)][:batch]
    tiles = [
        scene[0, :, row : row + core_px + 2 * halo, col : col + core_px + 2 * halo] for row, col in origins
    ]
    outputs = load_runtime(bundle, "cpu", threads=threads)(np.stack(tiles))
    for name, values in outputs.items():
        for number, (row, col) in enumerate(origins):
            core = np.s_[halo * scale : (halo + core_px) * scale]
            there_rows, there_cols = (
                np.s_[(halo + at) * scale : (halo + at + core_px) * scale] for at in (row, col)
            )
            np.testing.assert_array_equal(
                values[number][:, core, core], expected[name][0][:, there_rows, there_cols], err_msg=name
            )


def test_four_views_are_the_mean_over_mirror_images(tiny_bundle: Bundle) -> None:
    scene = plane(len(tiny_bundle.bands), 64)
    one = load_runtime(tiny_bundle, "cpu")
    manifest = tiny_bundle.manifest.model_copy(update={"views": 4})
    four = load_runtime(replace(tiny_bundle, manifest=manifest), "cpu")(scene)
    seen = [
        {name: np.flip(values, axes) for name, values in one(np.flip(scene, axes).copy()).items()}
        for axes in ((), (2,), (3,), (2, 3))
    ]
    for name, values in four.items():
        np.testing.assert_allclose(values, np.mean([each[name] for each in seen], axis=0), atol=1e-6)


def test_outputs_are_probabilities(tiny_bundle: Bundle) -> None:
    outputs = load_runtime(tiny_bundle, "cpu")(plane(len(tiny_bundle.bands), 64))
    assert outputs["semantic"].shape == (1, len(tiny_bundle.classes), 128, 128)
    np.testing.assert_allclose(outputs["semantic"].sum(axis=1), 1, atol=1e-5)
    assert all(
        values.dtype == np.float32 and values.min() >= 0 and values.max() <= 1 for values in outputs.values()
    )


def test_folding_changes_no_more_than_rounding(tiny_bundle: Bundle) -> None:
    network = tiny_bundle.network()
    with torch.inference_mode():
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.uniform_(-0.2, 0.2)
                layer.running_var.uniform_(0.5, 2.0)
    tiles = torch.from_numpy(plane(len(tiny_bundle.bands), 64))
    with torch.inference_mode():
        before = network(tiles)
        after = fold_normalisation(network)(tiles)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
    for name, values in before.items():
        torch.testing.assert_close(after[name], values, atol=1e-4, rtol=1e-4)


def test_the_process_keeps_its_own_number_of_threads(tiny_bundle: Bundle) -> None:
    before = torch.get_num_threads()
    load_runtime(tiny_bundle, "cpu", threads=2)(plane(len(tiny_bundle.bands), 32))
    assert torch.get_num_threads() == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA GPU")
def test_a_gpu_that_is_not_there(tiny_bundle: Bundle) -> None:
    with pytest.raises(ResourceError, match="cuda") as refusal:
        load_runtime(tiny_bundle, "cuda")
    assert "--device cpu" in refusal.value.remedy


def test_nan_in_the_output_is_refused(tiny_bundle: Bundle) -> None:
    runtime = load_runtime(tiny_bundle, "cpu")
    with torch.no_grad():
        runtime.network.heads["boundary"].bias.fill_(float("nan"))
    with pytest.raises(ModelError, match="NaN"):
        runtime(plane(len(tiny_bundle.bands), 32))


@pytest.mark.parametrize("shape", [(1, 7, 32, 32), (8, 32, 32), (1, 8, 32, 31)])
def test_wrong_shapes_are_refused(tiny_bundle: Bundle, shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="takes"):
        load_runtime(tiny_bundle, "cpu")(np.zeros(shape, np.float32))


def test_memory_errors_of_the_device_name_it(tiny_bundle: Bundle) -> None:
    class Full(nn.Module):
        def forward(self, tiles: torch.Tensor) -> dict[str, torch.Tensor]:
            raise torch.OutOfMemoryError

    runtime = replace(load_runtime(tiny_bundle, "cpu"), network=Full())
    with pytest.raises(ResourceError, match="too little memory"):
        runtime(plane(len(tiny_bundle.bands), 32))
