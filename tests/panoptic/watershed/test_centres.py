"""Centres against a brute-force reading of their definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from geopanoptic.grid import Window
from geopanoptic.panoptic.watershed.centres import find_centres

# The last is the processor by the operations of torch, which is how a GPU does it.
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else []), "cpu:0"]


def brute_force(
    heat: NDArray[np.uint16], domain: NDArray[np.bool_], radius_px: int, threshold: int
) -> NDArray[np.int64]:
    height, width = heat.shape
    found = []
    for row, col in np.argwhere(domain & (heat >= threshold)):
        rows = range(max(row - radius_px, 0), min(row + radius_px + 1, height))
        cols = range(max(col - radius_px, 0), min(col + radius_px + 1, width))
        rivals = [(int(heat[r, c]), -(r * width + c)) for r in rows for c in cols if domain[r, c]]
        if max(rivals) == (int(heat[row, col]), -(row * width + col)):
            found.append(row * width + col)
    return np.array(found, np.int64)


def in_blocks(
    heat: NDArray[np.uint16],
    domain: NDArray[np.bool_],
    radius_px: int,
    threshold: int,
    block_px: int,
    margin_px: int,
    device: str = "cpu",
) -> NDArray[np.int64]:
    """Blocks with a margin that reaches outside the scene, where the domain is False."""
    height, width = heat.shape
    # Heat outside the scene is high: it must not matter.
    padded_heat = np.pad(heat, margin_px, constant_values=65535)
    padded_domain = np.pad(domain, margin_px)
    scene = Window(-margin_px, -margin_px, height + margin_px, width + margin_px)
    parts = []
    for row in range(0, height, block_px):
        for col in range(0, width, block_px):
            core = Window(row, col, min(row + block_px, height), min(col + block_px, width))
            window = core.grown(margin_px)
            index = window.slices(scene)
            parts.append(
                find_centres(
                    padded_heat[index],
                    padded_domain[index],
                    core,
                    window,
                    width,
                    radius_px,
                    threshold,
                    device,
                )
            )
    return np.sort(np.concatenate(parts))


@settings(max_examples=80, deadline=None)
@given(
    height=st.integers(1, 22),
    width=st.integers(1, 22),
    levels=st.sampled_from([1, 2, 4, 65536]),
    inside=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
    radius_px=st.integers(0, 6),
    threshold=st.sampled_from([0, 1, 3, 30000]),
    block_px=st.integers(1, 24),
    extra_margin_px=st.integers(0, 3),
    random_seed=st.integers(0, 2**32 - 1),
)
def test_equals_the_definition_for_any_blocks(
    height: int,
    width: int,
    levels: int,
    inside: float,
    radius_px: int,
    threshold: int,
    block_px: int,
    extra_margin_px: int,
    random_seed: int,
) -> None:
    rng = np.random.default_rng(random_seed)
    heat = rng.integers(0, levels, (height, width)).astype(np.uint16)
    domain = rng.random((height, width)) < inside
    expected = brute_force(heat, domain, radius_px, threshold)
    for device in DEVICES:
        margin_px = radius_px + extra_margin_px
        centres = in_blocks(heat, domain, radius_px, threshold, block_px, margin_px, device)
        np.testing.assert_array_equal(centres, expected, err_msg=device)


def test_a_plateau_has_centres_no_closer_than_the_radius() -> None:
    heat, domain = np.full((40, 40), 9, np.uint16), np.ones((40, 40), bool)
    window = Window(0, 0, 40, 40)
    assert find_centres(heat, domain, window, window, 40, 3, 1).tolist() == [0]
    assert find_centres(heat, domain, window, window, 40, 3, 10).size == 0


def test_a_device_without_room_leaves_it_to_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(torch.nn.functional, "max_pool2d", full)
    heat, window = np.full((40, 40), 9, np.uint16), Window(0, 0, 40, 40)
    assert find_centres(heat, heat > 0, window, window, 40, 3, 1, "cpu:0").tolist() == [0]


def test_without_a_margin_at_the_scene_edge() -> None:
    heat = np.array([[5, 0, 0], [0, 0, 0], [0, 0, 6]], np.uint16)
    domain, scene = np.ones((3, 3), bool), Window(0, 0, 3, 3)
    assert find_centres(heat, domain, scene, scene, 3, 1, 1).tolist() == [0, 8]
    assert find_centres(heat, domain, scene, scene, 3, 2, 1).tolist() == [8]


def test_indices_beyond_32_bits_and_many_centres() -> None:
    heat, domain = np.zeros((90, 90), np.uint16), np.ones((90, 90), bool)
    heat[::2, ::2] = 7
    window = Window(99_000, 99_000, 99_090, 99_090)
    rows, cols = np.nonzero(heat)
    expected = (rows + 99_000) * 100_000 + cols + 99_000
    centres = find_centres(heat, domain, window, window, 100_000, 1, 1)
    assert centres.dtype == np.int64
    assert len(centres) > 1024
    np.testing.assert_array_equal(centres, expected)


def test_refuses_what_does_not_fit() -> None:
    heat, domain, window = np.zeros((4, 5), np.uint16), np.ones((4, 5), bool), Window(0, 0, 4, 5)
    with pytest.raises(ValueError, match="must be"):
        find_centres(heat[1:], domain, window, window, 5, 1, 0)
    with pytest.raises(ValueError, match="uint16"):
        find_centres(heat, domain.astype(np.uint8), window, window, 5, 1, 0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="core"):
        find_centres(heat, domain, Window(0, 0, 4, 6), window, 5, 1, 0)
    with pytest.raises(ValueError, match="radius"):
        find_centres(heat, domain, window, window, 5, -1, 0)
