"""From files to named bands, dates and one grid."""

from __future__ import annotations

import pickle
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from rasterio.enums import ColorInterp
from tiny_rasters import RGB, TEN_METRES, ramp, write_raster

from geopanoptic.errors import SceneError, UsageError
from geopanoptic.scene import as_scene, open_scene

RGBN = ("red", "green", "blue", "nir")


def test_descriptions_name_the_bands(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "scene.tif", ramp(4, 5, 6), names=RGBN, nodata=0)
    scene = open_scene(path)
    assert scene.bands == RGBN
    assert scene.dates == (None,)
    assert scene.grid.shape == (5, 6)
    assert scene.grid.transform == TEN_METRES
    assert scene.dtype == np.uint16
    assert scene.nodata == (0, 0, 0, 0)
    assert scene.files == (path.resolve(),)
    assert scene.name == "scene"
    assert scene.warnings == ()


def test_band_tags_name_the_bands(tmp_path: Path) -> None:
    import rasterio

    path = write_raster(tmp_path / "scene.tif", ramp(3, 4, 4))
    with rasterio.open(path, "r+") as dataset:
        for index, name in enumerate(("Blue", "Green", "Red"), 1):
            dataset.update_tags(index, common_name=name)
    assert open_scene(path).bands == ("blue", "green", "red")


@pytest.mark.parametrize(
    ("names", "bands"),
    [
        (["s2_l3a_20210615_blue.tif", "s2_l3a_20210615_nir.tif"], ("blue", "nir")),
        (["T32UQD_20210615T101559_B04_10m.tif", "T32UQD_20210615T101559_B8A_20m.tif"], ("red", "nir08")),
        (["LC08_L2SP_193024_20210615_20210622_02_T1_SR_B4.tif"], ("red",)),
        (["LT05_L2SP_193024_20210615_20210622_02_T1_SR_B4.tif"], ("nir",)),
        (["20210615_B02.tif", "20210615_B12.tif"], ("blue", "swir22")),
    ],
)
def test_file_names_name_band_and_date(tmp_path: Path, names: list[str], bands: tuple[str, ...]) -> None:
    for name in names:
        write_raster(tmp_path / name, ramp(4, 4))
    for source in (tmp_path, [tmp_path / name for name in names]):
        scene = open_scene(source)
        assert scene.bands == bands
        assert scene.dates == (date(2021, 6, 15),)


def test_codes_without_a_known_sensor_are_refused(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "scene.tif", ramp(3, 4, 4), names=("B4", "B3", "B2"))
    with pytest.raises(SceneError, match=r"different satellites.*--bands"):
        open_scene(path)
    tagged = write_raster(
        tmp_path / "tagged.tif", ramp(3, 4, 4), names=("B4", "B3", "B2"), tags={"SPACECRAFT_ID": "LANDSAT_5"}
    )
    assert open_scene(tagged).bands == ("nir", "red", "green")


@pytest.mark.parametrize("name", ["Band{:02}", "band_{:02}", "Band {:02}", "b{:02}", "B{:02}"])
def test_bands_that_are_only_counted_are_refused(tmp_path: Path, name: str) -> None:
    path = write_raster(
        tmp_path / "scene.tif", ramp(4, 4, 4), names=[name.format(number) for number in (1, 2, 3, 4)]
    )
    with pytest.raises(SceneError, match=r"different satellites.*--bands"):
        open_scene(path)
    files = [
        write_raster(tmp_path / f"x_20210615_{name.format(n).replace(' ', '_')}.tif", ramp(4, 4))
        for n in (1, 2, 3, 4)
    ]
    with pytest.raises(SceneError, match=r"different satellites.*--bands"):
        open_scene(files)


def test_a_sensor_told_by_band_numbers_alone_is_noted(tmp_path: Path) -> None:
    values = ramp(4, 4, 4)
    path = write_raster(tmp_path / "scene.tif", values, names=("B02", "B03", "B04", "B08"))
    scene = open_scene(path)
    assert scene.bands == ("blue", "green", "red", "nir")
    assert scene.warnings == ()
    assert "--bands" in scene.notes[0]
    stated = write_raster(tmp_path / "S2A.tif", values, names=("B02", "B03", "B04", "B08"))
    assert open_scene(stated).notes == ()
    listed = open_scene(write_raster(tmp_path / "nameless.tif", values), bands="b02,b03,b04,b08")
    assert listed.bands == scene.bands
    # A file may count its bands so; a list that says B01 means the code.
    counted = open_scene(tmp_path / "nameless.tif", bands="B01,B02,B03,B04")
    assert counted.bands == ("blue", "green", "red")


