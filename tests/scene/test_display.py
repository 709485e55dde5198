"""Text, HTML, pictures and xarray."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import rioxarray
from affine import Affine
from rasterio.enums import ColorInterp
from tiny_rasters import RGB, TEN_METRES, ramp, write_raster

from geopanoptic.errors import SceneError
from geopanoptic.grid import Window
from geopanoptic.scene import Scene, open_scene
from geopanoptic.scene.display import by_clearness
from geopanoptic.scene.preview import read_preview


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    values = ramp(3, 30, 20)
    values[:, :4] = 0
    return open_scene(write_raster(tmp_path / "scene_20210615.tif", values, names=RGB, nodata=0))


def test_text(scene: Scene) -> None:
    text = repr(scene)
    for part in ("scene_20210615", "30 rows x 20 columns", "EPSG:32632", "red, green, blue", "2021-06-15"):
        assert part in text


def test_html_escapes_what_files_say(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "<script>alert(1)<b>.tif", ramp(3, 2, 2), names=RGB)
    html = open_scene(path)._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_quicklook_stretches_and_leaves_nodata_white(scene: Scene) -> None:
    picture = scene.quicklook()
    assert picture.shape == (30, 20, 3)
    assert picture.dtype == np.uint8
    assert (picture[:4] == 255).all()
    assert picture[4, 0, 0] == 0
    assert picture[-1, -1, 0] == 255
    assert scene.quicklook(["green"]).shape == (30, 20, 3)
    assert scene.quicklook(longest_px=10).shape == (10, 6, 3)
    with pytest.raises(SceneError, match="one or three bands"):
        scene.quicklook(["red", "green"])


def test_what_a_mask_hides_is_shown_as_another_date_saw_it(tmp_path: Path) -> None:
    ground, cloud = ramp(3, 30, 20), np.full((3, 30, 20), 20_000, "uint16")
    june = np.where(np.arange(20) < 6, cloud, ground)
    july = np.where(np.arange(20) >= 9, cloud, ground + 500)
    for day, values, hidden in (("20210615", june, slice(0, 6)), ("20210715", july, slice(9, 20))):
        classes = np.full((1, 30, 20), 4, "uint8")
        classes[..., hidden] = 9
        write_raster(tmp_path / f"scene_{day}.tif", values.astype("uint16"), names=RGB)
        write_raster(tmp_path / f"scene_{day}_SCL.tif", classes)
    scene = open_scene(tmp_path)
    (tmp_path / "ground").mkdir()
    alone = write_raster(tmp_path / "ground" / "clear.tif", ground, names=RGB)
    np.testing.assert_allclose(scene.quicklook(), open_scene(alone).quicklook(), atol=1)
    # What no date shows is shown as the clearest has it, not left white.
    assert (scene.at("2021-06-15").quicklook() != 255).any()


def test_without_masks_the_date_that_is_nowhere_much_brighter_is_shown(tmp_path: Path) -> None:
    ground = ramp(3, 30, 20) + 300
    dates = (("20210515", 6.0), ("20210615", 1.2), ("20210715", 1.0))
    for day, factor in dates:
        clouded = ground.astype("float32")
        clouded[:, :20] *= factor
        write_raster(tmp_path / f"scene_{day}.tif", clouded, names=RGB)
    scene = open_scene(tmp_path)
    assert [each.dates[0].isoformat() for each in by_clearness(scene)][-1] == "2021-05-15"
    np.testing.assert_array_equal(scene.quicklook(), scene.at("2021-06-15").quicklook())
    # Of two dates one is clouded and nothing is usual.
    (tmp_path / "scene_20210715.tif").unlink()
    assert [each.dates[0].month for each in by_clearness(open_scene(tmp_path))] == [6, 5]


def test_values_below_zero_are_not_taken_for_clouds(tmp_path: Path) -> None:
    for day, share in (("20210515", 0.5), ("20210615", 1.0)):
        values = -(ramp(3, 30, 20).astype("float32") + 300)
        values[:, : round(30 * (1 - share))] = np.nan
        write_raster(tmp_path / f"scene_{day}.tif", values, names=RGB, nodata=np.nan)
    assert [each.dates[0].month for each in by_clearness(open_scene(tmp_path))] == [6, 5]


def test_bands_that_some_dates_lack_are_shown_of_the_others(tmp_path: Path) -> None:
    values = ramp(4, 30, 20)
    write_raster(tmp_path / "scene_20210615.tif", values[:3], names=RGB)
    clouded = values.copy()
    clouded[:, :20] = 0
    write_raster(tmp_path / "scene_20210715.tif", clouded, names=("nir", "red", "green", "swir16"), nodata=0)
    scene = open_scene(tmp_path)
    false_colour = ["nir", "red", "green"]
    np.testing.assert_array_equal(
        scene.quicklook(false_colour), scene.at("2021-07-15").quicklook(false_colour)
    )
    np.testing.assert_array_equal(scene.quicklook(), scene.at("2021-06-15").quicklook())
    mpl.use("agg")
    import matplotlib.pyplot as plt

    assert "2021-07-15" in scene.plot(false_colour).get_title()
    plt.close("all")
    with pytest.raises(SceneError, match="no date with nir and blue and red"):
        scene.quicklook(["nir", "blue", "red"])


@pytest.mark.parametrize("shape", [(3, 400), (400, 3), (1, 400)])
def test_quicklook_of_a_thin_scene_is_not_white(tmp_path: Path, shape: tuple[int, int]) -> None:
    scene = open_scene(write_raster(tmp_path / "strip.tif", ramp(3, *shape), names=RGB))
    assert (scene.quicklook(longest_px=20) < 255).any(axis=-1).mean() > 0.9


def test_quicklook_of_mixed_resolutions_keeps_places(tmp_path: Path) -> None:
    fine = np.zeros((16, 16), "uint16")
    fine[:8] = 1000
    coarse = fine[::2, ::2]
    write_raster(tmp_path / "red.tif", fine)
    write_raster(tmp_path / "swir16.tif", coarse, transform=TEN_METRES @ Affine.scale(2))
    scene = open_scene(tmp_path)
    np.testing.assert_array_equal(scene.quicklook(["red"]), scene.quicklook(["swir16"]))


def test_plot_uses_map_coordinates(scene: Scene) -> None:
    mpl.use("agg")
    import matplotlib.pyplot as plt

    axes = scene.plot()
    assert axes.get_xlim() == (600_000, 600_200)
    assert axes.get_ylim() == (5_699_700, 5_700_000)
    assert scene.plot(ax=axes) is axes
    plt.close("all")


def test_plot_of_degrees_is_as_wide_as_the_ground(tmp_path: Path) -> None:
    mpl.use("agg")
    import matplotlib.pyplot as plt

    degrees = Affine(1e-4, 0, 11.0, 0, -1e-4, 60.0)
    path = write_raster(
        tmp_path / "scene.tif", ramp(3, 30, 20), names=RGB, transform=degrees, crs="EPSG:4326"
    )
    assert float(open_scene(path).plot().get_aspect()) == pytest.approx(2, abs=0.01)
    plt.close("all")


def test_xarray_is_lazy_and_georeferenced(scene: Scene, tmp_path: Path) -> None:
    array = scene.to_xarray(chunk_px=8)
    assert array.dims == ("band", "y", "x")
    assert array.dtype == np.float32
    assert array.chunks == ((3,), (8, 8, 8, 6), (8, 8, 4))
    assert list(array.band.values) == list(RGB)
    assert array.rio.crs.to_epsg() == 32632
    assert array.rio.transform() == TEN_METRES
    assert str(array.time.values)[:10] == "2021-06-15"
    assert array.x.values[0] == 600_005
    assert array.y.values[0] == 5_699_995
    values, valid = scene.read(scene.grid.window)
    np.testing.assert_array_equal(array.values, np.where(valid, values, np.nan))
    scene.files[0].unlink()
    assert array.shape == (3, 30, 20)


def test_xarray_selections_read_the_right_pixels(scene: Scene) -> None:
    array = scene.to_xarray(chunk_px=8)
    values, valid = scene.read(Window(0, 0, 30, 20))
    whole = np.where(valid, values, np.nan)
    np.testing.assert_array_equal(array.sel(band="blue")[3:17, ::3].values, whole[2, 3:17, ::3])
    np.testing.assert_array_equal(array.isel(band=1, y=7).values, whole[1, 7])
    np.testing.assert_array_equal(array.sel(band=["blue", "red"]).values, whole[[2, 0]])
    np.testing.assert_array_equal(array[:, ::-1].values, whole[:, ::-1])


def test_xarray_equals_rioxarray(scene: Scene) -> None:
    ours = scene.to_xarray()
    with rioxarray.open_rasterio(scene.files[0], masked=True) as theirs:
        np.testing.assert_array_equal(ours.values, theirs.values)
        np.testing.assert_allclose(ours.x, theirs.x)
        np.testing.assert_allclose(ours.y, theirs.y)


def test_rotated_scenes_have_a_transform_but_no_axes(tmp_path: Path) -> None:
    turned = TEN_METRES @ Affine.rotation(20)
    scene = open_scene(write_raster(tmp_path / "scene.tif", ramp(3, 4, 4), names=RGB, transform=turned))
    array = scene.to_xarray()
    assert "x" not in array.coords
    assert array.rio.transform().almost_equals(turned)
    assert "rotated" in repr(scene)


def test_what_is_transparent_is_not_shown(tmp_path: Path) -> None:
    values = np.concatenate([ramp(3, 8, 8), np.full((1, 8, 8), 255)]).astype(np.uint16)
    values[3, :, :4] = 0
    colours = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
    scene = open_scene(write_raster(tmp_path / "a.tif", values, colours=colours))
    _, valid = read_preview(scene, scene.bands, longest_px=8)
    np.testing.assert_array_equal(valid, np.tile(np.arange(8) >= 4, (8, 1)))
