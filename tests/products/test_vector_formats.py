"""No vector file of a stranger leads to another file or to the network."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely

from geopanoptic.errors import UsageError
from geopanoptic.evaluation.evaluate import evaluate
from geopanoptic.evaluation.sparse import read_drawn_fields
from geopanoptic.grid import Grid
from geopanoptic.labels.formats.format import ReadOptions
from geopanoptic.labels.formats.registry import format_named, recognise
from geopanoptic.pipeline.planning.aoi import read_aoi
from geopanoptic.products.vector_files import read_table
from geopanoptic.training.datasets.vectors import read_fields
from geopanoptic.training.synthetic.outlines import RealParcels

UTM = "EPSG:32632"
GRID = Grid(
    crs_wkt=rasterio.CRS.from_string(UTM).to_wkt(),
    transform=rasterio.Affine(10, 0, 500_000, 0, -10, 5_400_000),
    height=64,
    width=64,
)
FIELDS = geopandas.GeoDataFrame(
    {"n": np.int32([7])}, geometry=[shapely.box(500_100, 5_399_700, 500_300, 5_399_900)], crs=UTM
)
FEATURE = (
    '{"type":"Feature","properties":{"crs":"crs"},"geometry":{"type":"Polygon","coordinates":'
    "[[[9.001,48.75],[9.002,48.75],[9.002,48.751],[9.001,48.75]]]}}"
)
READERS = {
    "read_table": read_table,
    "aoi": lambda path: read_aoi(str(path), GRID),
    "train": lambda path: read_fields(path, GRID),
    "evaluate": lambda path: evaluate(path, FIELDS),
    "area": lambda path: evaluate(FIELDS, FIELDS, area=path),
    "labels": lambda path: recognise(path).read(path, ReadOptions()),
    "labels --from": lambda path: format_named("gpkg").read(path, ReadOptions()),
    "sparse": lambda path: read_drawn_fields([path]),
    "outlines": RealParcels.read,
}


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """The address of a server here, and what it was asked for."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_error(404)

        do_HEAD = do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()


def strange(folder: Path, url: str) -> dict[str, bytes]:
    """Name and content of files that GDAL would follow."""
    FIELDS.to_file(folder / "other.gpkg", layer="fields")
    virtual = (
        f"<OGRVRTDataSource><OGRVRTLayer name='fields'><SrcDataSource>{folder}/other.gpkg</SrcDataSource>"
        "</OGRVRTLayer></OGRVRTDataSource>"
    )
    linked = f'{{"type":"link","properties":{{"href":"{url}/crs"}}}}'
    schema = (
        f"http://a {url}/wfs?SERVICE=WFS&amp;VERSION=1.1.0&amp;REQUEST=DescribeFeatureType&amp;TYPENAME=a:b"
    )
    texts = {
        "virtual.gpkg": " " * 900 + virtual,
        "behind_magic.fgb": "fgb\x03fgb\x01" + virtual,
        "behind_kml.kml": f"<kml></kml>{virtual}",
        "in_json.geojson": f'{{"a":"{virtual}"}}',
        "pipeline.geojson": f'{{"type":"gdal_streamed_alg","command_line":"gdal vector filter {folder}/other.gpkg X"}}',
        "service.gpkg": f"<OGRWFSDataSource><URL>{url}/wfs</URL></OGRWFSDataSource>",
        "map.moaw": f'{{"process":"{url}/process","inputs":{{}}}}',
        "first.geojson": f'{{"type":"FeatureCollection","crs":{linked},"features":[{FEATURE}]}}',
        "last.geojson": f'{{"type":"FeatureCollection","features":[{FEATURE}],"CRS":{linked}}}',
        "escaped.geojson": f'{{"type":"FeatureCollection","\\u0063rs":{linked},"features":[{FEATURE}]}}',
        "of_feature.json": f'{{"type":"FeatureCollection","features":[{{"crs":{linked},{FEATURE[1:]}]}}',
        "quoted.geojson": f"{{'crs':{linked},{FEATURE[1:]}",
        "commented.geojson": f'{{"crs"/*,*/:{linked},{FEATURE[1:]}',
        "called.geojson": f'loadGeoJSON({{"type":"FeatureCollection","crs":{linked},"features":[{FEATURE}]}})',
        "schema.gml": "<a:FeatureCollection xmlns:a='http://a' xmlns:gml='http://www.opengis.net/gml' "
        f"xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' xsi:schemaLocation='{schema}'>"
        "<gml:featureMember><a:b/></gml:featureMember></a:FeatureCollection>",
    }
    return {name: text.encode() for name, text in texts.items()}