def test_bands_that_only_resemble_ours_are_left_out(tmp_path: Path) -> None:
    names = ("coastal_blue", "blue", "green_i", "green", "yellow", "red", "rededge", "nir", "red_uncertainty")
    scene = open_scene(write_raster(tmp_path / "scene.tif", ramp(9, 4, 4), names=names))
    assert [(layer.band, layer.index) for layer in scene.layers] == [
        ("blue", 2), ("green", 4), ("red", 6), ("nir", 8),
    ]  # fmt: skip
    assert [text.split("(")[1].split(",")[0] for text in scene.warnings] == [
        "green_i", "yellow", "rededge", "red_uncertainty",
    ]  # fmt: skip


def test_one_band_that_comes_twice_is_not_taken_for_two_dates(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "scene.tif", ramp(4, 4, 4), names=("blue", "green", "red", "red 2"))
    with pytest.raises(SceneError, match="red comes twice") as refused:
        open_scene(path)
    assert "--dates" not in str(refused.value)


def test_the_list_of_bands_wins_and_skips(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "scene.tif", ramp(5, 3, 3), names=(*RGBN, "ndvi"))
    assert open_scene(path, bands="nir, red ,-,B,-").bands == ("nir", "red", "blue")
    files = [write_raster(tmp_path / f"{n}.tif", ramp(3, 3)) for n in range(3)]
    assert open_scene(files, bands=RGB).bands == RGB


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        ("red,green", "has 2 names .*scene.tif has 4 bands.*'-' leaves a band out"),
        ("red,red,blue,nir", "red comes twice"),
        ("-,-,-,-", "Every band is left out"),
        ("B4,-,-,-", "different satellites"),
        ("", "has 1 names"),
    ],
)
def test_lists_of_bands_that_cannot_be_meant(tmp_path: Path, bands: str, message: str) -> None:
    path = write_raster(tmp_path / "scene.tif", ramp(4, 3, 3))
    with pytest.raises(SceneError, match=message):
        open_scene(path, bands=bands)


def test_words_that_are_no_band_date_or_crs_are_wrong_options(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "scene.tif", ramp(4, 3, 3), names=RGBN)
    with pytest.raises(UsageError, match=r"'gren' is not a band name\. Did you mean 'green'"):
        open_scene(path, bands="red,gren,blue,nir")
    for option in ("dates", "start", "end"):
        with pytest.raises(UsageError, match="'June' is not a date"):
            open_scene(path, **{option: "June"})
    with pytest.raises(UsageError, match="not a coordinate reference system"):
        open_scene(path, assume_crs="EPSG:99999")


def test_a_crs_that_is_assumed_in_vain_is_told(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "scene.tif", ramp(4, 3, 3), names=RGBN, crs="EPSG:32632")
    assert open_scene(path, assume_crs="EPSG:32632").warnings == ()
    scene = open_scene(path, assume_crs="EPSG:32633")
    assert scene.grid.crs.to_epsg() == 32632
    assert scene.assumed_crs is None
    assert scene.warnings == ("scene states its CRS, WGS 84 / UTM zone 32N: EPSG:32633 is not assumed.",)


def test_three_nameless_8_bit_bands_are_rgb_with_a_warning(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "scene.tif", ramp(3, 4, 4, dtype="uint8"), names=("Band 1", None, "b3"))
    scene = open_scene(path)
    assert scene.bands == RGB
    assert "red, green, blue" in scene.warnings[0]


def test_nameless_bands_of_other_kinds_are_refused_with_an_example(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "scene.tif", ramp(3, 4, 4, dtype="uint16"))
    with pytest.raises(SceneError, match="--bands red,green,blue "):
        open_scene(path)
    path = write_raster(tmp_path / "scene4.tif", ramp(4, 4, 4, dtype="uint8"))
    with pytest.raises(SceneError, match="--bands red,green,blue,nir "):
        open_scene(path)


def test_an_index_alone_is_refused_as_one(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "ndvi.tif", ramp(4, 4, dtype="float32"))
    with pytest.raises(SceneError, match=r"only ndvi\.tif band 1 .* no band of an image") as refused:
        open_scene(path)
    assert "--bands" not in refused.value.remedy


