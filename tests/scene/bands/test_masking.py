"""Cloud masks: what hides a pixel, on which grid, and which dates are too cloudy."""

from __future__ import annotations

import pickle
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_rasters import RGB, TEN_METRES, ramp, whole, write_raster

from geopanoptic.errors import SceneError, UsageError
from geopanoptic.grid import Window
from geopanoptic.scene import Scene, open_scene
from geopanoptic.scene.bands.masking import meaning_of
from geopanoptic.scene.clouds import cloud_share, measured_cloud
from geopanoptic.scene.csmask import ComputedMask

CLEAR, CLOUD = 4, 9


def _image(folder: Path, day: str = "20210615", *, size: int = 12, **options: object) -> Path:
    return write_raster(folder / f"{day}_image.tif", ramp(3, size, size), names=RGB, **options)  # type: ignore[arg-type]


def _scl(folder: Path, classes: np.ndarray, day: str = "20210615", *, step: int = 2) -> Path:
    return write_raster(
        folder / f"{day}_SCL.tif", classes.astype("uint8"), transform=TEN_METRES @ Affine.scale(step)
    )


def test_which_classes_hide() -> None:
    classes = np.arange(12)[None]
    known, hidden = meaning_of(classes, "scl", nodata=None, full=1)
    assert np.flatnonzero(~known).tolist() == [0]
    assert np.flatnonzero(known & ~hidden).tolist() == [2, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("kind", "full", "numbers", "clear"),
    [
        ("cloud", 1, [0, 1, 255], [True, False, False]),
        ("probability", 100, [0, 49, 50, 100], [True, True, False, False]),
        ("probability", 255, [127, 128], [True, False]),
        ("probability", 1, [0.2, 0.5, np.nan], [True, False, False]),
        # Landsat: fill, clear, dilated cloud, cirrus, cloud, shadow, snow, water.
        (
            "qa_pixel",
            1,
            [1, 64, 66, 68, 72, 80, 96, 192],
            [False, True, False, False, False, False, True, True],
        ),
        ("fmask", 1, [0, 1, 2, 4, 8, 16, 32, 64], [True, False, False, False, False, True, True, True]),
        ("qa60", 1, [0, 1024, 2048], [True, False, False]),
        ("qa60", 1, [0.0, 1024.0, np.nan], [True, False, False]),
        ("scl", 1, [4.0, 9.0, np.nan], [True, False, False]),
        ("udm2", 1, [0, 1], [False, True]),
    ],
)
def test_what_other_masks_say(kind: str, full: float, numbers: list[float], clear: list[bool]) -> None:
    known, hidden = meaning_of(np.array([numbers]), kind, nodata=None, full=full)  # type: ignore[arg-type]
    assert (known & ~hidden)[0].tolist() == clear


def test_zero_declared_as_no_data_is_clear_in_a_cloud_mask_only() -> None:
    zero = np.zeros((1, 1), "uint8")
    assert meaning_of(zero, "cloud", nodata=0, full=1)[0].all()
    assert not meaning_of(zero, "scl", nodata=0, full=1)[0].any()
    assert not meaning_of(zero + 255, "cloud", nodata=255, full=1)[0].any()


