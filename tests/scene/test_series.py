"""Several dates as one scene: where dates come from, which are kept, what does not go together."""

from __future__ import annotations

import itertools
import os
import pickle
from datetime import date
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_rasters import RGB, TEN_METRES, ramp, whole, write_raster

from geopanoptic.errors import SceneError, UsageError
from geopanoptic.scene import Scene, open_scene
from geopanoptic.scene.files.datasets import MAX_OPEN_PER_THREAD, close_datasets

DAYS = ("20210415", "20210615", "20210815")
JUNE = date(2021, 6, 15)


def _season(folder: Path, days: tuple[str, ...] = DAYS, **profile: object) -> Path:
    for number, day in enumerate(days):
        write_raster(folder / f"{day}.tif", ramp(3, 4, 4, start=1 + 100 * number), names=RGB, **profile)  # type: ignore[arg-type]
    return folder


def _first_pixels(scene: Scene) -> list[float]:
    """The first band's first pixel on each date."""
    return [float(whole(single)[0][0, 0, 0]) for single in scene.single_dates()]


def test_multi_band_and_single_band_files_may_be_mixed(tmp_path: Path) -> None:
    _season(tmp_path, DAYS[:1])
    for start, band in enumerate(RGB):
        write_raster(tmp_path / f"s2_20210615_{band}.tif", ramp(4, 4, start=50 + start))
    scene = open_scene(tmp_path)
    assert scene.dates == (date(2021, 4, 15), JUNE)
    assert scene.bands == RGB
    assert _first_pixels(scene) == [1, 50]


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(9)))
def test_the_order_of_dated_files_does_not_matter(season_of_bands: list[Path], order: list[int]) -> None:
    scene, shuffled = (open_scene([season_of_bands[i] for i in numbers]) for numbers in (range(9), order))
    assert shuffled.dates == scene.dates
    assert shuffled.name == scene.name
    assert len({each.bands for each in shuffled.single_dates()}) == 1
    for one, other in zip(scene.single_dates(), shuffled.single_dates(), strict=True):
        np.testing.assert_array_equal(whole(one, *RGB)[0], whole(other, *RGB)[0])