def test_colour_interpretation_names_the_bands(tmp_path: Path) -> None:
    colours = (ColorInterp.blue, ColorInterp.green, ColorInterp.red)
    path = write_raster(tmp_path / "scene.tif", ramp(3, 4, 4), colours=colours)
    scene = open_scene(path)
    assert scene.bands == ("blue", "green", "red")
    assert "colour interpretation" in scene.warnings[0]


def test_a_single_nameless_band_is_refused_helpfully(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "NDVI.tif", ramp(4, 4, dtype="float32"))
    with pytest.raises(SceneError, match="at least red, green and blue"):
        open_scene(path)


def test_what_is_no_band_is_left_out_of_a_folder_and_said(tmp_path: Path) -> None:
    for band in RGB:
        write_raster(tmp_path / f"s2_{band}.tif", ramp(4, 4))
    write_raster(tmp_path / "s2_SCL.tif", ramp(4, 4, dtype="uint8"))
    write_raster(tmp_path / "s2_preview.tif", ramp(3, 2, 2, dtype="uint8"))
    write_raster(tmp_path / "unknown.tif", ramp(4, 4))
    write_raster(tmp_path / "s2_B01.tif", ramp(1, 1))
    (tmp_path / "notes.txt").write_text("nothing")
    scene = open_scene(tmp_path)
    assert sorted(scene.bands) == sorted(RGB)
    assert {text.split()[0] for text in scene.notes} == {"s2_SCL.tif", "s2_preview.tif", "s2_B01.tif"}
    assert len(scene.warnings) == 1
    assert scene.warnings[0].startswith("unknown.tif")
    with pytest.raises(SceneError, match=r"unknown\.tif"):
        open_scene(sorted(tmp_path.glob("*.tif")))


def test_several_dates_are_sorted_and_selected(tmp_path: Path) -> None:
    for day in ("20210815", "20210415", "20210615"):
        for band in RGB:
            write_raster(tmp_path / f"{day}_{band}.tif", ramp(4, 4, start=int(day[4:6])))
    scene = open_scene(tmp_path)
    assert [str(when) for when in scene.dates] == ["2021-04-15", "2021-06-15", "2021-08-15"]
    with pytest.raises(SceneError, match=r"3 dates .*--dates 2021-04-15"):
        scene.read(scene.grid.window)
    june = scene.at("2021-06-15")
    assert june == open_scene(tmp_path, dates="2021-06-15") == open_scene(tmp_path, dates=[date(2021, 6, 15)])
    assert june.read(june.grid.window)[0][0, 0, 0] == 6
    assert len(open_scene(tmp_path, dates="20210415,2021-08-15").dates) == 2
    with pytest.raises(SceneError, match="no image of 2021-05-15; it has 2021-04-15"):
        open_scene(tmp_path, dates="2021-05-15")


def test_dates_within_one_file(tmp_path: Path) -> None:
    names = [f"{day} {band}" for day in ("2021-06-15", "2021-04-15") for band in RGB]
    scene = open_scene(write_raster(tmp_path / "scene.tif", ramp(6, 2, 2), names=names))
    assert scene.bands == RGB
    assert [str(when) for when in scene.dates] == ["2021-04-15", "2021-06-15"]
    values, _ = scene.at("2021-06-15").read(scene.grid.window)
    assert values[:, 0, 0].tolist() == [1, 5, 9]


def test_a_date_tag_beats_the_file_name(tmp_path: Path) -> None:
    path = write_raster(
        tmp_path / "scene_20200101.tif", ramp(3, 2, 2), names=RGB, tags={"ACQUISITION_DATE": "2021-06-15"}
    )
    assert open_scene(path).dates == (date(2021, 6, 15),)


def test_dates_that_do_not_fit_together(tmp_path: Path) -> None:
    for name in ("20210415_red", "20210415_blue", "20210615_red"):
        write_raster(tmp_path / f"{name}.tif", ramp(4, 4))
    assert "There is no blue band on 2021-06-15" in open_scene(tmp_path).warnings[0]
    write_raster(
        tmp_path / "20210615_blue.tif", ramp(4, 4), transform=TEN_METRES @ Affine.translation(0.5, 0)
    )
    write_raster(tmp_path / "20210615_red.tif", ramp(4, 4), transform=TEN_METRES @ Affine.translation(0.5, 0))
    with pytest.raises(SceneError, match=r"20210615_.*another grid.*--align"):
        open_scene(tmp_path)
    assert open_scene(tmp_path, dates="2021-06-15").bands == ("blue", "red")


