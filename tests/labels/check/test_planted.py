"""Defects planted in real labels are found, and nothing else; the full table: tests/benchmarks/label_defects.py."""

from pathlib import Path

import geopandas
import numpy as np
import planting
import pytest
import rasterio
import shapely
import yaml

from geopanoptic.labels.check.check import check

COUNT = 6


@pytest.fixture(scope="module")
def parcels(shared_data):
    """Dutch parcels on a quarter of their image."""
    folder = shared_data / "ndvi-brp-netherlands"
    with rasterio.open(folder / "NDVI.tif") as file:
        left, _, _, top = file.bounds
        crs = file.crs
    box = shapely.box(left + 200, top - 4800, left + 4800, top - 200)
    frame = geopandas.read_file(folder / "fields_cropped.zip").to_crs(crs)
    frame = frame[frame.within(box)].reset_index(drop=True)
    return geopandas.GeoDataFrame(
        {"object_id": np.arange(1, len(frame) + 1), "class_name": frame["gewas"], "kind": "thing"},
        geometry=frame.geometry,
    )


@pytest.fixture(scope="module")
def taxonomy(parcels, tmp_path_factory):
    classes = [{"id": n, "name": name} for n, name in enumerate(sorted(set(parcels["class_name"])), 1)]
    classes += [{"id": 999, "name": "planted cover", "kind": "stuff"}, {"id": 1000, "name": "other"}]
    path = tmp_path_factory.mktemp("taxonomy") / "clean.yaml"
    path.write_text(yaml.safe_dump({"name": "clean", "classes": classes}), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def clean(parcels, taxonomy, tmp_path_factory):
    return check(written(parcels, tmp_path_factory.mktemp("clean") / "clean.gpkg"), taxonomy=taxonomy)


def written(labels: geopandas.GeoDataFrame, path: Path) -> Path:
    labels.to_file(path, layer="objects", driver="GPKG")
    return path


@pytest.mark.parametrize("kind", planting.EXACT)
def test_planted_defects_are_found_and_nothing_else(kind, parcels, taxonomy, clean, tmp_path):
    planted = planting.EXACT[kind](parcels, COUNT, np.random.default_rng(11))
    file = written(planted.labels, tmp_path / "planted.gpkg")
    limits = planting.limits_of(clean)
    report = check(file, taxonomy=None if kind == "class-spelling" else taxonomy, limits=limits)
    found = planting.outcome(kind, planted, report, clean)
    assert found.found == found.planted
    assert not found.false_alarms


def test_real_labels_have_no_errors(clean):
    assert clean.count("error") == 0
    assert set(clean.by_kind()) <= {"sliver", "gap"}


def test_shifted_labels_are_told_how_far_and_clean_ones_left_in_peace(parcels, shared_data, tmp_path):
    image = shared_data / "ndvi-brp-netherlands" / "NDVI.tif"
    still = check(written(parcels, tmp_path / "still.gpkg"), image=image)
    assert "shift" not in still.by_kind()
    moved = planting.moved(parcels, (43.0, -27.0))
    report = check(written(moved, tmp_path / "moved.gpkg"), image=image)
    (issue,) = [each for each in report.issues if each.kind == "shift" and each.severity == "error"]
    assert "left" in issue.message
    before, after = still.images[0].offset, report.images[0].offset
    assert after["columns_px"] - before["columns_px"] == pytest.approx(-4.3, abs=0.2)
    assert after["rows_px"] - before["rows_px"] == pytest.approx(-2.7, abs=0.2)
