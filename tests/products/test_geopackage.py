"""The GeoPackage: readable, styled, equal bytes, and honest about damage."""

from __future__ import annotations

import hashlib
import os
import resource
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import geopandas
import numpy as np
import pyarrow
import pyogrio
import pyproj
import pytest
import shapely
from small_maps import CLASSES, PLACES, SmallMap, small_map

from geopanoptic.errors import OutputError
from geopanoptic.products.geopackage import verify_geopackage, write_geopackage
from geopanoptic.products.layers import LANDCOVER, PARCELS
from geopanoptic.products.rows import rows_of_table

WHEN = datetime(2026, 6, 15, 10, 15, 59, tzinfo=UTC)
METADATA = {"model": "default", "scene": "a 'scene' & more.tif", "parameters": {"simplify_m": 5, "aoi": None}}


def write(path: Path, drawn: SmallMap, **changed: Any) -> Path:
    arguments = {
        "parcels": drawn.parcels,
        "landcover": drawn.landcover,
        "classes": CLASSES,
        "metadata": METADATA,
        "timestamp": WHEN,
    }
    write_geopackage(path, **(arguments | changed))
    return path


@pytest.mark.parametrize("place", sorted(PLACES))
def test_reads_back_in_any_crs(tmp_path: Path, place: str) -> None:
    drawn = small_map(place)
    path = write(tmp_path / "map.gpkg", drawn)
    verify_geopackage(path, parcels=12, landcover=4)
    for layer, table in ((PARCELS, drawn.parcels), (LANDCOVER, drawn.landcover)):
        read = geopandas.read_file(path, layer=layer.name)
        assert list(read.columns) == [*layer.columns, "geometry"]
        assert shapely.equals_identical(read.geometry.to_numpy(), table.geometry.to_numpy()).all()
        for column in layer.columns:
            assert (read[column].to_numpy() == table[column].to_numpy()).all()
        assert read.crs.equals(drawn.crs, ignore_axis_order=True) or read.crs.to_dict() == drawn.crs.to_dict()
        assert pyogrio.read_info(path, layer=layer.name)["geometry_type"] == "Polygon"


@pytest.mark.parametrize(("parcels", "landcover"), [(0, 0), (0, 2), (3, 0)])
def test_empty_layers_keep_schema_and_crs(tmp_path: Path, parcels: int, landcover: int) -> None:
    path = write(tmp_path / "map.gpkg", small_map(parcels=parcels, landcover=landcover))
    verify_geopackage(path, parcels=parcels, landcover=landcover)
    info = pyogrio.read_info(path, layer="parcels")
    assert info["crs"] == "EPSG:32632"
    assert list(info["fields"]) == list(PARCELS.columns)
    assert list(info["dtypes"]) == ["int32", "int32", "object", *["float64"] * 6]
    assert info["geometry_type"] == "Polygon"


@pytest.mark.parametrize("name", ["ex!cl.gpkg", "semi;colon.gpkg", "new\nline.gpkg", "Neu! maps/map.gpkg"])
def test_the_name_does_not_matter(tmp_path: Path, name: str) -> None:
    drawn = small_map()
    (tmp_path / "Neu! maps").mkdir()
    odd = write(tmp_path / name, drawn)
    verify_geopackage(odd, parcels=12, landcover=4)
    assert odd.read_bytes() == write(tmp_path / "map.gpkg", drawn).read_bytes()


