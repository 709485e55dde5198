"""Layers drawn in batches: the same table whatever the batches, and the same from the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine

from geopanoptic.grid import Grid
from geopanoptic.models.bundle import load_bundle
from geopanoptic.panoptic.coverage import outlines
from geopanoptic.panoptic.coverage.in_memory import pieces_of, trace_arcs
from geopanoptic.pipeline.emission import drawing
from geopanoptic.pipeline.emission.drawing import DrawnLayers, LayersOfFile
from geopanoptic.products.geopackage import UNDATED, write_geopackage


def drawn_layers(n_things: int, *, empty: bool = False) -> DrawnLayers:
    labels = np.kron(np.random.default_rng(3).integers(0, 5, (12, 9)), np.ones((3, 3), np.int64))
    pieces = pieces_of(labels * (not empty))[0]
    n = int(pieces.max())
    return DrawnLayers(
        outlines=outlines(trace_arcs(pieces)),
        grid=Grid(
            crs_wkt=pyproj.CRS.from_epsg(32632).to_wkt(),
            transform=Affine(5, 0, 500_000, 0, -5, 5_400_000),
            height=36,
            width=27,
        ),
        classes=load_bundle().classes,
        class_id=np.where(np.arange(n + 1) <= n_things, 1, 2).astype(np.int32),
        score=np.linspace(0, 1, n),
        class_score=np.linspace(1, 0.25, n),
        n_things=n_things,
        workers=2,
    )


@pytest.mark.parametrize("n_things", [0, 1, 7, 14])
def test_batches_do_not_show(n_things, monkeypatch):
    layers = drawn_layers(n_things)
    parcels, landcover = layers.parcels(), layers.landcover()
    assert parcels["parcel_id"].tolist() == list(range(1, n_things + 1))
    assert len(landcover) == len(layers.outlines) - n_things
    monkeypatch.setattr(drawing, "BATCH_POLYGONS", 3)
    assert layers.parcels().equals(parcels)
    assert layers.landcover().equals(landcover)
    parcels, landcover = layers.batches()
    assert len(list(parcels)) == max(-(-n_things // 3), 1)
    assert len(list(landcover)) == max(-(-(len(layers.outlines) - n_things) // 3), 1)


@pytest.mark.parametrize("name", ["map.gpkg", "Neu! map;2.gpkg"])
def test_the_file_gives_the_same_tables(tmp_path: Path, name: str):
    layers = drawn_layers(7)
    path = tmp_path / name
    parcels, landcover = layers.batches()
    write_geopackage(
        path,
        parcels=parcels,
        landcover=landcover,
        classes=layers.classes,
        metadata={},
        timestamp=UNDATED,
    )
    for read, drawn in (
        (LayersOfFile(path=path).parcels(), layers.parcels()),
        (LayersOfFile(path=path).landcover(), layers.landcover()),
    ):
        assert read.drop(columns="geometry").equals(drawn.drop(columns="geometry").astype(read.dtypes[:-1]))
        assert shapely.equals_identical(read.geometry.to_numpy(), drawn.geometry.to_numpy()).all()


def test_nothing_gives_empty_tables_with_a_crs():
    layers = drawn_layers(0, empty=True)
    assert len(layers.parcels()) == len(layers.landcover()) == 0
    assert layers.parcels().crs == layers.grid.crs


def test_rows_say_of_each_parcel_what_it_is():
    layers = drawn_layers(7)
    parcels = layers.parcels()
    assert parcels["score"].tolist() == layers.score[:7].tolist()
    assert parcels["class_score"].tolist() == layers.class_score[:7].tolist()
    centres = shapely.points(parcels["centre_x"], parcels["centre_y"])
    assert shapely.contains(parcels.geometry.to_numpy(), centres).all()
    for table in (parcels, layers.landcover()):
        assert table["area_m2"].to_numpy() == pytest.approx(table.geometry.area.to_numpy(), rel=2e-3)
    assert parcels["perimeter_m"].to_numpy() == pytest.approx(parcels.geometry.length.to_numpy(), rel=1e-3)
