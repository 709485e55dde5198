"""NetCDF and Zarr cubes: F02, F20, F36 and what a stranger's cube may not do."""

from __future__ import annotations

import os
import pickle
import shutil
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rioxarray  # noqa: F401  (registers .rio)
import xarray
from tiny_rasters import TEN_METRES, whole, write_raster

from geopanoptic.errors import SceneError, UsageError
from geopanoptic.grid import Window
from geopanoptic.scene import UnreadableBlock, open_scene

h5py = pytest.importorskip("h5py", reason="cubes need the extra geopanoptic[cubes]")
zarr = pytest.importorskip("zarr", reason="cubes need the extra geopanoptic[cubes]")

DAYS = np.array(["2021-04-03", "2021-05-08", "2021-06-15"], "datetime64[ns]")
SHAPE = (len(DAYS), 20, 30)


def made(**changes: Any) -> xarray.Dataset:
    """Three dates of red, near infrared and a classification, whose clouds cover the last row."""
    rng = np.random.default_rng(2)
    scl = np.full(SHAPE, 4, np.uint8)
    scl[:, -1] = 9
    numbers = {name: rng.integers(1, 9000, SHAPE).astype(np.int16) for name in ("B04", "B08")}
    variables = {
        name: (("t", "y", "x"), values) for name, values in {**numbers, "SCL": scl, **changes}.items()
    }
    x, y = (600_005 + 10 * np.arange(SHAPE[2]), 5_699_995 - 10 * np.arange(SHAPE[1]))
    return xarray.Dataset(variables, {"t": DAYS, "y": y, "x": x}).rio.write_crs("EPSG:32632")


def store(cube: xarray.Dataset, path: Path, **encoding: Any) -> Path:
    for variable in cube.data_vars.values():
        variable.encoding.update(encoding)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if path.suffix == ".zarr":
            cube.to_zarr(path, consolidated=True, zarr_format=2 if "v2" in path.name else 3)
        else:
            engine = "scipy" if path.name.startswith("classic") else "h5netcdf"
            cube.to_netcdf(path, engine=engine)
    return path