def test_same_bytes_from_another_process(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from small_maps import small_map
        from test_geopackage import write
        write(Path(sys.argv[1]), small_map("custom", parcels=2000, landcover=300))
        """
    )
    digests = set()
    for name, environment in (
        ("a", {}),
        ("b", {"TZ": "Asia/Kathmandu", "LC_ALL": "C", "PYTHONHASHSEED": "7"}),
    ):
        path = tmp_path / f"{name}.gpkg"
        subprocess.run(
            [sys.executable, "-c", script, str(path)],
            check=True,
            cwd=Path(__file__).parent,
            env={"PATH": os.defpath, **environment},
        )
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1


def test_the_only_time_in_the_file_is_the_given_one(tmp_path: Path) -> None:
    path = write(tmp_path / "map.gpkg", small_map())
    with closing(sqlite3.connect(path)) as base:
        times = {row[0] for row in base.execute("SELECT last_change FROM gpkg_contents")}
        times |= {row[0] for row in base.execute("SELECT timestamp FROM gpkg_metadata_reference")}
        times |= {row[0] for row in base.execute("SELECT update_time FROM layer_styles")}
    assert times == {"2026-06-15T10:15:59.000Z"}
    assert pyogrio.get_gdal_config_option("OGR_CURRENT_DATE") is None


def test_qgis_finds_a_default_style_for_each_layer(tmp_path: Path) -> None:
    path = write(tmp_path / "map.gpkg", small_map())
    with closing(sqlite3.connect(path)) as base:
        columns = [(row[1], row[2]) for row in base.execute("PRAGMA table_info(layer_styles)")]
        registered = base.execute(
            "SELECT data_type FROM gpkg_contents WHERE table_name = 'layer_styles'"
        ).fetchall()
        styles = base.execute(
            "SELECT f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleQML, styleSLD,"
            " useAsDefault FROM layer_styles"
        ).fetchall()
        geometry_columns = dict(base.execute("SELECT table_name, column_name FROM gpkg_geometry_columns"))
    assert columns == [
        ("id", "INTEGER"),
        ("f_table_catalog", "TEXT(256)"),
        ("f_table_schema", "TEXT(256)"),
        ("f_table_name", "TEXT(256)"),
        ("f_geometry_column", "TEXT(256)"),
        ("styleName", "TEXT(30)"),
        ("styleQML", "TEXT"),
        ("styleSLD", "TEXT"),
        ("useAsDefault", "BOOLEAN"),
        ("description", "TEXT"),
        ("owner", "TEXT(30)"),
        ("ui", "TEXT(30)"),
        ("update_time", "DATETIME"),
    ]
    assert registered == [("attributes",)]
    assert [row[2] for row in styles] == ["parcels", "landcover"]
    for catalog, schema, table, geometry_column, qml, sld, default in styles:
        assert (catalog, schema, default) == ("", "", 1)
        assert geometry_column == geometry_columns[table]
        names = [each.get("value") for each in ElementTree.fromstring(qml).iter("category")]
        assert set(geopandas.read_file(path, layer=table)["class_name"]) <= set(names)
        assert ElementTree.fromstring(sld).tag.endswith("StyledLayerDescriptor")
    table = pyogrio.read_dataframe(path, layer="layer_styles", read_geometry=False)
    assert len(table) == 2


def test_metadata_is_in_both_layers_and_listing_leaves_no_sidecar(tmp_path: Path) -> None:
    path = write(tmp_path / "map.gpkg", small_map(), metadata=METADATA | {"odd=key: x": "value"})
    assert [tuple(row) for row in pyogrio.list_layers(path)] == [
        ("parcels", "Polygon"),
        ("landcover", "Polygon"),
        ("layer_styles", None),
    ]
    for layer in (PARCELS, LANDCOVER):
        items = pyogrio.read_info(path, layer=layer.name)["layer_metadata"]
        assert items["model"] == "default"
        assert items["scene"] == METADATA["scene"]
        assert items["parameters"] == '{"aoi": null, "simplify_m": 5}'
        assert items["odd_key_x"] == "value"
        assert items["DESCRIPTION"] == layer.description
    assert [each.name for each in tmp_path.iterdir()] == ["map.gpkg"]


def test_has_a_spatial_index(tmp_path: Path) -> None:
    path = write(tmp_path / "map.gpkg", small_map())
    with closing(sqlite3.connect(path)) as base:
        assert base.execute("SELECT count(*) FROM rtree_parcels_geom").fetchone() == (12,)
    drawn = small_map()
    found = geopandas.read_file(
        path, layer="parcels", bbox=drawn.parcels.geometry.iloc[0].centroid.buffer(1).bounds
    )
    assert list(found["parcel_id"]) == [1]


def test_an_index_made_in_a_thread_is_the_same(tmp_path: Path) -> None:
    drawn, written = small_map(parcels=3000), []
    for in_thread in ("NO", "YES"):
        # By itself GDAL starts the thread with the hundred thousandth feature.
        options = dict.fromkeys(("ALLOW_THREADED_RTREE", "THREADED_RTREE_AT_FIRST_FEATURE"), in_thread)
        pyogrio.set_gdal_config_options({f"OGR_GPKG_{key}": value for key, value in options.items()})
        try:
            written.append(write(tmp_path / f"{in_thread}.gpkg", drawn).read_bytes())
        finally:
            pyogrio.set_gdal_config_options({f"OGR_GPKG_{key}": None for key in options})
    assert written[0] == written[1]


def test_invalid_polygon_is_never_written(tmp_path: Path) -> None:
    drawn = small_map()
    bow_tie = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])
    broken = drawn.parcels.set_geometry(np.array([bow_tie, *drawn.parcels.geometry.iloc[1:]]), crs=drawn.crs)
    with pytest.raises(OutputError, match="1 of 12 polygons"):
        write(tmp_path / "map.gpkg", drawn, parcels=broken)
    assert not list(tmp_path.iterdir())


def test_batches_make_one_layer_and_the_same_batches_the_same_bytes(tmp_path: Path) -> None:
    drawn = small_map()
    files = [
        write(
            tmp_path / name,
            drawn,
            parcels=(rows_of_table(PARCELS, drawn.parcels[first : first + 5]) for first in (0, 5, 10)),
            landcover=(rows_of_table(LANDCOVER, each) for each in (drawn.landcover[:0], drawn.landcover)),
        )
        for name in ("one.gpkg", "other.gpkg")
    ]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert geopandas.read_file(files[0], layer="parcels").equals(
        geopandas.read_file(write(tmp_path / "whole.gpkg", drawn), layer="parcels")
    )
    verify_geopackage(files[0], parcels=12, landcover=4)


def test_what_fails_in_a_later_batch_is_what_the_caller_sees(tmp_path: Path) -> None:
    drawn = small_map()
    bow_tie = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])
    broken = drawn.parcels.iloc[5:7].set_geometry(np.array([bow_tie, shapely.box(0, 0, 1, 1)]), crs=drawn.crs)
    parts = [drawn.parcels.iloc[:5], broken]
    with pytest.raises(OutputError, match="1 of 2 polygons"):
        write(tmp_path / "map.gpkg", drawn, parcels=(rows_of_table(PARCELS, each) for each in parts))

    def interrupted() -> Iterator[pyarrow.RecordBatch]:
        yield rows_of_table(PARCELS, drawn.parcels)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "other.gpkg", drawn, parcels=interrupted())


@pytest.mark.parametrize(
    "name", ["with space.gpkg", "quo'te\".gpkg", "ünï#cödé.gpkg", "-dash.gpkg", "100%.gpkg", "a?b.gpkg"]
)
def test_any_file_name(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, small_map())
    verify_geopackage(path, parcels=12, landcover=4)
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_verification_sees_damage(tmp_path: Path) -> None:
    path = write(tmp_path / "map.gpkg", small_map(parcels=500))
    with pytest.raises(OutputError, match="500 of 501"):
        verify_geopackage(path, parcels=501, landcover=4)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:5000] + bytes(90_000) + whole[95_000:], b"", b"text"):
        path.write_bytes(damaged)
        with pytest.raises(OutputError):
            verify_geopackage(path, parcels=500, landcover=4)
    # A number of free pages that are not there: every layer can be read.
    path.write_bytes(whole[:36] + b"\0\0\0\7" + whole[40:])
    with pytest.raises(OutputError, match="SQLite says"):
        verify_geopackage(path, parcels=500, landcover=4)
    with pytest.raises(OutputError):
        verify_geopackage(tmp_path / "none.gpkg", parcels=0, landcover=0)


@pytest.mark.parametrize("limit_bytes", [0, 4096, 60_000, 150_000])
def test_full_disk_is_refused(tmp_path: Path, limit_bytes: int) -> None:
    drawn = small_map(parcels=3000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
    try:
        with pytest.raises(OutputError, match=r"map\.gpkg"):
            write(tmp_path / "map.gpkg", drawn)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_crs_is_never_guessed_from_a_code(tmp_path: Path) -> None:
    wkt = pyproj.CRS.from_epsg(32632).to_wkt().replace("0.9996", "0.9998")
    near = pyproj.CRS.from_wkt(wkt.rsplit(',ID["EPSG"', 1)[0] + "]")
    drawn = small_map()
    path = write(
        tmp_path / "map.gpkg",
        drawn,
        parcels=drawn.parcels.set_crs(near, allow_override=True),
        landcover=drawn.landcover.set_crs(near, allow_override=True),
    )
    assert "0.9998" in geopandas.read_file(path, layer="parcels").crs.to_wkt()


def test_one_moment_in_two_zones_gives_the_same_bytes(tmp_path: Path) -> None:
    shown, moment = small_map(), datetime(2021, 6, 15, 12, tzinfo=UTC)
    for name, zone in (("a.gpkg", UTC), ("b.gpkg", timezone(timedelta(hours=2)))):
        write_geopackage(
            tmp_path / name,
            parcels=shown.parcels,
            landcover=shown.landcover,
            classes=CLASSES,
            metadata={},
            timestamp=moment.astimezone(zone),
        )
    assert (tmp_path / "a.gpkg").read_bytes() == (tmp_path / "b.gpkg").read_bytes()