@pytest.mark.parametrize("step", [1, 2, 6])
def test_a_mask_is_read_by_the_nearest_pixel(tmp_path: Path, step: int) -> None:
    _image(tmp_path)
    classes = np.full((12 // step, 12 // step), CLEAR)
    classes[0, 1] = CLOUD
    _scl(tmp_path, classes, step=step)
    scene = open_scene(tmp_path)
    assert scene.bands == RGB
    values, valid = whole(scene)
    np.testing.assert_array_equal(valid, np.kron(classes == CLEAR, np.ones((step, step))))
    assert (values[:, ~valid] == 0).all()
    assert (values[:, valid] == whole(open_scene(tmp_path, cloud_mask="none"))[0][:, valid]).all()


def test_beyond_its_mask_nothing_is_known(tmp_path: Path) -> None:
    _image(tmp_path)
    _scl(tmp_path, np.full((3, 6), CLEAR))
    scene = open_scene(tmp_path)
    np.testing.assert_array_equal(whole(scene)[1].any(axis=1), np.arange(12) < 7)
    assert any("20210615_SCL.tif masks 58.3% of the scene" in text for text in scene.warnings)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=st.integers(-3, 14), col=st.integers(-3, 14), height=st.integers(1, 9), width=st.integers(1, 9))
def test_a_pixel_depends_on_no_window(masked: Scene, row: int, col: int, height: int, width: int) -> None:
    around = Window(-3, -3, 25, 25)
    window = Window(row, col, row + height, col + width)
    _, every = masked.read(around)
    _, valid = masked.read(window)
    np.testing.assert_array_equal(valid, every[window.slices(around)])


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("masked")
    _image(folder)
    _scl(folder, np.random.default_rng(5).integers(0, 12, (6, 6)))
    return open_scene(folder)


def test_each_date_has_its_own_mask_and_the_best_kind_counts(tmp_path: Path) -> None:
    for day, cloudy in (("20210415", 0), ("20210615", 5)):
        _image(tmp_path, day)
        classes = np.full((6, 6), CLEAR)
        classes[cloudy] = CLOUD
        _scl(tmp_path, classes, day)
        write_raster(tmp_path / f"{day}_CLM.tif", np.eye(12, dtype="uint8"))
    scene = open_scene(tmp_path)
    hidden_rows = [np.flatnonzero(~whole(single)[1][:, 6]).tolist() for single in scene.single_dates()]
    assert hidden_rows == [[0, 1], [10, 11]]
    band = open_scene(tmp_path, cloud_mask="band")
    np.testing.assert_array_equal(whole(band.at("2021-06-15"))[1], ~np.eye(12, dtype=bool))
    assert open_scene(tmp_path, cloud_mask="scl") == scene
    assert open_scene(tmp_path, cloud_mask="none").masks == ()
    assert len({each.fingerprint() for each in (scene, band, open_scene(tmp_path, cloud_mask="none"))}) == 3
    assert pickle.loads(pickle.dumps(scene)) == scene
    assert len(scene.files) == 4
    files = list(tmp_path.iterdir())
    (name,) = {open_scene(each).name for each in (files, files[::-1])}
    assert "CLM" not in name
    assert "SCL" not in name


def test_a_mask_band_within_the_image(tmp_path: Path) -> None:
    values = ramp(4, 4, 4)
    values[3] = 0
    values[3, 0] = 1
    named = write_raster(tmp_path / "named.tif", values, names=(*RGB, "cloud mask"))
    listed = write_raster(tmp_path / "nameless.tif", values)
    for scene in (open_scene(named), open_scene(listed, bands=(*RGB, "cloud"))):
        assert scene.bands == RGB
        np.testing.assert_array_equal(whole(scene)[1].any(axis=1), [False, True, True, True])


@pytest.mark.parametrize(
    ("name", "clear", "cloudy"),
    [("SCL", 4, 9), ("QA60", 0, 1024), ("cloud_probability", 3, 90), ("cloud_probability", 0.03, 0.9)],
)
def test_a_mask_band_among_fractions(tmp_path: Path, name: str, clear: float, cloudy: float) -> None:
    values = ramp(4, 4, 4, dtype="float32")
    values[3] = clear
    values[3, 0] = cloudy
    scene = open_scene(write_raster(tmp_path / "scene.tif", values, names=(*RGB, name)))
    assert len(scene.masks) == 1
    np.testing.assert_array_equal(whole(scene)[1].any(axis=1), [False, True, True, True])


@pytest.mark.parametrize("nodata", [255, 9999, -9999])
def test_what_a_fractional_mask_does_not_know_says_nothing_of_its_unit(tmp_path: Path, nodata: float) -> None:
    hides = np.full((12, 12), 0.1, "float32")
    hides[:6], hides[0] = 0.9, nodata
    write_raster(tmp_path / "20210615_CLP.tif", hides, nodata=nodata)
    write_raster(
        tmp_path / "20210615_rgb.tif", np.ones((3, 12, 12), "uint16"), names=("red", "green", "blue")
    )
    assert open_scene(tmp_path).read(Window(0, 0, 12, 12))[1].mean() == 0.5


def test_dates_share_the_unit_of_their_probabilities(tmp_path: Path) -> None:
    for day, percent in (("20210415", 1), ("20210615", 80)):
        _image(tmp_path, day)
        write_raster(tmp_path / f"{day}_CLDPRB.tif", np.full((12, 12), percent, "float32"))
    scene = open_scene(tmp_path)
    assert [single.read(single.grid.window)[1].all() for single in scene.single_dates()] == [True, False]


def test_a_mask_beside_images_named_by_a_list(tmp_path: Path) -> None:
    for day in ("20210415", "20210615"):
        write_raster(tmp_path / f"{day}.tif", ramp(3, 4, 4))
        _scl(tmp_path, np.full((2, 2), CLOUD), day)
    scene = open_scene(tmp_path, bands=RGB)
    assert len(scene.masks) == 2
    assert not whole(scene.at("2021-04-15"))[1].any()


@pytest.mark.parametrize("names", [(), ("clear", "snow", "shadow", "haze_light", "haze_heavy", "cloud")])
def test_planet_scenes_open_with_their_mask_of_eight_bands(tmp_path: Path, names: tuple[str, ...]) -> None:
    write_raster(tmp_path / "20210615_101559_1009_3B_AnalyticMS_SR_clip.tif", ramp(4, 6, 6))
    udm2 = np.zeros((8, 6, 6), "uint8")
    udm2[0, 2:] = 1
    udm2[2, 0] = 1
    write_raster(tmp_path / "20210615_101559_1009_3B_udm2_clip.tif", udm2, names=names)
    with pytest.raises(
        SceneError, match=r"band 4 .*--bands red,green,blue,nir or blue,green,red,nir "
    ) as refused:
        open_scene(tmp_path)
    assert str(refused.value).count("AnalyticMS") == 1
    assert "udm2" not in str(refused.value)
    scene = open_scene(tmp_path, bands="blue,green,red,nir")
    assert whole(scene)[1].any(axis=1).tolist() == [False, False, True, True, True, True]
    assert scene.notes == ("20210615_101559_1009_3B_udm2_clip.tif hides clouds and shadows (udm2).",)
    assert scene.warnings == ()


def test_a_mask_of_clouds_alone_is_not_said_to_hide_shadows(tmp_path: Path) -> None:
    _image(tmp_path)
    write_raster(tmp_path / "20210615_CLM.tif", np.eye(12, dtype="uint8"))
    assert open_scene(tmp_path).notes == ("20210615_CLM.tif hides clouds (cloud).",)


def test_a_list_that_fits_one_file_of_two_names_it(tmp_path: Path) -> None:
    write_raster(tmp_path / "20210615_image.tif", ramp(4, 6, 6))
    write_raster(tmp_path / "20210615_cloudmask.tif", np.zeros((8, 6, 6), "uint8"))
    with pytest.raises(SceneError, match=r"4 or 8 bands .* give 20210615_image\.tif without the others"):
        open_scene(tmp_path, bands="blue,green,red,nir")


def test_an_undated_mask_belongs_to_the_only_date(tmp_path: Path) -> None:
    _image(tmp_path)
    write_raster(tmp_path / "SCL.tif", np.full((12, 12), CLOUD, "uint8"))
    assert not whole(open_scene(tmp_path))[1].any()
    _image(tmp_path, "20210815")
    scene = open_scene(tmp_path)
    assert scene.masks == ()
    assert any("SCL.tif is a cloud mask that states no date" in text for text in scene.warnings)


def test_a_dated_mask_beside_an_undated_image(tmp_path: Path) -> None:
    write_raster(tmp_path / "image.tif", ramp(3, 12, 12), names=RGB)
    _scl(tmp_path, np.full((6, 6), CLOUD))
    scene = open_scene(tmp_path)
    assert scene.masks == ()
    assert any("20210615_SCL.tif is a cloud mask that states a date" in text for text in scene.warnings)
    assert not whole(open_scene(tmp_path, dates="2021-06-15"))[1].any()


def test_dates_without_the_mask_that_was_asked_for(tmp_path: Path) -> None:
    _image(tmp_path, "20210415")
    _image(tmp_path, "20210615")
    _scl(tmp_path, np.full((6, 6), CLEAR))
    assert any("No cloud mask for 2021-04-15" in text for text in open_scene(tmp_path).warnings)
    with pytest.raises(SceneError, match=r"no scene classification \(SCL\) for 2021-04-15"):
        open_scene(tmp_path, cloud_mask="scl")
    with pytest.raises(SceneError, match="no cloud band for 2021-04-15, 2021-06-15"):
        open_scene(tmp_path, cloud_mask="band")


def test_too_cloudy_dates_are_left_out_and_told(tmp_path: Path) -> None:
    for number, day in enumerate(("20210415", "20210515", "20210615")):
        _image(tmp_path, day)
        classes = np.full((6, 6), CLEAR)
        classes[: 2 * number] = CLOUD
        classes[5] = 0
        _scl(tmp_path, classes, day)
    scene = open_scene(tmp_path)
    # Of the five rows of which something is known.
    assert [cloud_share(single) for single in scene.single_dates()] == [0, 0.4, 0.8]
    kept = open_scene(tmp_path, max_cloud=40)
    assert [str(when) for when in kept.dates] == ["2021-04-15", "2021-05-15"]
    assert [(str(lost.date), lost.reason, lost.damaged) for lost in kept.left_out] == [
        ("2021-06-15", "80.0% cloud (at most 40 %)", False)
    ]
    assert "One date is left out for more than 40 % cloud: 2021-06-15." in kept.notes
    with pytest.raises(
        SceneError,
        match=r"Every date of the season from 2021-05-15 to 2021-06-15 .* the clearest, 2021-05-15, has 40%",
    ):
        open_scene(tmp_path, start="2021-05-01", max_cloud=10)
    with pytest.raises(UsageError, match="Give percent"):
        open_scene(tmp_path, max_cloud=101)


def test_what_the_files_state_counts_before_what_is_measured(tmp_path: Path) -> None:
    _image(tmp_path, "20210415", tags={"CLOUDY_PIXEL_PERCENTAGE": "12.5"})
    _image(tmp_path, "20210615", tags={"CLOUDY_PIXEL_PERCENTAGE": "80"})
    _scl(tmp_path, np.full((6, 6), CLEAR))
    scene = open_scene(tmp_path)
    assert dict(scene.cloud_shares) == {scene.dates[0]: 0.125, scene.dates[1]: 0.8}
    assert measured_cloud(scene.at("2021-06-15")) == 0
    assert open_scene(tmp_path, max_cloud=50).dates == scene.dates[:1]


def test_nothing_tells_how_cloudy_it_is(tmp_path: Path) -> None:
    _image(tmp_path)
    with pytest.raises(SceneError, match=r"Nothing tells how cloudy.*--cloud-mask ukis"):
        open_scene(tmp_path, max_cloud=50)
    assert cloud_share(open_scene(tmp_path)) is None


def test_a_damaged_block_of_a_mask_hides_its_pixels(tmp_path: Path) -> None:
    _image(tmp_path, size=64)
    path = write_raster(
        tmp_path / "20210615_SCL.tif", np.random.default_rng(1).integers(4, 7, (64, 64)).astype("uint8"),
        tiled=True, blockxsize=32, blockysize=32, compress="deflate",
    )  # fmt: skip
    path.write_bytes(path.read_bytes()[:-200])
    scene = open_scene(tmp_path)
    with pytest.raises(
        SceneError, match=r"20210615_SCL.tif: the block of rows 32 to 64 and columns 32 to 64"
    ):
        whole(scene)
    told: list[object] = []
    _, valid = scene.read(scene.grid.window, on_unreadable=told.append)
    assert len(told) == 1
    assert valid[:32].all()
    assert not valid[32:, 32:].any()


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:4326"])
def test_a_mask_in_another_crs_is_refused(tmp_path: Path, crs: str) -> None:
    write_raster(tmp_path / "20210615.tif", ramp(3, 4, 4), names=RGB)
    write_raster(tmp_path / "20210615_scl.tif", ramp(4, 4, dtype="uint8"), crs=crs)
    with pytest.raises(SceneError, match=r"scl\.tif has another CRS"):
        open_scene(tmp_path)


def test_ukis_csmask_says_what_it_needs(tmp_path: Path) -> None:
    path = _image(tmp_path)
    if find_spec("ukis_csmask") is None:
        with pytest.raises(UsageError, match=r"ukis-csmask.*not installed.*pip install"):
            open_scene(path, cloud_mask="ukis")
        return
    with pytest.raises(SceneError, match="needs the nir band"):
        open_scene(path, cloud_mask="ukis")
    byte = write_raster(tmp_path / "byte.tif", ramp(4, 4, 4, dtype="uint8"), names=(*RGB, "nir"))
    with pytest.raises(SceneError, match=r"needs reflectances, and byte.tif holds uint8"):
        open_scene(byte, cloud_mask="ukis")


def test_ukis_csmask_needs_its_bands_on_every_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_raster(tmp_path / "20210415.tif", ramp(4, 4, 4), names=(*RGB, "nir"))
    write_raster(tmp_path / "20210615.tif", ramp(3, 4, 4), names=RGB)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    with pytest.raises(SceneError, match="needs the nir band on 2021-06-15"):
        open_scene(tmp_path, cloud_mask="ukis")


def test_ukis_csmask_gives_one_answer_for_any_window(tmp_path: Path) -> None:
    pytest.importorskip("ukis_csmask")
    values = np.random.default_rng(1).integers(200, 3000, (4, 40, 30)).astype("uint16")
    values[:, :5] = 0
    scene = open_scene(
        write_raster(tmp_path / "scene.tif", values, names=(*RGB, "nir"), nodata=0), cloud_mask="ukis"
    )
    _, every = whole(scene)
    window = Window(3, 2, 20, 29)
    np.testing.assert_array_equal(scene.read(window)[1], every[window.slices()])
    assert not every[:5].any()
    assert pickle.loads(pickle.dumps(scene)) == scene


@pytest.mark.parametrize(("dtype", "scale"), [("uint16", 1), ("float32", 1), ("float32", 1e-4)])
def test_ukis_csmask_is_shown_reflectances(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, scale: float
) -> None:
    values = (ramp(4, 8, 8, start=500) * scale).astype(dtype)
    path = write_raster(tmp_path / "20210615.tif", values, names=(*RGB, "nir"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    (mask,) = open_scene(path, cloud_mask="ukis").masks
    assert isinstance(mask, ComputedMask)
    assert [layer.reflectance_of_one for layer in mask.layers] == [1 if scale < 1 else 10_000] * 4


def test_a_date_whose_mask_knows_nothing_is_all_cloud(tmp_path: Path) -> None:
    _image(tmp_path)
    _scl(tmp_path, np.zeros((6, 6)))
    assert measured_cloud(open_scene(tmp_path)) == 1.0
    with pytest.raises(SceneError, match="more than 50 % cloud"):
        open_scene(tmp_path, max_cloud=50)


def test_of_two_masks_of_a_kind_the_finer_counts(tmp_path: Path) -> None:
    _image(tmp_path)
    for name, step in (("a", 2), ("b", 1)):
        classes = np.full((12 // step, 12 // step), CLEAR, "uint8")
        write_raster(
            tmp_path / f"20210615_{name}_SCL.tif", classes, transform=TEN_METRES @ Affine.scale(step)
        )
    (mask,) = open_scene(tmp_path).masks
    assert mask.source.name == "20210615_b_SCL.tif"
