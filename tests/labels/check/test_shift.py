"""The offset between outlines and edges: found to a tenth of a pixel, and not where there is none."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, gaussian_gradient_magnitude

from geopanoptic.labels.check.shift import Offset, _issue, _refined, offset_of, outline_density, votes

SIDE = 192
CELL = 12


def cells() -> np.ndarray:
    """Rectangles of different sizes that fill an image, some of them as multipolygons."""
    rng = np.random.default_rng(0)
    cuts = np.concatenate(
        [[0], np.sort(rng.choice(np.arange(4, SIDE - 4), SIDE // CELL, replace=False)), [SIDE]]
    )
    rows = np.concatenate(
        [[0], np.sort(rng.choice(np.arange(4, SIDE - 4), SIDE // CELL, replace=False)), [SIDE]]
    )
    boxes = [
        shapely.box(left, top, right, low)
        for top, low in zip(rows[:-1], rows[1:], strict=True)
        for left, right in zip(cuts[:-1], cuts[1:], strict=True)
    ]
    return np.array(
        [shapely.multipolygons([box]) if n % 2 else box for n, box in enumerate(boxes)], dtype=object
    )


def edges_of(boxes: np.ndarray, seed: int) -> np.ndarray:
    """Edges of a noisy image in which every box has a grey of its own."""
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 0.1, (SIDE, SIDE))
    for box in boxes:
        left, top, right, low = map(int, box.bounds)
        image[top:low, left:right] += rng.uniform(0, 1)
    gradient = gaussian_gradient_magnitude(image, 1.0)
    return (gradient / (gradient + np.median(gradient))).astype(np.float32)


@settings(max_examples=15)
@given(cols=st.floats(-7, 7), rows=st.floats(-7, 7), seed=st.integers(0, 100))
def test_the_offset_is_found_below_a_pixel(cols, rows, seed):
    boxes = cells()
    edges = edges_of(boxes, seed)
    moved = shapely.transform(boxes, lambda xy: xy + (cols, rows))
    found = offset_of(votes(outline_density(moved, edges.shape), edges, 12).score_bdd)
    assert found.vector == pytest.approx([-cols, -rows], abs=0.5)
    assert found.significant or found.length_px < 1.0


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_edges_that_have_nothing_to_do_with_the_labels_give_no_alarm(seed):
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(SIDE, SIDE)), 1.5).astype(np.float32)
    density = outline_density(cells(), noise.shape)
    assert not offset_of(votes(density, np.abs(noise), 12).score_bdd).significant


def test_a_shared_border_counts_once_and_keeps_its_place():
    pair = np.array([shapely.box(2, 2, 8.25, 14), shapely.box(8.25, 2, 14, 14)], dtype=object)
    density = outline_density(pair, (16, 16))
    assert density[8, 6:10].tolist() == pytest.approx([0.0, 0.5, 1.0, 0.0])
    assert outline_density(pair[:1], (16, 16))[8, 6:10].tolist() == pytest.approx([0.0, 0.25, 0.75, 0.0])


def test_too_few_outlines_say_nothing():
    density = outline_density(np.array([shapely.box(4, 4, 12, 12)], dtype=object), (SIDE, SIDE))
    assert offset_of(votes(density, np.ones((SIDE, SIDE), np.float32), 8).score_bdd) is None


def test_the_way_to_move_is_told():
    offset = Offset(cols=-4.3, rows=2.7, error_px=0.1, t=9.0, t_needed=4.0, blocks=20)
    told = _issue("error", "All labels lie", offset, shapely.box(0, 0, 1, 1)).message
    assert "move them 4.3 px left and 2.7 px down" in told


def test_the_top_of_a_parabola_is_found():
    rows, cols = np.meshgrid([-1.0, 0, 1], [-1.0, 0, 1], indexing="ij")
    assert _refined(-((rows - 0.3) ** 2) - (cols + 0.2) ** 2) == pytest.approx([0.3, -0.2])