@pytest.fixture(scope="module", params=["cube.nc", "classic.nc", "cube.zarr", "cube-v2.zarr"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Only read."""
    return store(made(), tmp_path_factory.mktemp("cubes") / request.param)


def test_pixels_dates_and_masks(path: Path) -> None:
    cube, scene = made(), open_scene(path)
    assert scene.bands == ("red", "nir")
    assert scene.dates == tuple(date.fromisoformat(str(day)[:10]) for day in DAYS)
    assert scene.grid.transform == TEN_METRES
    assert scene.grid.shape == SHAPE[1:]
    for position, when in enumerate(scene.dates):
        values, valid = whole(scene.at(when), "nir", "red")
        for plane, name in zip(values, ("B08", "B04"), strict=True):
            np.testing.assert_array_equal(plane[:-1], cube[name].values[position, :-1])
        assert valid[:-1].all()
        assert not valid[-1].any(), "the classification says cloud"
    window = Window(-3, 25, 5, 40)
    part, valid = open_scene(path, cloud_mask="none").at(scene.dates[1]).read(window)
    np.testing.assert_array_equal(part[0, 3:, :5], cube.B04.values[1, :5, 25:])
    assert valid.sum() == 25
    assert scene.files == (path.resolve(),)
    assert scene.name == path.stem


def test_a_cube_is_a_value(path: Path) -> None:
    scene = open_scene(path)
    again = pickle.loads(pickle.dumps(scene))
    assert again == scene
    assert again.fingerprint() == open_scene(path).fingerprint()
    one, other = (whole(each.at(scene.dates[0])) for each in (scene, again))
    np.testing.assert_array_equal(one[0], other[0])
    assert scene.at(scene.dates[0]).quicklook(["red"] * 3, longest_px=8).shape[2] == 3


def test_threads_may_read_at_once(path: Path) -> None:
    scene, expected = open_scene(path, cloud_mask="none"), made()
    windows = [Window(row, 5 * row, row + 9, 5 * row + 4) for row in range(6)] * 6
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda window: scene.at("2021-06-15").read(window, ("nir",))[0][0], windows))
    for values, window in zip(read, windows, strict=True):
        inner = window.intersection(scene.grid.window)
        assert inner is not None
        np.testing.assert_array_equal(values[inner.slices(window)], expected.B08.values[2][inner.slices()])


def test_a_changed_cube_is_noticed(path: Path, tmp_path: Path) -> None:
    copied = tmp_path / path.name
    path = Path(shutil.copytree(path, copied) if path.is_dir() else shutil.copy(path, copied))
    scene = open_scene(path)
    assert scene.changed_files() == ()
    file = path if path.is_file() else next(each for each in path.rglob("B04/*") if each.is_file())
    file.write_bytes(file.read_bytes() + b" ")
    assert scene.changed_files() == (path.resolve(),)


def test_scale_offset_fill_and_unsigned_are_decoded(tmp_path: Path) -> None:
    cube = made()
    cube["B04"] = cube.B04.astype(np.float32) / 10_000
    cube["B04"][:, 3, 4] = np.nan
    path = tmp_path / "cube.nc"
    packed = {"dtype": "int16", "scale_factor": 0.0001, "add_offset": -0.1, "_FillValue": -32768}
    cube.to_netcdf(path, engine="h5netcdf", encoding={"B04": packed})
    values, valid = whole(open_scene(path, cloud_mask="none").at("2021-05-08"), "red")
    assert np.argwhere(~valid).tolist() == [[3, 4]]
    np.testing.assert_allclose(values[0][valid], cube.B04.values[1][valid], atol=6e-5)


def test_netcdfs_own_fill_value_counts(tmp_path: Path) -> None:
    numbers = np.full(SHAPE, 1000, np.uint16)
    numbers[1] = 65535
    cube = made(B04=numbers, B08=numbers)
    scene = open_scene(store(cube, tmp_path / "cube.nc"), cloud_mask="none")
    assert [bool(whole(each)[1].any()) for each in scene.single_dates()] == [True, False, True]


@pytest.mark.parametrize("name", ["cube.nc", "cube.zarr"])
def test_no_data_that_only_an_attribute_states_counts(tmp_path: Path, name: str) -> None:
    cube = made()
    cube["B04"][:, 0] = 0
    for band in ("B04", "B08"):
        cube[band].attrs["nodata"] = 0
    scene = open_scene(store(cube, tmp_path / name), cloud_mask="none")
    assert scene.nodata == (0, 0)
    assert not whole(scene.at("2021-05-08"))[1][0].any()
    assert whole(scene.at("2021-05-08"))[1][2:].any()


@pytest.mark.parametrize("name", ["cube.nc", "cube.zarr"])
def test_chunks_of_many_dates_are_told(tmp_path: Path, name: str) -> None:
    cube = xarray.concat([made(), made().assign_coords(t=DAYS + np.timedelta64(100, "D"))], "t")
    key = "chunksizes" if name.endswith(".nc") else "chunks"
    path = store(cube, tmp_path / name, **{key: (6, 20, 30)})
    (warning,) = open_scene(path).warnings
    assert "each date is read by decoding 6" in warning
    assert open_scene(store(cube, tmp_path / f"one-{name}", **{key: (1, 20, 30)})).warnings == ()


def test_a_band_dimension(tmp_path: Path) -> None:
    bands = made().drop_vars("SCL").to_dataarray("band", name="reflectance")
    path = tmp_path / "cube.nc"
    bands.to_dataset().to_netcdf(path, engine="h5netcdf")
    scene = open_scene(path)
    assert scene.bands == ("red", "nir")
    np.testing.assert_array_equal(whole(scene.at("2021-06-15"))[0], bands.values[:, 2])
    bands.drop_vars("band").to_dataset().to_netcdf(tmp_path / "nameless.nc", engine="h5netcdf")
    with pytest.raises(SceneError, match="--bands"):
        open_scene(tmp_path / "nameless.nc")
    assert open_scene(tmp_path / "nameless.nc", bands="nir,-").bands == ("nir",)


def test_a_folder_of_cubes_is_a_series_and_bands_are_chosen(tmp_path: Path) -> None:
    cube = made()
    for position, day in enumerate(DAYS):
        store(cube.isel(t=[position]), tmp_path / f"{str(day)[:10]}.nc")
    scene = open_scene(tmp_path, bands="NIR")
    assert len(scene.dates) == 3
    assert scene.bands == ("nir",)
    np.testing.assert_array_equal(whole(scene.at("2021-05-08"))[0][0, :-1], cube.B08.values[1, :-1])
    with pytest.raises(SceneError, match=r"no band 'blue'; it has red, nir"):
        open_scene(tmp_path, bands="nir,blue")
    write_raster(tmp_path.parent / "other_20210615_red.tif", cube.B04.values[0])
    with pytest.raises(SceneError, match="as the others are"):
        open_scene([tmp_path / "2021-04-03.nc", tmp_path.parent / "other_20210615_red.tif"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda cube: cube.assign_coords(x=cube.x + (cube.x > 600_100)), "uneven"),
        (lambda cube: cube.drop_vars("spatial_ref"), "--assume-crs"),
        (lambda cube: cube.rename(B04="B04_raw", B08="temperature").drop_vars("B04_raw"), "cannot be told"),
        (lambda cube: cube.isel(x=0), "no variable of rows and columns"),
        (lambda cube: cube.isel(t=0).expand_dims(angle=2).drop_vars("t"), "no variable of rows and columns"),
        (lambda cube: cube.rename(t="month").assign_coords(month=[4, 5, 6]), r"time \(dates\).*called time"),
    ],
)
def test_cubes_that_are_no_scenes(tmp_path: Path, change: Any, message: str) -> None:
    path = store(change(made()), tmp_path / "cube.nc")
    with pytest.raises(SceneError, match=message):
        open_scene(path)


def test_an_assumed_crs_is_told(tmp_path: Path) -> None:
    path = store(made().drop_vars("spatial_ref"), tmp_path / "cube.nc")
    scene = open_scene(path, assume_crs="EPSG:32632")
    assert scene.grid.crs.to_epsg() == 32632
    assert scene.assumed_crs == "EPSG:32632"
    assert scene.warnings == ("cube.nc: the CRS is assumed to be EPSG:32632.",)
    stated = open_scene(store(made(), tmp_path / "stated.nc"), assume_crs="EPSG:32633")
    assert "EPSG:32633 is not assumed" in stated.warnings[0]


@pytest.mark.parametrize("name", ["cube.nc", "cube.zarr"])
def test_a_damaged_chunk_is_named_and_may_be_left_out(tmp_path: Path, name: str) -> None:
    encoding = {"chunksizes": (1, 10, 30), "zlib": True} if name.endswith("nc") else {"chunks": (1, 10, 30)}
    path = store(made(), tmp_path / name, **encoding)
    if name.endswith("nc"):
        with h5py.File(path) as file:
            chunk = file["B04"].id.get_chunk_info_by_coord((1, 10, 0))
        content = bytearray(path.read_bytes())
        content[chunk.byte_offset : chunk.byte_offset + chunk.size] = b"\xff" * chunk.size
        path.write_bytes(content)
    else:
        (path / "B04/c/1/1/0").write_bytes(b"\xff" * 40)
    scene = open_scene(path, cloud_mask="none").at("2021-05-08")
    with pytest.raises(SceneError, match=r"rows 10 to 20.*B04"):
        whole(scene)
    found: list[UnreadableBlock] = []
    values, valid = scene.read(scene.grid.window, on_unreadable=found.append)
    assert [block.window for block in found] == [Window(10, 0, 20, 30)]
    assert valid[:10].all()
    assert not valid[10:].any()
    np.testing.assert_array_equal(values[0, :10], made().B04.values[1, :10])
    assert scene.read(Window(3, 3, 9, 9))[1].all()
    for window in (Window(5, 5, 12, 9), Window(11, 0, 12, 1), Window(-2, 20, 25, 40)):
        part = window.intersection(scene.grid.window)
        assert part is not None
        seen = scene.read(window, on_unreadable=found.append)[1][part.slices(window)]
        np.testing.assert_array_equal(seen, valid[part.slices()], "whatever the window")


def test_truncated_and_empty(tmp_path: Path) -> None:
    path = store(made(), tmp_path / "cube.nc")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(SceneError, match=r"cube.nc is damaged"):
        open_scene(path)
    (tmp_path / "empty.zarr").mkdir()
    (tmp_path / "empty.zarr/zarr.json").write_text("{")
    with pytest.raises(SceneError, match="not well-formed JSON"):
        open_scene(tmp_path / "empty.zarr")


def test_a_cube_named_as_an_image_is_refused(tmp_path: Path) -> None:
    path = store(made(), tmp_path / "cube.nc").rename(tmp_path / "scene.tif")
    with pytest.raises(SceneError, match=r"HDF5.*name it .nc"):
        open_scene(path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "cube.nc")
    with pytest.raises(SceneError, match="no plain file"):
        open_scene(tmp_path / "cube.nc")


def test_hdf5_that_reads_other_files(tmp_path: Path) -> None:
    other = store(made(), tmp_path / "other.nc")
    link = store(made(), tmp_path / "link.nc")
    with h5py.File(link, "a") as file:
        del file["B08"]
        file["B08"] = h5py.ExternalLink(str(other), "B08")
    virtual = store(made(), tmp_path / "virtual.nc")
    with h5py.File(virtual, "a") as file:
        del file["B08"]
        layout = h5py.VirtualLayout(SHAPE, "i2")
        layout[:] = h5py.VirtualSource(str(other), "B08", SHAPE)
        file.create_virtual_dataset("B08", layout)
    outside = store(made(), tmp_path / "outside.nc")
    (tmp_path / "raw").write_bytes(b"\0" * 1200 * SHAPE[0])
    with h5py.File(outside, "a") as file:
        del file["B08"]
        file.create_dataset("B08", SHAPE, "i2", external=[(str(tmp_path / "raw"), 0, h5py.h5f.UNLIMITED)])
    for path in (link, virtual, outside):
        with pytest.raises(SceneError, match=r"reads other files.*B08"):
            open_scene(path)


class _Exploit:
    """Pickled, it would leave a file behind where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (self.path, "w"))


def test_zarr_that_would_run_code(tmp_path: Path) -> None:
    path = store(made(), tmp_path / "cube-v2.zarr", compressors=None)
    array = path / "B08/.zarray"
    text = array.read_text()
    assert '"filters": null' in text
    array.write_text(
        text.replace('"filters": null', '"filters": [{"id": "pickle"}]').replace('"<i2"', '"|O"')
    )
    (path / "B08/0.0.0").write_bytes(pickle.dumps(_Exploit(tmp_path / "ran")))
    with pytest.raises(SceneError, match="codec 'pickle'"):
        open_scene(path)
    assert not (tmp_path / "ran").exists()


def test_zarr_with_links(tmp_path: Path) -> None:
    path = store(made(), tmp_path / "cube.zarr")
    chunk = next(each for each in (path / "B04").rglob("*") if each.is_file() and each.name != "zarr.json")
    chunk.rename(tmp_path / "outside")
    chunk.symlink_to(tmp_path / "outside")
    with pytest.raises(SceneError, match="symbolic link"):
        open_scene(path)


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = store(made(), tmp_path / "cube.nc")
    for name in ("h5py", "h5netcdf"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SceneError, match=r"not installed.*geopanoptic\[cubes\]"):
        open_scene(path)


@pytest.mark.realdata
def test_a_real_cube_with_missing_months(shared_data: Path) -> None:
    path = shared_data / "s2-cube-belgium/worldcereal_preprocessed_inputs.nc"
    scene = open_scene(path)
    assert scene.bands == (
        "blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "swir16", "swir22"
    )  # fmt: skip
    assert len(scene.dates) == 12
    assert any("slope" in note and "S1-SIGMA0-VV" in note for note in scene.notes)
    shares = [float(whole(each, "red")[1].mean()) for each in scene.single_dates()]
    assert shares == [1, 0, 0] + [1] * 9, "65535 is missing"
    with h5py.File(path) as file:
        stored = file["S2-L2A-B08"][5].astype(np.int32) % 65536
    np.testing.assert_array_equal(whole(scene.at("2021-04-01"), "nir")[0][0], stored)


@pytest.mark.realdata
def test_a_real_cube_with_classification_and_cloud_mask(shared_data: Path) -> None:
    path = shared_data / "s2-cube-belgium/raw_s2_ndvi_field.nc"
    with xarray.open_dataset(path, engine="h5netcdf") as cube:
        scl, clm, red = cube.SCL.values, cube.CLM.values, cube.B04.values
    bare, classified, banded = (open_scene(path, cloud_mask=kind) for kind in ("none", "scl", "band"))
    assert len(bare.dates) == 33
    for position, when in list(enumerate(bare.dates))[::6]:
        values, valid = whole(bare.at(when), "red")
        np.testing.assert_array_equal(valid, np.isfinite(red[position]))
        np.testing.assert_array_equal(values[0][valid], red[position][valid])
        hidden = ~np.isfinite(scl[position]) | np.isin(scl[position], (0, 1, 3, 8, 9, 10, 11))
        np.testing.assert_array_equal(whole(classified.at(when), "red")[1], valid & ~hidden)
        np.testing.assert_array_equal(whole(banded.at(when), "red")[1], valid & ~(clm[position] == 1))


def test_bands_and_masks_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    cube = made()
    coarse = cube["SCL"][:, ::2, ::2].rename(y="y20", x="x20")
    scene = open_scene(store(cube.drop_vars("SCL").assign(SCL=coarse), tmp_path / "coarse.nc"))
    assert not scene.masks
    assert any("SCL has t (3), y20 (10), x20 (15)" in each for each in scene.warnings)
    with pytest.raises(SceneError, match=r"SCL has t \(3\), y20 \(10\), x20 \(15\)"):
        open_scene(cube.drop_vars("SCL").assign(SCL=coarse))


def test_a_mask_without_time_holds_for_all_dates(tmp_path: Path) -> None:
    cube = made()
    scene = open_scene(store(cube.assign(SCL=cube["SCL"][0].drop_vars("t")), tmp_path / "one.nc"))
    assert [mask.date for mask in scene.masks] == list(scene.dates)
    for when in scene.dates:
        _, valid = whole(scene.at(when))
        assert valid[:-1].all()
        assert not valid[-1].any()


def test_a_cube_of_no_dates_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match=r"t \(0\)"):
        open_scene(store(made().isel(t=slice(0, 0)), tmp_path / "empty.nc"))