def test_duplicates_are_refused(tmp_path: Path) -> None:
    for name in ("a_red", "b_red"):
        write_raster(tmp_path / f"{name}.tif", ramp(4, 4))
    with pytest.raises(SceneError, match=r"red comes twice: a_red.tif band 1 and b_red.tif band 1"):
        open_scene(tmp_path)


def test_other_crs_rotation_and_place_are_refused(tmp_path: Path) -> None:
    first = write_raster(tmp_path / "red.tif", ramp(4, 4))
    other_crs = write_raster(tmp_path / "green.tif", ramp(4, 4), crs="EPSG:32633")
    with pytest.raises(SceneError, match=r"green.tif has another CRS \(.*33N\) than red.tif"):
        open_scene([first, other_crs])
    rotated = write_raster(tmp_path / "blue.tif", ramp(4, 4), transform=TEN_METRES @ Affine.rotation(10))
    with pytest.raises(SceneError, match=r"blue.tif is rotated"):
        open_scene([first, rotated])
    elsewhere = write_raster(
        tmp_path / "nir.tif", ramp(4, 4), transform=TEN_METRES @ Affine.translation(9, 9)
    )
    with pytest.raises(SceneError, match=r"nir.tif does not overlap"):
        open_scene([first, elsewhere])


def test_the_finest_band_sets_the_grid_and_the_notes_say_it(tmp_path: Path) -> None:
    coarse = write_raster(tmp_path / "B11.tif", ramp(3, 3), transform=TEN_METRES @ Affine.scale(2))
    fine = write_raster(tmp_path / "B04.tif", ramp(6, 6))
    scene = open_scene([coarse, fine])
    assert scene.grid.shape == (6, 6)
    assert scene.notes[1:] == ("B11.tif: swir16 resampled (bilinear) from 20 metre to 10 metre pixels.",)


def test_scenes_are_values(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "scene.tif", ramp(3, 4, 4), names=RGB)
    scene = open_scene(path)
    scene.read(scene.grid.window)
    twin = pickle.loads(pickle.dumps(scene))
    assert twin == scene
    assert hash(twin) == hash(scene)
    assert twin.fingerprint() == scene.fingerprint()
    assert scene.changed_files() == ()
    write_raster(path, ramp(3, 5, 5), names=RGB)
    assert scene.changed_files() == (path,)
    assert open_scene(path).fingerprint() != scene.fingerprint()


def test_an_open_scene_stays_as_it_is_and_refuses_options_of_opening(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", np.ones((3, 8, 8), "uint16"), names=RGB)
    scene = as_scene(path, bands="red,green,blue")
    assert as_scene(scene, on_error="skip", cloud_mask="auto", bands=None) is scene
    with pytest.raises(
        UsageError, match=r"^max_cloud, dates would change how a is opened, which it is already"
    ):
        as_scene(scene, max_cloud=20, dates="2021-06-15")


@pytest.mark.parametrize(
    ("names", "listed", "told"),
    [
        (
            ("B02", "B03", "B04", "B08"),
            "red,green,blue,nir",
            "band 1 red, which is blue by its own name; band 3 blue",
        ),
        (("B02", "B03", "B04", "B08"), "blue,green,red,nir", None),
        (("Blue", "Green", "Red", "NIR"), "blue,green,-,red", "band 4 red, which is nir by its own name"),
        (("Band 1", "Band 2", "Band 3", "Band 4"), "blue,green,red,nir", None),
        (("", "", "", ""), "blue,green,red,nir", None),
    ],
)
def test_a_list_that_contradicts_the_file_is_told(tmp_path: Path, names, listed, told) -> None:
    path = write_raster(tmp_path / "scene.tif", ramp(4, 5, 6), names=names)
    warnings = open_scene(path, bands=listed).warnings
    if told is None:
        assert warnings == ()
    else:
        (warning,) = warnings
        assert told in warning


def test_coordinates_that_mean_no_place_are_refused(tmp_path: Path) -> None:
    unplaced = write_raster(tmp_path / "scene.tif", ramp(4, 5, 6), names=RGBN, crs=None)
    with pytest.raises(SceneError, match=r"In WGS 84 scene would lie at x .*, which is not on Earth") as told:
        open_scene(unplaced, assume_crs="EPSG:4326")
    assert "--assume-crs" in told.value.remedy
    wrong = write_raster(tmp_path / "wrong.tif", ramp(4, 5, 6), names=RGBN, crs="EPSG:4326")
    with pytest.raises(SceneError, match="not on Earth") as told:
        open_scene(wrong)
    assert "gdal_edit" in told.value.remedy