@pytest.fixture(scope="module")
def season_of_bands(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("bands")
    return [
        write_raster(folder / f"s2_{day}_{band}.tif", ramp(2, 2, start=10 * number))
        for number, (day, band) in enumerate(itertools.product(DAYS, RGB))
    ]


def test_a_folder_per_date(tmp_path: Path) -> None:
    for start, day in enumerate(reversed(DAYS)):
        (tmp_path / f"scene {day}").mkdir()
        write_raster(tmp_path / f"scene {day}" / "image.tif", ramp(3, 4, 4, start=start), names=RGB)
    (tmp_path / ".hidden").mkdir()
    scene = open_scene(tmp_path)
    assert [when.month for when in scene.dates if when] == [4, 6, 8]
    assert _first_pixels(scene) == [2, 1, 0]
    assert open_scene(sorted(tmp_path.glob("*/*.tif"))).dates == scene.dates
    assert open_scene(sorted(tmp_path.glob("scene*"))[1:]).dates == scene.dates[1:]
    assert scene.name == tmp_path.name


def test_a_date_may_lack_a_band_that_others_have(tmp_path: Path) -> None:
    for start, day in enumerate(DAYS):
        names = [*RGB, "nir"][: 3 if start == 0 else 4]
        write_raster(tmp_path / f"{day}.tif", ramp(len(names), 4, 4, start=start), names=names)
    scene = open_scene(tmp_path)
    assert scene.bands == (*RGB, "nir")
    assert [len(bands) for bands in scene.bands_by_date.values()] == [3, 4, 4]
    assert f"There is no nir band on {scene.dates[0]}, and on other dates there is" in scene.warnings[0]
    array = scene.to_xarray()
    assert list(array.band.values) == list(scene.bands)
    missing = np.isnan(array.values).all(axis=(2, 3))
    assert np.argwhere(missing).tolist() == [[0, 3]]
    assert pickle.loads(pickle.dumps(scene)) == scene


def test_an_overview_beside_the_folders_of_the_dates_is_left_out(tmp_path: Path) -> None:
    for start, day in enumerate(DAYS):
        (tmp_path / day).mkdir()
        write_raster(tmp_path / day / "image.tif", ramp(3, 4, 4, start=start), names=RGB)
    write_raster(
        tmp_path / "overview.png", ramp(3, 4, 4, dtype="uint8"), driver="PNG", crs=None, transform=None
    )
    scene = open_scene(tmp_path)
    assert len(scene.dates) == 3
    assert scene.name == tmp_path.name
    assert any(note.startswith("overview.png left out") for note in scene.notes)


def test_the_name_of_the_only_folder_dates_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "downloaded_20211102"
    folder.mkdir()
    path = write_raster(folder / "image.tif", ramp(3, 4, 4), names=RGB)
    assert open_scene(folder).dates == open_scene(path).dates == (None,)


def test_undated_files_are_dated_in_their_order(tmp_path: Path) -> None:
    for start, name in enumerate(("b", "a", "c")):
        write_raster(tmp_path / f"{name}.tif", ramp(3, 4, 4, start=start), names=RGB)
    with pytest.raises(SceneError, match=r"red comes twice.*--dates"):
        open_scene(tmp_path)
    days = ["2021-08-15", "2021-04-15", "2021-06-15"]
    scene = open_scene(tmp_path, dates=days)
    assert [str(when) for when in scene.dates] == sorted(days)
    assert _first_pixels(scene) == [0, 2, 1]
    listed = open_scene([tmp_path / f"{name}.tif" for name in "cba"], dates=days)
    assert _first_pixels(listed) == [0, 1, 2]
    with pytest.raises(SceneError, match=r"--dates gives 2 dates .* the band red comes 3 times"):
        open_scene(tmp_path, dates=days[:2])


def test_numbers_in_names_count_by_value(tmp_path: Path) -> None:
    for number in (2, 10, 1):
        write_raster(tmp_path / f"image {number}.tif", ramp(3, 4, 4, start=number), names=RGB)
    scene = open_scene(tmp_path, dates="2021-04-15,2021-06-15,2021-08-15")
    assert _first_pixels(scene) == [1, 2, 10]


def test_one_file_of_two_dates(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "both.tif", ramp(6, 2, 2))
    days = "2021-06-15,2021-04-15"
    scene = open_scene(path, bands=RGB, dates=days)
    assert scene == open_scene(path, bands=RGB + RGB, dates=days)
    assert scene.bands == RGB
    assert [whole(single)[0][:, 0, 0].tolist() for single in scene.single_dates()] == [
        [13, 17, 21],
        [1, 5, 9],
    ]
    with pytest.raises(SceneError, match=r"3 names .* has 6 bands.*--dates"):
        open_scene(path, bands=RGB)


def test_a_single_undated_image_gets_its_date(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "scene.tif", ramp(3, 4, 4), names=RGB)
    assert open_scene(path, dates="2021-06-15").dates == (JUNE,)
    with pytest.raises(SceneError, match=r"no stated date.*dates='2021-06-15'"):
        open_scene(path).at("2021-06-15")


def test_from_and_to_are_included(tmp_path: Path) -> None:
    _season(tmp_path)
    assert open_scene(tmp_path, start="2021-06-15").dates == (JUNE, date(2021, 8, 15))
    assert open_scene(tmp_path, end=JUNE).dates == (date(2021, 4, 15), JUNE)
    assert open_scene(tmp_path, start=JUNE, end=JUNE) == open_scene(tmp_path).at(JUNE)
    with pytest.raises(SceneError, match="no image from 2021-09-01; it has 2021-04-15"):
        open_scene(tmp_path, start="2021-09-01")
    with pytest.raises(UsageError, match="Swap --from and --to"):
        open_scene(tmp_path, start="2021-09-01", end="2021-03-01")
    undated = write_raster(tmp_path / "plain.tif", ramp(3, 4, 4), names=RGB)
    with pytest.raises(SceneError, match="states no date that --from"):
        open_scene(undated, start="2021-09-01")


def test_the_odd_grid_is_named_and_can_be_aligned(tmp_path: Path) -> None:
    # The odd one comes first; most dates decide, not the first.
    moved = TEN_METRES @ Affine.translation(0.5, 0)
    write_raster(tmp_path / "20210315.tif", ramp(3, 4, 5), names=RGB, transform=moved)
    _season(tmp_path)
    with pytest.raises(SceneError, match=r"20210315.tif .*another grid than 20210415.tif.*4 x 5 px.*--align"):
        open_scene(tmp_path)
    scene = open_scene(tmp_path, align=True)
    assert scene.grid == open_scene(tmp_path / "20210415.tif").grid
    assert scene.notes == (
        "20210315.tif: red, green, blue resampled (bilinear) onto the grid of the others.",
    )
    values, valid = whole(scene.at("2021-03-15"))
    # Half a pixel off: the mean of two neighbours; the first column lies on the edge of the file.
    assert values[0, 0].tolist() == [1, 1.5, 2.5, 3.5]
    assert valid.all()


def test_finer_dates_set_the_grid_when_aligned(tmp_path: Path) -> None:
    _season(tmp_path, DAYS[:2])
    fine = ramp(3, 8, 8)
    write_raster(tmp_path / "20210815.tif", fine, names=RGB, transform=TEN_METRES @ Affine.scale(0.5))
    scene = open_scene(tmp_path, align=True)
    assert scene.grid.shape == (8, 8)
    np.testing.assert_array_equal(whole(scene.at("2021-08-15"))[0], fine)


def test_another_crs_is_not_aligned(tmp_path: Path) -> None:
    _season(tmp_path)
    write_raster(tmp_path / "20210915.tif", ramp(3, 4, 4), names=RGB, crs="EPSG:32633")
    with pytest.raises(SceneError, match=r"20210915.tif has another CRS .*33N.*gdalwarp"):
        open_scene(tmp_path, align=True)


def test_f35_a_date_that_cannot_be_opened(tmp_path: Path) -> None:
    _season(tmp_path)
    (tmp_path / "20210615.tif").write_bytes(b"II*\x00 and no more")
    with pytest.raises(SceneError, match=r"20210615.tif is damaged"):
        open_scene(tmp_path)
    scene = open_scene(tmp_path, on_error="skip")
    assert [when.month for when in scene.dates if when] == [4, 8]
    (lost,) = scene.left_out
    assert (lost.date, lost.damaged) == (JUNE, True)
    assert "20210615.tif is damaged" in lost.reason
    assert lost.message in scene.warnings


@pytest.mark.parametrize("on_error", ["fail", "skip"])
@pytest.mark.parametrize("choice", [{"dates": "2021-04-15"}, {"end": "2021-05-01"}])
def test_f35_a_damaged_date_that_nobody_asks_for_is_no_matter(
    tmp_path: Path, on_error: Literal["fail", "skip"], choice: dict[str, str]
) -> None:
    _season(tmp_path)
    (tmp_path / "20210615.tif").write_bytes(b"II*\x00 and no more")
    scene = open_scene(tmp_path, on_error=on_error, **choice)  # type: ignore[arg-type]
    assert [when.month for when in scene.dates if when] == [4]
    assert not scene.left_out


def test_f35_a_damaged_date_that_is_asked_for_is_blamed(tmp_path: Path) -> None:
    _season(tmp_path)
    (tmp_path / "20210615.tif").write_bytes(b"II*\x00 and no more")
    asked = ["2021-04-15", "2021-06-15"]
    scene = open_scene(tmp_path, on_error="skip", dates=asked)
    assert [when.month for when in scene.dates if when] == [4]
    assert [lost.date for lost in scene.left_out] == [JUNE]
    with pytest.raises(SceneError, match="is damaged"):
        open_scene(tmp_path, on_error="skip", dates=asked[1:])


def test_a_picture_in_a_folder_of_images_is_left_out(tmp_path: Path) -> None:
    _season(tmp_path)
    picture = write_raster(
        tmp_path / "legend.png", ramp(3, 4, 4, dtype="uint8"), driver="PNG", crs=None, transform=None
    )
    scene = open_scene(tmp_path)
    assert len(scene.dates) == 3
    assert any(note.startswith("legend.png left out") for note in scene.notes)
    with pytest.raises(SceneError, match="no place on Earth"):
        open_scene([tmp_path / "20210615.tif", picture])
    for path in tmp_path.glob("*.tif"):
        path.unlink()
    with pytest.raises(SceneError, match="no place on Earth"):
        open_scene(tmp_path)


def test_files_of_one_name_in_two_folders_are_told_apart(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        _season(tmp_path / folder, DAYS[:1])
    with pytest.raises(SceneError, match=r"comes twice .*first.20210415\.tif .*second.20210415\.tif"):
        open_scene(tmp_path)


@pytest.mark.parametrize(
    ("dates", "message"),
    [([], "list of dates is empty"), (["2021-04-15"] * 2, "2021-04-15 to more than one")],
)
def test_dates_that_cannot_be_meant(tmp_path: Path, dates: list[str], message: str) -> None:
    for number in range(2):
        write_raster(tmp_path / f"{number}.tif", ramp(3, 4, 4), names=RGB)
    with pytest.raises(SceneError, match=message):
        open_scene(tmp_path, dates=dates)


def test_f35_a_date_goes_as_a_whole_and_one_must_be_left(tmp_path: Path) -> None:
    for day in DAYS[:2]:
        for band in RGB:
            write_raster(tmp_path / f"{day}_{band}.tif", ramp(4, 4))
    (tmp_path / f"{DAYS[0]}_green.tif").write_bytes(b"")
    assert open_scene(tmp_path, on_error="skip").dates == (JUNE,)
    (tmp_path / f"{DAYS[1]}_red.tif").write_bytes(b"plain text")
    with pytest.raises(SceneError, match="is empty"):
        open_scene(tmp_path, on_error="skip")


def test_a_series_is_small_to_send_and_its_files_are_told(tmp_path: Path) -> None:
    days = tuple(f"2021{month:02}{day:02}" for month in range(1, 13) for day in (1, 11, 21))
    scene = open_scene(_season(tmp_path, days))
    assert len(pickle.dumps(scene)) < 36 * 600
    assert pickle.loads(pickle.dumps(scene)) == scene
    assert len(scene.files) == 36
    assert scene.changed_files() == ()
    before = scene.fingerprint()
    os.utime(tmp_path / "20210601.tif", ns=(1, 1))
    assert [Path(path).name for path in scene.changed_files()] == ["20210601.tif"]
    assert open_scene(tmp_path).fingerprint() != before != scene.at("2021-06-11").fingerprint()


def test_a_long_series_keeps_few_files_open(tmp_path: Path) -> None:
    days = tuple(f"2021{month:02}{day:02}" for month in range(1, 13) for day in range(1, 6))
    scene = open_scene(_season(tmp_path, days))
    close_datasets()
    open_before = _open_files(tmp_path)
    for single in scene.single_dates():
        whole(single)
    assert open_before == 0
    assert 0 < _open_files(tmp_path) <= MAX_OPEN_PER_THREAD
    close_datasets()


def _open_files(folder: Path) -> int:
    links = Path("/proc/self/fd")
    if not links.is_dir():
        pytest.skip("this system has no /proc")
    return sum(
        1
        for link in links.iterdir()
        if link.is_symlink() and str(folder) in os.readlink(link)  # noqa: PTH115
    )


def test_quicklook_and_xarray_of_a_series(tmp_path: Path) -> None:
    _season(tmp_path)
    with rasterio.open(tmp_path / "20210415.tif", "r+") as dataset:
        dataset.nodata = 1
        dataset.write(np.ones((3, 3, 4), "uint16"), window=((0, 3), (0, 4)))
    scene = open_scene(tmp_path)
    np.testing.assert_array_equal(scene.quicklook(), scene.at(JUNE).quicklook())
    array = scene.to_xarray()
    assert array.dims == ("time", "band", "y", "x")
    again = open_scene(array)
    assert again.dates == scene.dates
    assert _first_pixels(again.at(JUNE)) == _first_pixels(scene.at(JUNE))