def test_xarray_sees_of_a_cube_what_its_file_shows(tmp_path: Path) -> None:
    missing = np.full(SHAPE, 500, np.uint16)
    missing[1] = 65535
    path = store(made(B04=missing, B08=missing).drop_vars("SCL"), tmp_path / "gaps.nc")
    in_file = open_scene(path)
    with xarray.open_dataset(path, decode_coords="all") as cube:
        in_memory = open_scene(cube)
        assert in_memory.dates == in_file.dates
        for when in in_file.dates:
            for stored, shown in zip(whole(in_file.at(when)), whole(in_memory.at(when)), strict=True):
                np.testing.assert_array_equal(stored, shown)
        assert open_scene(cube.isel(t=[2])).dates == open_scene(cube.isel(t=2)).dates == in_file.dates[2:]


@pytest.mark.parametrize("form", [np.datetime64, np.array, list])
def test_dates_may_be_numpys(path: Path, form: Any) -> None:
    asked = form(DAYS[1]) if form is np.datetime64 else form([DAYS[1]])
    assert open_scene(path, dates=asked).dates == (date(2021, 5, 8),)
    with pytest.raises(UsageError, match="20210508 is not a date"):
        open_scene(path, dates=20210508)  # type: ignore[arg-type]


def test_several_cubes_are_one_scene_in_any_order(tmp_path: Path) -> None:
    paths = [store(made().isel(t=[i]), tmp_path / f"{i}.nc") for i in (0, 1)]
    assert open_scene(paths).name == open_scene(paths[::-1]).name == "0 and 1 more"


