"""Parcels as GeoParquet, read by geopandas and by the rules of fiboa."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import geopandas
import pyarrow
import pyarrow.parquet
import pytest
import shapely
from small_maps import CLASSES, PLACES, small_map

from geopanoptic.errors import OutputError
from geopanoptic.labels.formats import fiboa_rules
from geopanoptic.labels.formats.format import ReadOptions
from geopanoptic.labels.formats.registry import format_named
from geopanoptic.products import geoparquet
from geopanoptic.products.geoparquet import AREA, DATETIME, PERIMETER, passing_parcels, verify_geoparquet
from geopanoptic.products.layers import PARCELS
from geopanoptic.products.rows import rows_of_table

JUNE = datetime(2021, 6, 15, tzinfo=UTC)


def batches_of(parcels: geopandas.GeoDataFrame, rows: int = 5) -> Iterator[pyarrow.RecordBatch]:
    for begin in range(0, max(len(parcels), 1), rows):
        yield rows_of_table(PARCELS, parcels.iloc[begin : begin + rows])


def write(
    path: Path, parcels: geopandas.GeoDataFrame, observed: datetime | None = JUNE
) -> list[pyarrow.RecordBatch]:
    return list(
        passing_parcels(
            path,
            batches_of(parcels),
            collection="Felder 2021",
            classes=CLASSES,
            metadata={"model": "m"},
            observed=observed,
        )
    )


@pytest.mark.parametrize("place", PLACES)
def test_what_passes_is_stored(tmp_path: Path, place: str) -> None:
    parcels = small_map(place).parcels
    passed = write(tmp_path / "a.parquet", parcels)
    assert [each.equals(other) for each, other in zip(passed, batches_of(parcels), strict=True)] == [True] * 3
    stored = geopandas.read_parquet(tmp_path / "a.parquet")
    assert stored.crs == parcels.crs
    assert shapely.equals_identical(stored.geometry.array, parcels.geometry.array).all()
    for name in PARCELS.columns:
        assert stored[name].tolist() == parcels[name].tolist()
    assert stored[AREA].tolist() == pytest.approx(parcels["area_m2"].tolist(), rel=1e-6)
    assert stored[PERIMETER].tolist() == pytest.approx(parcels["perimeter_m"].tolist(), rel=1e-6)
    assert set(stored[DATETIME]) == {JUNE}
    boxes = pyarrow.parquet.read_table(tmp_path / "a.parquet")["bbox"].to_pylist()
    assert [tuple(box.values()) for box in boxes] == [each.bounds for each in parcels.geometry]
    inside = parcels.geometry.iloc[3].buffer(-parcels.geometry.iloc[3].length / 16)
    assert geopandas.read_parquet(tmp_path / "a.parquet", bbox=inside.bounds)["id"].tolist() == [
        str(parcels["parcel_id"].iloc[3])
    ]


def test_it_follows_fiboa_and_is_read_as_labels(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", small_map().parcels)
    metadata = pyarrow.parquet.read_schema(tmp_path / "a.parquet").metadata
    stored = geopandas.read_parquet(tmp_path / "a.parquet")
    assert list(fiboa_rules.faults(stored, json.loads(metadata[b"collection"]))) == []
    assert set(stored["collection"]) == {"felder_2021"}
    source = format_named("geoparquet").read(tmp_path / "a.parquet", ReadOptions())
    assert [(each.id, each.name, each.colour) for each in source.taxonomy.classes] == [
        (each.id, each.name, each.colour) for each in CLASSES
    ]
    (labels,) = source
    assert labels.objects["object_id"].tolist() == small_map().parcels["parcel_id"].tolist()


def test_no_parcels_and_no_date(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", small_map(parcels=0).parcels, None)
    verify_geoparquet(tmp_path / "a.parquet", parcels=0)
    stored = geopandas.read_parquet(tmp_path / "a.parquet")
    assert len(stored) == 0
    assert DATETIME not in stored


def test_row_groups_hold_whole_batches_and_bytes_repeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(geoparquet, "ROWS", 8)
    for name in ("a.parquet", "b.parquet"):
        write(tmp_path / name, small_map(parcels=23).parcels)
    found = pyarrow.parquet.read_metadata(tmp_path / "a.parquet")
    assert [found.row_group(group).num_rows for group in range(found.num_row_groups)] == [10, 10, 3]
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_damage_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write(path, small_map().parcels)
    verify_geoparquet(path, parcels=12)
    with pytest.raises(OutputError, match="12 of 13 features"):
        verify_geoparquet(path, parcels=13)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(OutputError, match="does not read back whole"):
        verify_geoparquet(path, parcels=12)
    # A flipped bit in the first page.
    path.write_bytes(whole[:60] + bytes([whole[60] ^ 1]) + whole[61:])
    with pytest.raises(OutputError, match=r"does not read back whole|could not be"):
        verify_geoparquet(path, parcels=12)


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"a\.parquet could not be written"):
        write(tmp_path / "gone" / "a.parquet", small_map().parcels)
