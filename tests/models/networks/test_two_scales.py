"""Two looks at every tile: resampled as torch would, averaged, and the same bits in every tile."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from shown import PARITY, as_trained, plane

from geopanoptic.errors import UsageError
from geopanoptic.models.bundle import Bundle
from geopanoptic.models.networks.two_scales import FINER_SHARE, Resampling, linear_taps
from geopanoptic.models.runtimes import RuntimeName, load_runtime

SCALES = [Fraction(3, 2), Fraction(1, 2)]


def resized(values_bchw: torch.Tensor, scale: float) -> torch.Tensor:
    """torch's own bilinear resampling, smoothed where it shrinks."""
    size = [round(length * scale) for length in values_bchw.shape[2:]]
    return torch.nn.functional.interpolate(
        values_bchw, size, mode="bilinear", align_corners=False, antialias=scale < 1
    )


def at_two_scales(bundle: Bundle, *, of_fine_pixels: bool) -> Bundle:
    manifest = bundle.manifest.model_copy(update={"two_scales": True})
    return replace(bundle, manifest=manifest, of_fine_pixels=of_fine_pixels)


@pytest.mark.parametrize("scale", [*SCALES, *(1 / scale for scale in SCALES)])
@given(data=st.data())
def test_resampling_is_linear_interpolation(scale, data):
    up, down = scale.as_integer_ratio()
    rows, cols = (down * data.draw(st.integers(2, 5)) for _ in "yx")
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    values = torch.from_numpy(rng.random((2, 3, rows, cols), np.float32))
    found = Resampling(3, up, down, whole=True, weight=0.5)(values) * 2
    expected = resized(values, float(scale))
    # Where shrinking would need pixels beyond the edge, torch takes those there are; we repeat the last one.
    edge = 1 if scale < 1 else 0
    inner = np.s_[:, :, edge : found.shape[2] - edge, edge : found.shape[3] - edge]
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.detach()[inner], expected[inner], atol=1e-5)
    np.testing.assert_allclose(linear_taps(up, down).sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("scale", SCALES)
def test_outputs_are_the_mean_of_both_looks(scale, runtime: RuntimeName, tiny_bundle: Bundle) -> None:
    bundle = at_two_scales(tiny_bundle, of_fine_pixels=scale < 1)
    assert bundle.second_scale == scale
    margin_px = -(-bundle.reach_px // bundle.stride_px) * bundle.stride_px
    scene = np.ones((1, 8, 64 + 2 * margin_px, 64 + 2 * margin_px), np.float32)
    scene[:, :4] = np.random.default_rng(4).random(scene[:, :4].shape, np.float32)
    first = as_trained(tiny_bundle, scene)
    second = as_trained(tiny_bundle, resized(torch.from_numpy(scene), float(scale)).numpy())
    share = 1 - FINER_SHARE if scale > 1 else FINER_SHARE
    inner = np.s_[:, :, 2 * margin_px : 2 * (64 + margin_px), 2 * margin_px : 2 * (64 + margin_px)]
    for name, values in load_runtime(bundle, "cpu", 1, runtime, margin_px=margin_px)(scene).items():
        brought_back = resized(torch.from_numpy(second[name]), 1 / float(scale)).numpy()
        expected = share * first[name] + (1 - share) * brought_back
        np.testing.assert_allclose(values, expected[inner], rtol=0, atol=PARITY, err_msg=name)


@pytest.mark.parametrize("of_fine_pixels", [False, True])
def test_tiles_equal_the_whole_scene_bit_for_bit(of_fine_pixels, runtime, tiny_bundle):
    bundle = at_two_scales(tiny_bundle, of_fine_pixels=of_fine_pixels)
    margin_px = -(-bundle.reach_px // bundle.stride_px) * bundle.stride_px
    scene = plane(bundle, 96 + 2 * margin_px)
    network = load_runtime(bundle, "cpu", 2, runtime, margin_px=margin_px)
    whole = network(scene)
    for core_px, places in ((16, ((0, 0), (80, 16))), (48, ((48, 0),)), (80, ((16, 16), (0, 16)))):
        side_px = core_px + 2 * margin_px
        tiles = np.concatenate([scene[:, :, row : row + side_px, col : col + side_px] for row, col in places])
        for name, values in network(tiles).items():
            for tile, (row, col) in zip(values, places, strict=True):
                core = np.s_[:, 2 * row : 2 * (row + core_px), 2 * col : 2 * (col + core_px)]
                np.testing.assert_array_equal(tile, whole[name][0][core], err_msg=name)


@pytest.mark.parametrize("of_fine_pixels", [False, True])
def test_a_tile_without_a_margin_is_computed_to_its_edge(of_fine_pixels, runtime, tiny_bundle):
    bundle = at_two_scales(tiny_bundle, of_fine_pixels=of_fine_pixels)
    outputs = load_runtime(bundle, "cpu", 1, runtime)(plane(bundle, 64))
    assert outputs["semantic"].shape == (1, 3, 128, 128)
    np.testing.assert_allclose(outputs["semantic"].sum(axis=1), 1, atol=1e-5)


def test_tiles_fit_both_looks(tiny_bundle):
    bundle = at_two_scales(tiny_bundle, of_fine_pixels=True)
    assert (bundle.stride_px, bundle.reach_px) == (
        2 * tiny_bundle.stride_px,
        2 * (tiny_bundle.reach_px + 2) + 2,
    )
    with pytest.raises(UsageError, match="margin of 24 px"):
        load_runtime(bundle, "cpu", 1, margin_px=24)


def test_the_second_look_follows_the_pixel_size(tiny_bundle):
    manifest = tiny_bundle.manifest.model_copy(update={"two_scales": True, "working_pixel_m": 10.0})
    bundle = replace(tiny_bundle, manifest=manifest)
    assert bundle.reading_pixel_m == 5
    scales = {pixel_m: bundle.for_pixels(pixel_m).second_scale for pixel_m in (2.5, 5, 7, 7.5, 10, 30)}
    coarser, finer = Fraction(1, 2), Fraction(3, 2)
    assert scales == {2.5: coarser, 5: coarser, 7: coarser, 7.5: finer, 10: finer, 30: finer}
    assert tiny_bundle.for_pixels(5) is tiny_bundle
    assert tiny_bundle.second_scale is None
