"""Scenes with drawn fields: what is known, what is held out, what is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS
from rasterio.features import rasterize
from shapely import Point, box
from tiny_training import write_patchwork

from geopanoptic.errors import SceneError, UsageError
from geopanoptic.grid import Grid, Window
from geopanoptic.models.manifest import ClassSpec
from geopanoptic.pipeline.network.reading import scene_dates
from geopanoptic.pipeline.run import plan
from geopanoptic.scene import measure
from geopanoptic.training.config import TrainingConfig
from geopanoptic.training.datasets.labelled_scene import LabelledScene
from geopanoptic.training.datasets.settings import VectorData
from geopanoptic.training.datasets.vectors import Fields, folds_of, read_fields
from geopanoptic.training.folds import balanced_folds
from geopanoptic.training.synthetic import BANDS

CLASSES = TrainingConfig.model_fields["classes"].default
MORE_KINDS = (ClassSpec(id=9, name="orchard", kind="thing", colour="#aa5500"),)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> VectorData:
    """A patchwork of 192 px with 40 of its fields."""
    folder = tmp_path_factory.mktemp("labelled")
    scene, fields = write_patchwork(folder)
    fields.sample(40, random_state=0).to_crs("EPSG:4326").to_file(folder / "fields.gpkg")
    return VectorData(kind="vectors", scene=str(scene), labels=folder / "fields.gpkg")


def opened(settings: VectorData, **changes: object) -> LabelledScene:
    return LabelledScene.open(settings.model_copy(update=changes), bands=BANDS, classes=CLASSES)


def pixel_fields(*boxes: tuple[float, float, float, float], known: str = "sparse") -> Fields:
    outlines = np.array([box(*each) for each in boxes])
    return Fields(
        outlines=outlines,
        chosen=np.ones(len(outlines), bool),
        known=known,  # type: ignore[arg-type]
        tree=shapely.STRtree(outlines),
    )


def test_only_labelled_ground_and_thin_gaps_between_fields_are_known() -> None:
    raster = pixel_fields((10, 10, 30, 30), (34, 10, 60, 30)).rasterise(Window(0, 0, 50, 80))
    assert (raster[10:30, 10:30] == 1).all()
    assert (raster[10:30, 34:60] == 2).all()
    assert (raster[12:28, 30:34] == 0).all()
    known = raster >= 0
    known[10:30, 10:60] = False
    assert not known.any()


def test_wide_gaps_are_unknown_unless_all_fields_are_drawn() -> None:
    boxes = ((10, 10, 30, 30), (50, 10, 60, 30))
    assert (pixel_fields(*boxes).rasterise(Window(0, 0, 50, 80))[12:28, 31:49] == -1).all()
    full = pixel_fields(*boxes, known="full").rasterise(Window(0, 0, 50, 80))
    assert (full[10:30, 31:49] == 0).all()
    assert (full[:10] == -1).all()
    assert (full[:, 60:] == -1).all()


def test_the_smaller_of_two_overlapping_fields_lies_on_top() -> None:
    raster = pixel_fields((0, 0, 10, 10), (0, 0, 40, 40)).rasterise(Window(0, 0, 40, 40))
    assert (raster[:10, :10] == 1).all()
    assert (raster[20:, 20:] == 2).all()


@settings(max_examples=25)
@given(st.integers(0, 30), st.integers(0, 30))
def test_windows_agree_where_they_overlap(row: int, col: int) -> None:
    fields = pixel_fields((5.3, 4, 19, 22.8), (21, 3, 40, 30), (8, 26, 20, 44))
    whole = fields.rasterise(Window(-20, -20, 90, 90))
    part = Window(row, col, row + 20, col + 20)
    inner = fields.rasterise(part.grown(3))[3:-3, 3:-3]
    np.testing.assert_array_equal(inner, whole[part.slices(Window(-20, -20, 90, 90))])


def test_images_are_what_a_run_gives_the_network(labelled: VectorData) -> None:
    dataset = opened(labelled)
    window = Window(40, 60, 104, 124)
    patch = dataset.read(window)
    planned = plan(labelled.scene, model="fields-s")
    (date,) = scene_dates(planned, measure(planned.scene, planned.bands))
    expected, valid = date(window)
    np.testing.assert_allclose(
        patch.image_tchw[0], expected[: len(BANDS)], atol=2e-3
    )  # stored in half precision
    np.testing.assert_array_equal(patch.seen_tchw[0], expected[len(BANDS) :] > 0)
    assert valid.all()


def test_labels_lie_where_they_were_drawn(labelled: VectorData) -> None:
    dataset = opened(labelled)
    grid = dataset.scene.grid.scaled(2)
    drawn = geopandas.read_file(labelled.labels).to_crs(grid.crs)
    expected = rasterize(drawn.geometry, out_shape=grid.shape, transform=grid.transform)
    whole = dataset.fields.rasterise(grid.window)
    # Pixel centres next to an outline may change sides on the way through degrees.
    assert ((whole > 0) != (expected > 0)).mean() < 1e-3


def test_every_date_is_shown_with_its_day(labelled: VectorData, tmp_path: Path) -> None:
    dates = tuple(str(tmp_path / f"S2_{day}.tif") for day in ("20210701", "20210401"))
    for path in dates:
        shutil.copy(str(labelled.scene), path)
    single = opened(labelled).draw(64, np.random.default_rng(0), sample=0)
    patch = opened(labelled, scene=dates).draw(64, np.random.default_rng(0), sample=0)
    assert patch.day_t.tolist() == [91, 182]
    assert np.isnan(single.day_t).all()
    for image in patch.image_tchw:
        np.testing.assert_array_equal(image, single.image_tchw[0])
    kinds = LabelledScene.open(labelled, bands=BANDS, classes=[*CLASSES, *MORE_KINDS])
    assert (kinds.draw(64, np.random.default_rng(0), sample=0).classes_hw == 255).all()


def test_every_patch_shows_a_labelled_field_and_repeats(labelled: VectorData) -> None:
    dataset = opened(labelled)
    for seed in range(10):
        patch, again = (dataset.draw(64, np.random.default_rng(seed), sample=0) for _ in range(2))
        assert patch.shape == (64, 64)
        assert (patch.instances_hw > 0).any()
        np.testing.assert_array_equal(patch.instances_hw, again.instances_hw)
        assert (patch.classes_hw[patch.instances_hw > 0] == 0).all()
        assert (patch.classes_hw[patch.instances_hw <= 0] == 255).all()


def test_held_out_fields_and_training_fields_share_no_pixel_and_no_block(labelled: VectorData) -> None:
    training, held_out = (opened(labelled, fold=1, part=part) for part in ("training", "held-out"))
    assert (training.fields.chosen != held_out.fields.chosen).all()
    grid = training.scene.grid.scaled(2)
    one, other = (each.fields.rasterise(grid.window) for each in (training, held_out))
    assert not ((one >= 0) & (other >= 0)).any()
    blocks = []
    for dataset in (training, held_out):
        inner = shapely.point_on_surface(dataset.fields.outlines[dataset.fields.chosen])
        blocks.append({(int(p.y // 128), int(p.x // 128)) for p in inner})
    assert not blocks[0] & blocks[1]


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=60), st.integers(2, 5)
)
def test_folds_follow_blocks_and_are_balanced(places: list[tuple[int, int]], folds: int) -> None:
    rows, cols = np.array(places).T
    fold = balanced_folds(rows, cols, folds)
    assert fold.min() >= 0
    assert fold.max() < folds
    of_block = dict(zip(places, fold.tolist(), strict=True))
    assert [of_block[place] for place in places] == fold.tolist()
    sizes = np.bincount(fold, minlength=folds)
    largest_block = max(places.count(place) for place in set(places))
    assert sizes.max() - sizes.min() <= largest_block
    order = np.random.default_rng(0).permutation(len(places))
    np.testing.assert_array_equal(balanced_folds(rows[order], cols[order], folds), fold[order])


def test_the_size_of_blocks_is_in_metres(labelled: VectorData) -> None:
    dataset = opened(labelled)
    frame, _ = read_fields(labelled.labels, dataset.scene.grid)
    for block_m, n_folds in ((10_000, 1), (300, 4)):
        (fold,) = folds_of([frame], [dataset.scene.grid], folds=4, block_m=block_m)
        assert len(set(fold)) == n_folds


def test_fields_in_one_place_get_smaller_blocks(labelled: VectorData) -> None:
    grid = opened(labelled).scene.grid
    near = [box(600_000 + 90 * n, 5_699_900, 600_080 + 90 * n, 5_699_980) for n in range(6)]
    frame = geopandas.GeoDataFrame(geometry=near, crs=grid.crs)
    assert sorted(np.bincount(folds_of([frame], [grid], folds=2)[0]).tolist()) == [2, 4]
    assert len(set(folds_of([frame], [grid], folds=2, block_m=640)[0])) == 1


@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:32633"])
def test_scenes_of_one_ground_hold_out_the_same_fields(labelled: VectorData, crs: str) -> None:
    grid = opened(labelled).scene.grid
    fields, _ = read_fields(labelled.labels, grid)
    other = replace(grid.crop(Window(7, 13, 192, 192)), crs_wkt=fields.crs.to_wkt())
    if crs != "EPSG:32632":
        x, y = fields.to_crs(crs).total_bounds[[0, 3]]
        other = Grid(crs_wkt=CRS(crs).to_wkt(), transform=Affine(10, 0, x, 0, -10, y), height=190, width=190)
    odd = fields.iloc[1::2]
    one, again = folds_of([fields, odd.to_crs(crs)], [grid, other], folds=3)
    np.testing.assert_array_equal(one[1::2], again)
    assert set(one) == {0, 1, 2}


def write(folder: Path, geometries: list[object], crs: str | None) -> Path:
    path = folder / "labels.gpkg"
    geopandas.GeoDataFrame(geometry=geometries, crs=crs).to_file(path)
    return path


@pytest.mark.filterwarnings("ignore:'crs' was not provided:UserWarning")
@pytest.mark.parametrize(
    ("geometries", "crs", "message"),
    [
        ([Point(600_500, 5_699_500)], "EPSG:32632", "no polygons, but Point"),
        ([box(600_500, 5_699_000, 600_700, 5_699_200)], None, "no CRS"),
        ([box(0, 0, 100, 100)], "EPSG:32632", "None of the 1 polygons .* overlaps the scene"),
        ([box(600_500, 5_699_000, 600_502, 5_699_002)], "EPSG:32632", "no field of at least"),
    ],
)
def test_labels_that_cannot_be_meant_are_refused(
    labelled: VectorData, tmp_path: Path, geometries: list[object], crs: str | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        opened(labelled, labels=write(tmp_path, geometries, crs))


def test_of_several_layers_parcels_are_read_else_the_first_of_polygons(
    labelled: VectorData, tmp_path: Path
) -> None:
    grid = opened(labelled).scene.grid
    fields, _ = read_fields(labelled.labels, grid)
    path = tmp_path / "map.gpkg"
    fields.set_geometry(fields.centroid).to_file(path, layer="centres")
    fields.iloc[:2].to_file(path, layer="water")
    assert len(read_fields(path, grid)[0]) == 2
    fields.to_file(path, layer="parcels")
    assert len(read_fields(path, grid)[0]) == len(fields)
    assert len(read_fields(path, grid, layer="water")[0]) == 2
    with pytest.raises(UsageError, match=r"map.gpkg has no layer 'fields'; there is centres, water, parcels"):
        read_fields(path, grid, layer="fields")


def test_labels_of_any_name_are_read(labelled: VectorData, tmp_path: Path) -> None:
    path = tmp_path / "Neu! maps" / "fields.gpkg"
    path.parent.mkdir()
    path.write_bytes(labelled.labels.read_bytes())
    assert np.array_equal(opened(labelled, labels=path).fields.outlines, opened(labelled).fields.outlines)


def test_geoparquet_is_read(labelled: VectorData, tmp_path: Path) -> None:
    fields = geopandas.read_file(labelled.labels).rename_geometry("outline")
    fields.to_parquet(tmp_path / "fields.parquet")
    dataset = opened(labelled, labels=tmp_path / "fields.parquet")
    assert np.array_equal(dataset.fields.outlines, opened(labelled).fields.outlines)
    fields.drop(columns="outline").to_parquet(tmp_path / "table.parquet")
    with pytest.raises(UsageError, match="cannot be read"):
        opened(labelled, labels=tmp_path / "table.parquet")


def test_an_outline_counts_once_and_parts_are_told(labelled: VectorData, tmp_path: Path) -> None:
    grid = opened(labelled).scene.grid
    fields, notes = read_fields(labelled.labels, grid)
    assert notes == ()
    whole = shapely.MultiPolygon(list(fields.geometry))
    path = tmp_path / "copies.gpkg"
    geopandas.GeoDataFrame(geometry=[whole] * 3, crs=fields.crs).to_file(path)
    read, notes = read_fields(path, grid)
    assert len(read) == 40
    assert notes == ("120 parts of 3 rows count one by one", "80 repeated outlines were left out")


def test_polygons_in_collections_are_read_and_rows_without_one_told(
    labelled: VectorData, tmp_path: Path
) -> None:
    grid = opened(labelled).scene.grid
    fields = geopandas.read_file(labelled.labels)
    outlines = list(fields.geometry)
    parts = [Point(0, 0), shapely.MultiPolygon(outlines[:2])]
    outlines[:3] = [shapely.GeometryCollection(parts), None, Point(0, 0)]
    read, notes = read_fields(write(tmp_path, outlines, fields.crs), grid)
    assert len(read) == 39
    assert notes == ("2 rows without a polygon were left out", "39 parts of 38 rows count one by one")


def test_ground_that_the_scene_does_not_show_is_no_field(labelled: VectorData, tmp_path: Path) -> None:
    with rasterio.open(str(labelled.scene)) as stored:
        image, profile, names = stored.read(), stored.profile, stored.descriptions
    image[:, :, :96] = 0
    with rasterio.open(tmp_path / "half.tif", "w", **profile | {"nodata": 0}) as target:
        target.write(image)
        target.descriptions = names
    middle = 600_960
    hidden = box(600_100, 5_699_000, middle, 5_699_200)
    beyond = [
        box(middle - 500, 5_699_300, middle + 15, 5_699_500),
        box(middle + 100, 5_699_500, 700_000, 5_699_600),
    ]
    labels = write(tmp_path, [hidden, *beyond], "EPSG:32632")
    dataset = opened(labelled, scene=str(tmp_path / "half.tif"), labels=labels)
    assert dataset.fields.chosen.tolist() == [False, True, True]
    assert shapely.total_bounds(dataset.fields.outlines)[2] == 2 * 192
    with pytest.raises(UsageError, match=r"no field of at least 8 output pixels that half shows"):
        opened(labelled, scene=str(tmp_path / "half.tif"), labels=write(tmp_path, [hidden], "EPSG:32632"))


def test_rows_without_a_geometry_are_told(labelled: VectorData, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no polygons, and none of its 2 rows has a geometry"):
        opened(labelled, labels=write(tmp_path, [None, None], "EPSG:32632"))


def test_a_field_that_the_projection_does_not_reach_is_none(labelled: VectorData, tmp_path: Path) -> None:
    grid = opened(labelled).scene.grid
    fields = geopandas.read_file(labelled.labels)
    fields.loc[len(fields), "geometry"] = box(-80, 0, -79.9, 0.1)
    fields.to_file(tmp_path / "stray.gpkg")
    assert len(read_fields(tmp_path / "stray.gpkg", grid)[0]) == len(fields) - 1


def test_missing_files_are_refused(labelled: VectorData, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        opened(labelled, labels=tmp_path / "none.gpkg")
    with pytest.raises(SceneError):
        opened(labelled, scene=str(tmp_path / "none.tif"))
