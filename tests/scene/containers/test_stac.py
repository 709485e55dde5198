"""STAC items, collections and catalogues: F05, F17, F76 and how real catalogues name their bands."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from range_server import RangeServer, serving
from tiny_rasters import ramp, whole, write_raster

from geopanoptic.errors import SceneError
from geopanoptic.scene import open_scene
from geopanoptic.scene.files.datasets import close_datasets

SHAPE = (12, 16)
CODES = {"B02": "blue", "B03": "green", "B04": "red", "B08": "nir"}


def asset(href: str, **more: Any) -> dict[str, Any]:
    return {"href": href, "type": "image/tiff; application=geotiff; profile=cloud-optimized", **more}


def item(
    assets: dict[str, Any], *, when: str | None = "2021-06-15T10:15:59Z", **properties: Any
) -> dict[str, Any]:
    stated = {"datetime": when, "platform": "sentinel-2a", **properties}
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": f"item-{when}", "geometry": None, "properties": stated,
        "assets": assets, "links": [],
    }  # fmt: skip


def save(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def images(tmp_path: Path) -> dict[str, np.ndarray]:
    """Images beside the items, nameless and without dates."""
    stored = {code: ramp(*SHAPE, start=1000 * n) for n, code in enumerate(CODES, 1)}
    (tmp_path / "img").mkdir()
    for number, values in enumerate(stored.values()):
        write_raster(tmp_path / f"img/{number}.tif", values)
    scl = np.full((6, 8), 5, np.uint8)
    scl[0] = 8
    write_raster(tmp_path / "img/scl.tif", scl, transform=rasterio.Affine(20, 0, 600_000, 0, -20, 5_700_000))
    return stored


def assets_of(**more: Any) -> dict[str, Any]:
    return {
        code: asset(f"./img/{number}.tif", **{"eo:bands": [{"name": code, "common_name": name}]}, **more)
        for number, (code, name) in enumerate(CODES.items())
    }


def test_bands_date_cloud_and_mask_of_an_item(tmp_path: Path, images: dict[str, np.ndarray]) -> None:
    assets = assets_of() | {
        "scl": asset("img/scl.tif"),
        "thumbnail": asset("nowhere.tif", roles=["thumbnail"]),
        "info": {"href": "nowhere.xml", "type": "application/xml"},
    }
    path = save(tmp_path / "item.json", item(assets, **{"eo:cloud_cover": 30}))
    scene = open_scene(path)
    assert scene.bands == tuple(CODES.values())
    assert scene.dates == (date(2021, 6, 15),)
    values, valid = whole(scene)
    np.testing.assert_array_equal(values[:, 2:], np.stack(list(images.values()))[:, 2:])
    assert not valid[:2].any()
    assert valid[2:].all()
    with pytest.raises(SceneError, match="cloud"):
        open_scene(path, max_cloud=20)


@pytest.mark.parametrize("version", ["raster 1.1", "common metadata 1.1", "raster 2.0"])
def test_radiometry_is_as_stated(tmp_path: Path, images: dict[str, np.ndarray], version: str) -> None:
    stated = {"scale": 0.0001, "offset": -0.1, "nodata": 1000}
    more: dict[str, Any] = {"raster:bands": [stated]}
    if version != "raster 1.1":
        prefixed = {f"raster:{key}": value for key, value in stated.items() if key != "nodata"}
        more = (
            {"nodata": 1000, **prefixed}
            if version == "raster 2.0"
            else {"bands": [{"nodata": 1000, **prefixed}]}
        )
    values, valid = whole(open_scene(save(tmp_path / "item.json", item(assets_of(**more)))), "blue")
    expected = images["B02"].astype(np.float32) * np.float32(0.0001) + np.float32(-0.1)
    np.testing.assert_allclose(values[0][valid], expected[valid], atol=1e-6)
    assert np.argwhere(~valid).tolist() == [[0, 0]]


def test_an_offset_that_was_applied_is_not_applied_again(
    tmp_path: Path, images: dict[str, np.ndarray]
) -> None:
    more = {"raster:bands": [{"scale": 0.0001, "offset": -0.1}]}
    document = item(assets_of(**more), **{"earthsearch:boa_offset_applied": True})
    values, _ = whole(open_scene(save(tmp_path / "item.json", document)), "red")
    np.testing.assert_allclose(values[0], images["B04"] * 0.0001, rtol=1e-6)


def test_mixed_baselines_without_a_statement_are_refused(
    tmp_path: Path, images: dict[str, np.ndarray]
) -> None:
    features = [
        item(assets_of(), **{"s2:processing_baseline": "03.00"}),
        item(assets_of(), when="2022-06-15T10:00:00Z", **{"s2:processing_baseline": "04.00"}),
    ]
    path = save(tmp_path / "items.json", {"type": "FeatureCollection", "features": features})
    with pytest.raises(SceneError, match="1000 higher"):
        open_scene(path)
    features[1]["properties"]["earthsearch:boa_offset_applied"] = True
    assert len(open_scene(save(path, {"type": "FeatureCollection", "features": features})).dates) == 2


def test_collections_and_catalogues_are_series(tmp_path: Path, images: dict[str, np.ndarray]) -> None:
    days = ("2021-08-01T10:00:00Z", "2021-04-01T23:30:00-02:00")
    above = {key: {**each, "href": f"../../{each['href']}"} for key, each in assets_of().items()}
    for number, when in enumerate(days):
        save(tmp_path / f"items/{number}/item.json", item(above, when=when))
    links = [{"rel": "item", "href": f"./{number}/item.json"} for number in range(2)]
    collection = {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": "c",
        "links": [*links, {"rel": "self", "href": "/"}],
    }
    save(tmp_path / "items/collection.json", collection)
    links = [{"rel": "child", "href": "items/collection.json"}, {"rel": "child", "href": "./catalog.json"}]
    catalog = save(
        tmp_path / "catalog.json", {"type": "Catalog", "stac_version": "1.1.0", "id": "a", "links": links}
    )
    scene = open_scene(catalog)
    assert [str(when) for when in scene.dates] == ["2021-04-02", "2021-08-01"], "UTC"
    assert open_scene(tmp_path).fingerprint() == scene.fingerprint(), "a folder with a catalogue"
    for path in (tmp_path / "items/0/item.json", tmp_path / "items/collection.json"):
        with pytest.raises(SceneError, match="outside of the folder"):
            open_scene(path)


def test_a_folder_of_items(tmp_path: Path, images: dict[str, np.ndarray]) -> None:
    for month in (4, 5, 6):
        save(tmp_path / f"{month}.json", item(assets_of(), when=f"2021-0{month}-01T10:00:00Z"))
    save(tmp_path / "notes.json", {"made": "by hand"})
    scene = open_scene(tmp_path, bands="r,g,b")
    assert [when.month for when in scene.dates if when] == [4, 5, 6]
    assert scene.bands == ("blue", "green", "red")


def test_items_beside_the_folder_of_their_images_are_preferred(
    tmp_path: Path, images: dict[str, np.ndarray]
) -> None:
    folder = tmp_path / "season"
    folder.mkdir()
    shutil.move(tmp_path / "img", folder / "img")
    stated = {
        name: each | {"href": f".{each['href']}", "raster:bands": [{"scale": 0.0001, "nodata": 2000}]}
        for name, each in assets_of().items()
    }
    path = save(folder / "items/item.json", item(stated))
    with pytest.raises(SceneError, match="Give the folder or the catalogue above both"):
        open_scene(path)
    scene = open_scene(folder)
    assert scene.dates == (date(2021, 6, 15),)
    assert {layer.scale for layer in scene.layers} == {0.0001}
    assert set(scene.nodata) == {2000}


def test_hrefs_may_be_percent_encoded(tmp_path: Path) -> None:
    for name in ("my band.tif", "100%25.tif"):
        write_raster(tmp_path / name, ramp(*SHAPE))
    assets = {"red": asset("./my%20band.tif"), "green": asset("./100%25.tif")}
    assert open_scene(save(tmp_path / "item.json", item(assets))).bands == ("red", "green")


@pytest.mark.parametrize(
    ("stated", "properties"),
    [
        ({"roles": [{"a": 1}, "data"]}, {}),
        ({"gsd": 10**400, "raster:bands": [{"nodata": 10**400}]}, {}),
        ({"proj:transform": [10**400]}, {}),
        ({}, {"eo:cloud_cover": 10**400}),
        ({}, {"eo:cloud_cover": float("nan")}),
        ({}, {"eo:cloud_cover": -1}),
        ({}, {"eo:cloud_cover": 1e6}),
    ],
)
def test_odd_numbers_and_roles(
    tmp_path: Path, images: dict[str, np.ndarray], stated: dict[str, Any], properties: dict[str, Any]
) -> None:
    scene = open_scene(save(tmp_path / "item.json", item(assets_of(**stated), **properties)))
    assert scene.bands == tuple(CODES.values())
    assert scene.cloud_shares == ()
    assert whole(scene)[1].all()


def test_the_finest_of_several_assets_counts(tmp_path: Path, images: dict[str, np.ndarray]) -> None:
    coarse = rasterio.Affine(20, 0, 600_000, 0, -20, 5_700_000)
    write_raster(tmp_path / "img/red20.tif", np.full((6, 8), 7, np.uint16), transform=coarse)
    picture = [{"name": code} for code in ("B04", "B03", "B02")]
    write_raster(tmp_path / "img/tci.tif", np.full((3, *SHAPE), 9, np.uint8))
    assets = {
        "B04_20m": asset("img/red20.tif", bands=[{"name": "B04", "eo:common_name": "red"}]),
        "visual": asset("img/tci.tif", roles=["visual"], **{"eo:bands": picture}),
        "B04_10m": asset("img/2.tif", bands=[{"name": "B04", "eo:common_name": "red"}]),
        "red-jp2": asset("s3://somewhere/B04.jp2", **{"eo:bands": [{"common_name": "red"}], "gsd": 10})
        | {"type": "image/jp2"},
    }
    scene = open_scene(save(tmp_path / "item.json", item(assets)))
    assert scene.bands == ("red",)
    np.testing.assert_array_equal(whole(scene)[0][0], images["B04"])
    only_visual = open_scene(save(tmp_path / "item.json", item({"visual": assets["visual"]})))
    assert only_visual.bands == ("red", "green", "blue")


@pytest.mark.parametrize(
    ("platform", "key", "stated", "band"),
    [
        ("landsat-8", "nir08", [{"name": "OLI_B5", "common_name": "nir08"}], "nir"),
        ("landsat-8", "SR_B5", [], "nir"),
        ("landsat-5", "red", [], "red"),
        ("sentinel-2b", "rededge2", [{"name": "rededge2", "common_name": "rededge"}], "rededge2"),
        ("sentinel-2b", "B8A", [{"name": "B8A", "common_name": "nir08"}], "nir08"),
        ("sentinel-2b", "swir16", [{"name": "swir16", "common_name": "swir16"}], "swir16"),
        ("", "anything", [{"common_name": "green"}], "green"),
    ],
)
def test_how_catalogues_name_bands(
    tmp_path: Path, images: dict[str, np.ndarray], platform: str, key: str, stated: list[Any], band: str
) -> None:
    document = item({key: asset("img/0.tif", **{"eo:bands": stated})}, platform=platform)
    assert open_scene(save(tmp_path / "item.json", document)).bands == (band,)


def test_only_the_bands_that_are_asked_for_need_to_be_there(
    tmp_path: Path, images: dict[str, np.ndarray]
) -> None:
    (tmp_path / "img/3.tif").unlink()
    path = save(tmp_path / "item.json", item(assets_of() | {"aot": asset("img/missing.tif")}))
    assert open_scene(path, bands="red,green,blue").bands == ("blue", "green", "red")
    with pytest.raises(SceneError, match=r"asset B08 .* does not exist"):
        open_scene(path)


def test_one_asset_of_several_bands(tmp_path: Path) -> None:
    write_raster(tmp_path / "all.tif", ramp(3, *SHAPE))
    bands = [{"common_name": name} for name in ("nir", "red", "green")]
    scene = open_scene(save(tmp_path / "item.json", item({"data": asset("all.tif", **{"eo:bands": bands})})))
    assert scene.bands == ("nir", "red", "green")
    np.testing.assert_array_equal(whole(scene)[0], ramp(3, *SHAPE))
    bands += [{"common_name": "blue"}]
    with pytest.raises(SceneError, match="names 4 bands"):
        open_scene(save(tmp_path / "item.json", item({"data": asset("all.tif", **{"eo:bands": bands})})))


@pytest.mark.parametrize(
    ("href", "message"),
    [
        ("file:///etc/passwd", "not at an http, https or s3"),
        ("/vsicurl/http://example.org/x.tif", "not at an http, https or s3"),
        ("ftp://example.org/x.tif", "not at an http, https or s3"),
        ("../outside.tif", "outside of the folder"),
        ("%2e%2e/outside.tif", "outside of the folder"),
        ("/etc/hostname", "outside of the folder"),
        ("img/link.tif", "outside of the folder"),
        ("img/missing.tif", "does not exist"),
        ("https://example.org/x.tif", "--allow-remote"),
        ("s3://bucket/x.tif", "--allow-remote"),
    ],
)
def test_where_links_may_not_lead(tmp_path: Path, href: str, message: str) -> None:
    folder = tmp_path / "catalogue"
    (folder / "img").mkdir(parents=True)
    write_raster(tmp_path / "outside.tif", ramp(*SHAPE))
    (folder / "img/link.tif").symlink_to(tmp_path / "outside.tif")
    path = save(folder / "item.json", item({"red": asset(href)}))
    with pytest.raises(SceneError, match=message) as refused:
        open_scene(path)
    assert refused.value.exit_code == 3
    links = [{"rel": "item", "href": href}]
    document = {"type": "Catalog", "stac_version": "1.0.0", "id": "c", "links": links}
    with pytest.raises(SceneError, match=message):
        open_scene(save(folder / "catalog.json", document))


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "[::1]", "169.254.169.254", "10.0.0.1", "2130706433", "0x7f.1"]
)
def test_private_addresses_are_refused_even_with_the_network(tmp_path: Path, host: str) -> None:
    path = save(tmp_path / "item.json", item({"red": asset(f"http://{host}/x.tif")}))
    with pytest.raises(SceneError, match="this machine or its private network"):
        open_scene(path, allow_remote=True)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"type": "FeatureCollection", "features": []}, "no STAC document"),
        ({"type": "Catalog", "stac_version": "1.0.0", "id": "c", "links": []}, "holds no STAC item"),
        ({"hello": 1}, "no STAC document"),
        ([1], "no STAC document"),
        (item({"red": asset("x.tif")}, when=None), "no usable datetime"),
        (item({"red": asset("x.tif")}, when="0001-01-01T00:00:00+14:00"), "no usable datetime"),
        (item({"red": asset("x\0.tif")}), "cannot be followed to a file"),
        (item({"readme": {"href": "readme.html", "type": "text/html"}}), "no asset that is a band"),
        (item({}), "no assets"),
    ],
)
def test_documents_that_are_no_scenes(tmp_path: Path, document: Any, message: str) -> None:
    with pytest.raises(SceneError, match=message):
        open_scene(save(tmp_path / "item.json", document))


def test_damaged_documents(tmp_path: Path) -> None:
    path = tmp_path / "item.json"
    for text in ("{", "[" * 100_000, '{"type": "Feature"'):
        path.write_text(text)
        with pytest.raises(SceneError, match="not well-formed JSON"):
            open_scene(path)


@pytest.fixture
def server(tmp_path: Path, images: dict[str, np.ndarray]) -> Iterator[RangeServer]:
    files = {f"data/img/{path.name}": path.read_bytes() for path in (tmp_path / "img").iterdir()}
    with serving(files) as state:
        yield state
    close_datasets()


def test_a_remote_item_and_its_assets(server: RangeServer, images: dict[str, np.ndarray]) -> None:
    server.files["data/item.json"] = json.dumps(item(assets_of())).encode()
    scene = open_scene(server.url("data/item.json"), allow_remote=True)
    np.testing.assert_array_equal(whole(scene)[0], np.stack(list(images.values())))
    with pytest.raises(SceneError, match="--allow-remote"):
        open_scene(server.url("data/item.json"))
    with pytest.raises(SceneError, match="answers 404"):
        open_scene(server.url("data/other.json"), allow_remote=True)
    server.files["data/item.json"] = b"{" * 10
    with pytest.raises(SceneError, match="not well-formed JSON"):
        open_scene(server.url("data/item.json", query="?token=hush"), allow_remote=True)
    elsewhere = assets_of() | {"B04": asset(f"http://localhost:{server.port}/data/img/2.tif")}
    server.files["data/item.json"] = json.dumps(item(elsewhere)).encode()
    with pytest.raises(SceneError, match="private network"):
        open_scene(server.url("data/item.json"), allow_remote=True)


def test_a_redirection_leads_only_where_a_link_may(tmp_path: Path) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/latest/meta-data")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(SceneError, match=r"169\.254.*private network"):
            open_scene(f"http://127.0.0.1:{server.server_port}/item.json", allow_remote=True)
        server.shutdown()


@pytest.mark.realdata
def test_a_catalogue_over_real_images(tmp_path: Path, shared_data: Path) -> None:
    source = shared_data / "s2-series-boerde/images"
    real = open_scene(source)
    for when in real.dates:
        assets = {}
        for name in real.bands:
            (found,) = source.glob(f"*{when:%Y%m%d}_{name}.tif")
            shutil.copy(found, tmp_path)
            assets[name] = asset(found.name)
        save(tmp_path / "catalogue" / f"{when}.json", item(assets, when=f"{when}T10:00:00Z"))
    features = [json.loads(path.read_text()) for path in sorted((tmp_path / "catalogue").iterdir())]
    scene = open_scene(save(tmp_path / "items.json", {"type": "FeatureCollection", "features": features}))
    assert (scene.grid, scene.dates) == (real.grid, real.dates)
    for when in (real.dates[0], real.dates[-1]):
        one, other = (whole(each.at(when), "red", "nir") for each in (scene, real))
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
