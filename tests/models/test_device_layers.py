"""What a GPU stores is what the processor would have stored of the same probabilities.

There is no GPU in the tests: the same operations of torch are computed by the processor, whose runtime is told that it
were one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from shown import plane
from test_series_runtimes import season

from geopanoptic.errors import ModelError
from geopanoptic.models.bundle import Bundle
from geopanoptic.models.runtimes import Runtime, load_runtime
from geopanoptic.models.runtimes.device_layers import layers_of
from geopanoptic.panoptic.quantisation import LAYERS, Quantiser

QUANTISER = Quantiser(thing_channels=(0,), stuff_channels=(1, 2), relief_boundary_weight=0.3)


def on_the_processor(how: Quantiser, outputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return how(outputs, np.ones(outputs["semantic"].shape[-2:], bool))


@given(
    seed=st.integers(0, 2**32 - 1),
    weight=st.floats(0, 1),
    levels=st.sampled_from([2, 4, 255, 0]),
    order=st.permutations(range(5)),
)
@settings(max_examples=60, deadline=None)
def test_integers_are_those_of_the_quantiser(
    seed: int, weight: float, levels: int, order: Sequence[int]
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.random((8, 9, 11), dtype=np.float32)
    if levels:
        # Equal ones, zeros, and the middle between two steps.
        values = np.round(values * levels).astype(np.float32) / np.float32(levels)
    how = Quantiser(
        thing_channels=tuple(order[:2]), stuff_channels=tuple(order[2:]), relief_boundary_weight=weight
    )
    outputs = dict(
        zip(("semantic", "centre", "boundary", "distance"), (values[:5], *values[5:]), strict=True)
    )
    found = layers_of(torch.from_numpy(values[None, :5]), torch.from_numpy(values[None, 5:]), how)
    assert set(found) == set(LAYERS)
    for name, expected in on_the_processor(how, outputs).items():
        assert found[name].numpy().dtype == expected.dtype
        np.testing.assert_array_equal(found[name][0].numpy(), expected, err_msg=name)


def assert_alike(runtime: Runtime, dates: Sequence[tuple[NDArray[Any], float]]) -> None:
    """Checks the runtime as of a GPU against itself."""
    of_processor: dict[int, dict[str, NDArray[Any]]] = {}
    of_device: dict[int, dict[str, NDArray[Any]]] = {}

    def quantise(number: int, outputs: Mapping[str, NDArray[Any]]) -> None:
        of_processor[number] = on_the_processor(QUANTISER, outputs)

    runtime.each_over(dates, quantise, QUANTISER)
    replace(runtime, device="cuda").each_over(
        dates, lambda number, layers: of_device.update({number: dict(layers)}), QUANTISER
    )
    assert sorted(of_device) == sorted(of_processor) == list(range(len(dates[0][0])))
    for number, expected in of_processor.items():
        for name in LAYERS:
            np.testing.assert_array_equal(of_device[number][name], expected[name], err_msg=name)


@pytest.mark.parametrize("views", [1, 2, 4])
@pytest.mark.parametrize("margin_px", [0, 64])
def test_tiles_of_images(tiny_bundle: Bundle, views: int, margin_px: int) -> None:
    manifest = tiny_bundle.manifest.model_copy(update={"views": views})
    runtime = load_runtime(replace(tiny_bundle, manifest=manifest), "cpu", 1, "torch", margin_px=margin_px)
    scene = plane(tiny_bundle, 192, None)
    assert_alike(runtime, [(np.concatenate([scene, scene[:, :, ::-1]]), np.nan)])


@pytest.mark.parametrize("views", [1, 2])
def test_tiles_of_seasons(tiny_series_bundle: Bundle, views: int) -> None:
    manifest = tiny_series_bundle.manifest.model_copy(update={"views": views})
    runtime = load_runtime(replace(tiny_series_bundle, manifest=manifest), "cpu", 1, "torch")
    assert_alike(runtime, season(tiny_series_bundle, 3, 96))


def test_nan_is_refused_there_as_well(tiny_bundle: Bundle) -> None:
    runtime: Any = replace(load_runtime(tiny_bundle, "cpu", 1, "torch"), device="cuda")
    network = runtime.probabilities.network
    runtime.probabilities.network = lambda tiles: [values * torch.nan for values in network(tiles)]
    with pytest.raises(ModelError, match="gives NaN"):
        runtime.each_over([(plane(tiny_bundle, 64, None), np.nan)], lambda *_: None, QUANTISER)
