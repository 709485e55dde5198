"""Joining leaves no trace of a cut."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geopanoptic.labels.formats.shapes import without_holes
from geopanoptic.labels.joining import ROUNDING_PX, joined
from geopanoptic.labels.objects import on_corners


def same(before, after):
    return shapely.equals_exact(shapely.normalize(before), shapely.normalize(after), 0)


@st.composite
def stars(draw):
    """A polygon on half pixels around (32, 32), with a hole or without."""
    n = draw(st.integers(4, 14))
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    far = np.array([draw(st.integers(16, 60)) / 2 for _ in range(n)])
    ring = np.round(2 * (32 + far[:, None] * np.column_stack([np.cos(angle), np.sin(angle)]))) / 2
    star = shapely.Polygon(ring)
    if draw(st.booleans()):
        star = star.difference(shapely.Polygon([(30, 31), (34.5, 32), (31, 34)]))
    return star


@given(star=stars(), across=st.integers(32, 224), down=st.integers(8, 56), noise=st.integers(0, 2**32 - 1))
def test_a_shape_in_pieces_is_the_same_shape_again(star, across, down, noise):
    # Corners that lie on a straight line anyway may go: cutting cannot know them from its own.
    star, across = shapely.simplify(star, 1e-9), across / 4
    if not star.is_valid or star.geom_type != "Polygon":
        return
    quarters = shapely.box(
        [0, across, 0, across], [0, 0, down, down], [across, 64, across, 64], [down, down, 64, 64]
    )
    parts = shapely.get_parts(shapely.intersection(star, quarters))
    pieces = [piece for part in parts if part.area > 0 for piece in without_holes(part)]
    rng = np.random.default_rng(noise)
    rings = [shapely.get_coordinates(piece)[:-1] for piece in pieces]
    moved = [shapely.Polygon(on_corners(xy + rng.uniform(-1e-12, 1e-12, xy.shape))) for xy in rings]
    if all(piece.is_valid for piece in moved):
        assert same(star, joined(moved, ROUNDING_PX))


def test_corners_that_someone_drew_on_the_seam_stay():
    left = shapely.Polygon([(0, 0), (10, 2), (10, 8), (0, 10)])
    right = shapely.Polygon([(10, 2), (20, 0), (20, 10), (10, 8)])
    whole = joined([left, right], ROUNDING_PX)
    assert same(whole, shapely.Polygon([(0, 0), (10, 2), (20, 0), (20, 10), (10, 8), (0, 10)]))


def test_pieces_that_no_longer_meet_stay_as_they_are():
    left, right = shapely.box(0, 0, 10, 5), shapely.box(10, 2, 20, 7)
    assert same(joined([left, right], ROUNDING_PX), shapely.union(left, right))
    apart = joined([left, shapely.box(30, 30, 31, 31)], ROUNDING_PX)
    assert apart.geom_type == "MultiPolygon"
    assert joined([], ROUNDING_PX).is_empty


def test_edges_along_a_seam_that_one_piece_lost_stay():
    left = shapely.box(0, 0, 10, 10)
    right = shapely.Polygon([(10, 3.3), (20, 3), (20, 6), (10, 6.7)])
    whole = joined([left, right], ROUNDING_PX)
    assert whole.area == pytest.approx(left.area + right.area)
    assert len(whole.exterior.coords) == 9
