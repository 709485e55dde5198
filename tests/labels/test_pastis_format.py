"""PASTIS: patches come back, real ones too, and what is written the project's own training reads."""

import numpy as np
import pyproj
import pytest
from affine import Affine
from test_raster_formats import image

from geopanoptic.errors import UsageError
from geopanoptic.labels.convert import convert
from geopanoptic.labels.formats.format import ReadOptions, WriteOptions
from geopanoptic.labels.formats.registry import format_named, recognise
from geopanoptic.labels.objects import Canvas, RasterLabels
from geopanoptic.labels.tiles import stitch
from geopanoptic.training.pastis.folder import PastisFolder
from geopanoptic.training.synthetic import synthesize

PASTIS = format_named("pastis")


@pytest.fixture
def two_patches():
    rng = np.random.default_rng(0)
    blocks = [np.kron(rng.integers(0, 4, (8, 8)), np.ones((16, 16), int)).astype(np.int32) for _ in range(2)]
    classes = {1: "corn", 2: "meadow", 3: "corn"}
    return [image(ids * 1000, {1000 * k: name for k, name in classes.items()}, name=f"p{n}.tif")
            for n, ids in enumerate(blocks)]  # fmt: skip


def test_patches_come_back_with_ids_and_classes(tmp_path, two_patches):
    target = tmp_path / "set"
    told = PASTIS.write(iter(two_patches), target, WriteOptions())
    assert (told.images, told.losses) == (2, ())
    assert recognise(target).name == "pastis"
    again = list(PASTIS.read(target, ReadOptions(taxonomy=two_patches[0].taxonomy)))
    for before, after in zip(two_patches, again, strict=True):
        np.testing.assert_array_equal(before.ids_hw, after.ids_hw)
        wanted = before.objects.set_index("object_id")["class_name"]
        assert after.objects.set_index("object_id")["class_name"].to_dict() == wanted.to_dict()
        assert after.canvas.image == before.canvas.image


def test_training_reads_what_is_written(tmp_path, two_patches):
    PASTIS.write(iter(two_patches), tmp_path / "set", WriteOptions())
    folder = PastisFolder.open(tmp_path / "set")
    stored = folder.labels(folder.patches[0])
    assert stored.instances_hw.max() == 3
    np.testing.assert_array_equal(stored.instances_hw > 0, two_patches[0].ids_hw > 0)
    heat = np.load(tmp_path / "set" / "INSTANCE_ANNOTATIONS" / "HEATMAP_10000.npy")
    assert heat.max() == 1


def test_the_nine_real_patches_come_back_in_their_places(shared_data, tmp_path):
    source = shared_data / "pastis-labels"
    assert recognise(source).name == "pastis"
    done = convert(source, tmp_path / "again", to="pastis")
    assert (done.images, done.objects) == (9, 792)
    assert "TARGET" in done.notes[0]
    before = list(PASTIS.read(source, ReadOptions()))
    after = list(PASTIS.read(tmp_path / "again", ReadOptions()))
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old.ids_hw, new.ids_hw)
        assert old.canvas == new.canvas
        assert old.canvas.transform.a == 10
        assert old.canvas.crs.to_epsg() in (32630, 32631, 32632)


def test_a_scene_is_cut_into_patches_and_put_together(tmp_path):
    scene = synthesize((150, 200), bands=("red",), character="mosaic", seed=5)
    scene.to_geotiff(tmp_path / "scene.tif")
    scene.to_gpkg(tmp_path / "truth.gpkg")
    convert(tmp_path / "truth.gpkg", tmp_path / "truth.tif", to="raster", image=tmp_path / "scene.tif")
    done = convert(tmp_path / "truth.tif", tmp_path / "set", to="pastis")
    assert done.images == 4
    assert "land cover became background" in done.losses[0]
    convert(tmp_path / "set", tmp_path / "back.tif", to="raster")
    (before,) = format_named("raster").read(tmp_path / "truth.tif", ReadOptions())
    (after,) = format_named("raster").read(tmp_path / "back.tif", ReadOptions())
    kinds = {each.name: each.kind for each in before.taxonomy.classes}
    things = before.objects.loc[before.objects["class_name"].map(kinds) == "thing", "object_id"]
    np.testing.assert_array_equal(np.where(np.isin(before.ids_hw, things), before.ids_hw, 0), after.ids_hw)


def test_a_parcel_of_two_patches_is_one_object(tmp_path, two_patches):
    ids = np.full((128, 128), 77, np.int32)
    crs = pyproj.CRS(32631).to_wkt()
    placed = [
        RasterLabels(
            ids_hw=ids,
            objects=image(ids, {77: "corn"}).objects,
            taxonomy=two_patches[0].taxonomy,
            canvas=Canvas(image=f"{n}.tif", height=128, width=128, crs_wkt=crs,
                          transform=Affine(10, 0, 500_000 + 1280 * n, 0, -10, 5_000_000)),
        )
        for n in range(2)
    ]  # fmt: skip
    PASTIS.write(iter(placed), tmp_path / "set", WriteOptions())
    whole = stitch(PASTIS.read(tmp_path / "set", ReadOptions(taxonomy=two_patches[0].taxonomy)))
    assert whole.objects["object_id"].tolist() == [77]
    assert whole.objects.area.tolist() == pytest.approx([2 * 1280**2])


def test_what_does_not_fit_is_refused(tmp_path, two_patches):
    large = image(np.ones((129, 20), np.int32), {1: "corn"})
    with pytest.raises(UsageError, match="--tile 128"):
        PASTIS.write(iter([large]), tmp_path / "large", WriteOptions())
    PASTIS.write(iter(two_patches), tmp_path / "set", WriteOptions())
    target = tmp_path / "set" / "ANNOTATIONS" / "TARGET_10001.npy"
    np.save(target, np.full((3, 128, 128), 30, np.uint8))
    with pytest.raises(UsageError, match="class 30 is none of"):
        list(PASTIS.read(tmp_path / "set", ReadOptions()))
    np.save(target, np.zeros((3, 5, 5), np.uint8))
    with pytest.raises(UsageError, match="do not belong together"):
        list(PASTIS.read(tmp_path / "set", ReadOptions()))