@pytest.mark.parametrize("reader", READERS)
def test_what_leads_elsewhere_is_refused_by_every_reader(tmp_path: Path, asked, reader: str) -> None:
    url, seen = asked
    for name, content in strange(tmp_path, url).items():
        path = tmp_path / name
        path.write_bytes(content)
        with zipfile.ZipFile(tmp_path / "zipped.zip", "w") as archive:
            archive.write(path, path.name)
        for given in (path, tmp_path / "zipped.zip"):
            with pytest.raises(UsageError, match=r"nothing is read from other|read as|label formats"):
                READERS[reader](given)
    assert seen == []


@pytest.mark.parametrize("reader", ["read_table", "aoi", "train", "evaluate", "area", "sparse"])
@pytest.mark.parametrize("prefix", ["", "/vsicurl/", "WFS:", "zip+"])
def test_addresses_are_no_files(asked, reader: str, prefix: str) -> None:
    url, seen = asked
    given = f"{prefix}{url}/fields.geojson"
    with pytest.raises(UsageError, match=r"there is no such file|does not exist"):
        READERS[reader](given if reader in ("aoi", "evaluate", "area") else Path(given))
    assert seen == []


def test_label_rasters_lead_nowhere(tmp_path: Path, asked) -> None:
    url, seen = asked
    path = tmp_path / "labels.tif"
    for content in (
        "<VRTDataset rasterXSize='1' rasterYSize='1'></VRTDataset>",
        f"<GDAL_WMS><Service name='TMS'><ServerUrl>{url}/${{x}}</ServerUrl></Service></GDAL_WMS>",
        f"<WCS_GDAL><ServiceURL>{url}/wcs?</ServiceURL><CoverageName>a</CoverageName></WCS_GDAL>",
    ):
        path.write_text(content)
        with pytest.raises(UsageError, match="cannot be read as a raster"):
            evaluate(path, FIELDS)
    assert seen == []


def legitimate(folder: Path) -> list[Path]:
    for driver, name in {
        "GPKG": "f.gpkg", "GeoJSON": "f.geojson", "ESRI Shapefile": "f.shp", "FlatGeobuf": "f.fgb", "LIBKML": "f.kml",
        "OpenFileGDB": "f.gdb", "GeoJSONSeq": "f.geojsonl",
    }.items():  # fmt: skip
        FIELDS.to_file(folder / name, driver=driver)
    FIELDS.to_parquet(folder / "f.parquet")
    (folder / "sorted.json").write_text(
        '{"crs": {"properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}, "type": "name"}, "features": ['
        + FEATURE
        + '], "type": "FeatureCollection"}'
    )
    for name, members in {
        "shp.zip": [folder / f"f.{suffix}" for suffix in ("shp", "shx", "dbf", "prj")],
        "gpkg.zip": [folder / "f.gpkg"],
        "UPPER.ZIP": [folder / "f.geojson"],
        "f.gdb.zip": sorted((folder / "f.gdb").iterdir()),
        "f.kmz": [folder / "f.kml"],
    }.items():
        with zipfile.ZipFile(folder / name, "w") as archive:
            for member in members:
                archive.write(member, member.name)
    return sorted(folder.iterdir())


def test_other_files_are_read_as_before(tmp_path: Path) -> None:
    for path in legitimate(tmp_path):
        if path.suffix in (".shx", ".dbf", ".prj", ".cpg"):
            continue
        table = read_table(path)
        assert len(table) == 1, path
        assert table.crs is not None, path
        assert len(read_fields(path, GRID)[0]) == 1, path
        assert read_aoi(path, GRID)(GRID.window).sum() > 0, path
    assert np.allclose(
        read_table(tmp_path / "f.kml").to_crs(UTM).total_bounds, FIELDS.total_bounds, atol=0.01
    )


def test_the_layer_of_polygons_is_the_area_of_interest(tmp_path: Path) -> None:
    path = tmp_path / "several.gpkg"
    FIELDS.set_geometry(FIELDS.centroid).to_file(path, layer="wells")
    FIELDS.to_file(path, layer="fields")
    assert read_aoi(path, GRID)(GRID.window).sum() == 400
