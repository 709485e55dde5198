"""The table of figures: long or wide, Parquet or CSV, written group by group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from geopanoptic.errors import OutputError, UsageError
from geopanoptic.products.formulas import MARK, UNMARK
from geopanoptic.products.writing import writing

TABLE_SUFFIXES = {".parquet": "Parquet", ".csv": "text with commas"}
"""Suffix of ``--out``, and what is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Columns of the table. ``statistics`` names figures in the order in which they come, ``valid_share``
    last. Long: one row per parcel, date and band. ``wide``: one row per parcel, a column for each of
    ``ndvi_mean_20210615``."""

    id_type: pyarrow.DataType
    dates: tuple[date | None, ...]
    bands: tuple[str, ...]
    statistics: tuple[str, ...]
    wide: bool

    @property
    def schema(self) -> pyarrow.Schema:
        figures = [pyarrow.field(name, pyarrow.float64()) for name in self._figure_columns()]
        key = [pyarrow.field("parcel_id", self.id_type)]
        if not self.wide:
            key += [pyarrow.field("date", pyarrow.date32()), pyarrow.field("band", pyarrow.string())]
        return pyarrow.schema([*key, *figures])

    def rows(self, ids: NDArray[Any], figures: NDArray[np.float64]) -> pyarrow.Table:
        """Rows of n parcels from ``figures`` (dates, bands, statistics, n), NaN as null."""
        n, key = len(ids), [pyarrow.array(ids, self.id_type)]
        if self.wide:
            columns = figures.reshape(-1, n)
        else:
            per_parcel = len(self.dates) * len(self.bands)
            key = [pyarrow.array(np.repeat(ids, per_parcel), self.id_type)]
            dates = [when for when in self.dates for _ in self.bands]
            key.append(pyarrow.array(dates * n, pyarrow.date32()))
            key.append(pyarrow.array(list(self.bands) * len(self.dates) * n, pyarrow.string()))
            columns = figures.transpose(2, 3, 0, 1).reshape(len(self.statistics), -1)
        arrays = [pyarrow.array(each, pyarrow.float64(), from_pandas=True) for each in columns]
        return pyarrow.Table.from_arrays([*key, *arrays], schema=self.schema)

    def _figure_columns(self) -> Iterator[str]:
        if not self.wide:
            yield from self.statistics
            return
        for when in self.dates:
            for band in self.bands:
                for statistic in self.statistics:
                    yield f"{band}_{statistic}" + (f"_{when:%Y%m%d}" if when else "")


class TableWriter(Protocol):
    """Takes tables of one schema; ``close`` ends the file."""

    def write_table(self, table: pyarrow.Table) -> None: ...

    def close(self) -> None: ...


class RowsInMemory:
    """Keeps the tables."""

    def __init__(self, schema: pyarrow.Schema) -> None:
        self._schema = schema
        self._tables: list[pyarrow.Table] = []

    def write_table(self, table: pyarrow.Table) -> None:
        self._tables.append(table)

    def close(self) -> None:
        pass

    def table(self) -> pyarrow.Table:
        """All rows so far."""
        return pyarrow.concat_tables([self._schema.empty_table(), *self._tables])


class _Csv:
    """A spreadsheet runs text that begins like a formula: such text gets an apostrophe, which it hides."""

    def __init__(self, path: Path, schema: pyarrow.Schema) -> None:
        self._writer = pyarrow.csv.CSVWriter(path, schema)

    def write_table(self, table: pyarrow.Table) -> None:
        self._writer.write_table(_with_text(table, MARK))

    def close(self) -> None:
        self._writer.close()


class _Parquet:
    def __init__(self, path: Path, schema: pyarrow.Schema) -> None:
        self._schema = schema
        self._writer = pyarrow.parquet.ParquetWriter(path, schema, compression="zstd")

    def write_table(self, table: pyarrow.Table) -> None:
        self._writer.write_table(table.cast(self._schema))

    def close(self) -> None:
        self._writer.close()


def open_table(path: Path, layout: Layout, metadata: Mapping[str, str]) -> TableWriter:
    """A new file at ``path``; ``metadata`` becomes key-value metadata of a Parquet file."""
    with writing(path):
        if path.suffix.lower() == ".csv":
            return _Csv(path, layout.schema)
        schema = layout.schema.with_metadata(dict(metadata))
        return _Parquet(path, schema)


def read_table(path: Path, schema: pyarrow.Schema) -> pyarrow.Table:
    """What :func:`open_table` wrote with this schema."""
    if path.suffix.lower() != ".csv":
        return pyarrow.parquet.read_table(path)
    # Types would be guessed: "0000" becomes 0.
    types = pyarrow.csv.ConvertOptions(column_types=schema)
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    return _with_text(pyarrow.csv.read_csv(path, parse_options=parse, convert_options=types), UNMARK)


def verify_table(path: Path, *, rows: int) -> None:
    """Reopens a table and raises OutputError unless it holds this many rows."""
    try:
        with writing(path):
            found = f"{_count_rows(path)} of {rows} rows"
    except pyarrow.ArrowInvalid as failure:
        found = str(failure)
    if found != f"{rows} of {rows} rows":
        raise OutputError(
            f"{path.name} was written but does not read back whole: {found}.",
            remedy="Check the disk; an existing output is unchanged.",
        )


def _count_rows(path: Path) -> int:
    if path.suffix.lower() != ".csv":
        return int(pyarrow.parquet.read_metadata(path).num_rows)
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    # Types would be guessed from the first rows, which may be empty.
    only_ids = pyarrow.csv.ConvertOptions(
        include_columns=["parcel_id"], column_types={"parcel_id": pyarrow.string()}
    )
    with pyarrow.csv.open_csv(path, parse_options=parse, convert_options=only_ids) as reader:
        return sum(batch.num_rows for batch in reader)


def _with_text(table: pyarrow.Table, change: tuple[str, str]) -> pyarrow.Table:
    """The table with text changed by a pattern and its replacement."""
    for place, field in enumerate(table.schema):
        if pyarrow.types.is_string(field.type):
            text = pyarrow.compute.replace_substring_regex(table.column(place), *change)
            table = table.set_column(place, field, text)
    return table


def require_table_suffix(path: Path) -> None:
    """Raises UsageError, with the list, for a suffix that is not known."""
    if path.suffix.lower() not in TABLE_SUFFIXES:
        known = "; ".join(f"{each} ({what})" for each, what in TABLE_SUFFIXES.items())
        raise UsageError(f"{path.name!r} is no table.", remedy=f"Give the output one of: {known}.")