@pytest.mark.parametrize(
    "days",
    [["2021-04-03", "2021-05-08", "2021-06-15"], [20210403, 20210508, 20210615]],
    ids=["text", "numbers"],
)
def test_days_may_be_texts_or_numbers(tmp_path: Path, days: list[Any]) -> None:
    cube = made().assign_coords(t=days)
    in_file = open_scene(store(cube, tmp_path / "cube.nc"))
    assert in_file.dates == open_scene(cube).dates == tuple(DAYS.astype("datetime64[D]").astype(object))
    np.testing.assert_array_equal(whole(in_file.at("2021-05-08"), "nir")[0][0, :-1], cube.B08.values[1, :-1])


def test_a_cube_states_what_stands_for_a_reflectance_of_one(tmp_path: Path) -> None:
    percent = made().B04.astype("float32").assign_attrs(reflectance_of_one=100.0)
    cube = made().assign(B04=percent)
    for source in (cube, store(cube, tmp_path / "cube.nc"), store(cube, tmp_path / "classic.nc")):
        assert {layer.stated_one for layer in open_scene(source).layers if layer.band == "red"} == {100}


@pytest.mark.parametrize(
    ("times", "attrs"),
    [
        ([4, 5, 6], {}),
        ([0, 35, 73], {"units": "days since 2021-04-03", "calendar": "noleap"}),
        ([0, 1, 2], {"units": "months since 2021-04-03"}),
    ],
    ids=["counted", "noleap", "months"],
)
def test_a_time_without_dates_is_dated_by_the_user(tmp_path: Path, times: list[int], attrs: Any) -> None:
    cube = made().assign_coords(t=("t", times, attrs))
    for source in (cube, store(cube, tmp_path / "cube.nc")):
        with pytest.raises(SceneError, match=r"3 images along its time, which states no dates.*--dates"):
            open_scene(source)
        scene = open_scene(source, dates=list(DAYS))
        assert scene.dates == tuple(DAYS.astype("datetime64[D]").astype(object))
        values, valid = whole(scene.at(DAYS[1]), "red")
        np.testing.assert_array_equal(values[0, :-1], made().B04.values[1, :-1])
        assert not valid[-1].any(), "the masks are dated as well"


def test_several_images_of_one_day_are_refused_with_a_way_out(tmp_path: Path) -> None:
    twice = np.array(["2021-04-03T10:10", "2021-05-08T10:10", "2021-05-08T10:11"], "datetime64[ns]")
    cube = made().rename(t="time").assign_coords(time=twice)
    for source in (cube, store(cube, tmp_path / "cube.nc")):
        with pytest.raises(SceneError, match="has 2 images of 2021-05-08") as refusal:
            open_scene(source)
    remedy = str(refusal.value.remedy).partition("`")[2].partition("`")[0]
    assert len(open_scene(eval(remedy, {"cube": cube})).dates) == 2
