"""The picture is drawn for every kind of grid, and shows what it is given."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from matplotlib.image import imread
from numpy.typing import NDArray
from small_maps import CLASSES, PLACES, small_map

from geopanoptic.grid import Grid, Window
from geopanoptic.products.classes import rgb
from geopanoptic.products.picture import _rgba, draw_map, within


def grid_of(place: str, turn: Affine | None = None) -> Grid:
    """A grid of 40 x 120 pixels over the small map."""
    wkt, x, y, pixel = PLACES[place]
    transform = Affine(pixel, 0, x, 0, -pixel, y + 15 * pixel)
    return Grid(crs_wkt=wkt, transform=transform @ (turn or Affine.identity()), height=40, width=120)


def draw(
    path: Path, grid: Grid, place: str = "utm", image: NDArray[np.generic] | None = None
) -> NDArray[np.float32]:
    drawn = small_map(place)
    grey = np.full((*grid.shape, 3), 128, np.uint8) if image is None else image
    draw_map(path, grey, drawn.parcels, drawn.landcover, CLASSES, grid=grid, title="Title", attribution="Who")
    return imread(path)[..., :3]


def share(picture: NDArray[np.float32], colour: tuple[int, int, int]) -> float:
    return float((np.abs(picture - np.array(colour) / 255).max(axis=-1) < 0.01).mean())


@pytest.mark.parametrize("place", sorted(PLACES))
def test_every_crs(tmp_path: Path, place: str) -> None:
    picture = draw(tmp_path / "map.png", grid_of(place), place)
    assert share(picture, (128, 128, 128)) > 0.1
    assert share(picture, rgb(CLASSES[1].colour)) > 0.01


@pytest.mark.parametrize(
    "turn",
    [
        Affine.translation(0, 40) @ Affine.scale(1, -1),
        Affine.translation(120, 0) @ Affine.scale(-1, 1),
        Affine.rotation(20),
        Affine.rotation(90),
        Affine.shear(10),
    ],
    ids=["south-up", "mirrored", "rotated", "on its side", "sheared"],
)
def test_every_orientation(tmp_path: Path, turn: Affine) -> None:
    assert share(draw(tmp_path / "map.png", grid_of("utm", turn)), (128, 128, 128)) > 0.1


def test_south_up_looks_like_its_flipped_twin(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 120, 3), dtype=np.uint8)
    north = draw(tmp_path / "n.png", grid_of("utm"), image=image)
    flip = Affine.translation(0, 40) @ Affine.scale(1, -1)
    south = draw(tmp_path / "s.png", grid_of("utm", flip), image=image[::-1])
    assert np.abs(north - south).mean() < 0.002


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 500), (500, 1)])
def test_extreme_shapes(tmp_path: Path, height: int, width: int) -> None:
    wkt, x, y, pixel = PLACES["utm"]
    grid = Grid(crs_wkt=wkt, transform=Affine(pixel, 0, x, 0, -pixel, y + 5), height=height, width=width)
    draw(tmp_path / "map.png", grid)


def test_no_data_no_parcels_and_odd_titles(tmp_path: Path) -> None:
    nothing = small_map(parcels=0, landcover=0)
    grid = grid_of("utm")
    image = np.full((*grid.shape, 3), np.nan, np.float32)
    title = "Größe $x$ <b> \n 農地 _^{"
    draw_map(tmp_path / "map.png", image, nothing.parcels, nothing.landcover, CLASSES, grid=grid, title=title)
    assert (tmp_path / "map.png").stat().st_size > 5000


def test_a_class_may_be_called_as_formulas_are_written(tmp_path: Path) -> None:
    odd = [replace(each, name="a^$b_$") for each in CLASSES]
    given = small_map()
    image = np.zeros((*grid_of("utm").shape, 3), np.uint8)
    draw_map(
        tmp_path / "map.png", image, given.parcels, given.landcover, odd, grid=grid_of("utm"), title="a^$b_$"
    )
    assert (tmp_path / "map.png").stat().st_size > 5000


def test_same_bytes_twice(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        draw(tmp_path / name, grid_of("utm"))
    digests = {hashlib.sha256(each.read_bytes()).hexdigest() for each in tmp_path.iterdir()}
    assert len(digests) == 1


@pytest.mark.parametrize("place", sorted(PLACES))
def test_areas_on_the_page_are_those_of_the_ground_shown(place: str) -> None:
    whole = grid_of(place)
    halves = [whole.crop(Window(0, col, 40, col + 60)) for col in (0, 60)]
    for layer in (small_map(place).parcels, small_map(place).landcover):
        in_all, in_halves = within(layer, whole), [within(layer, half) for half in halves]
        assert (in_all["shown_m2"] <= in_all["area_m2"] * (1 + 1e-9)).all()
        parts = sum(float(half["shown_m2"].sum()) for half in in_halves)
        assert parts == pytest.approx(float(in_all["shown_m2"].sum()), rel=1e-9)
        assert sum(len(half) for half in in_halves) >= len(in_all)


def test_a_pixel_without_one_of_its_colours_has_no_data() -> None:
    image = np.full((1, 2, 3), 0.5, np.float32)
    image[0, 0, 1] = np.nan
    assert _rgba(image)[0, :, 3].tolist() == [0, 1]
