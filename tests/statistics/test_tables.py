"""Tables in files: verified by their rows, whatever the first of them look like."""

from __future__ import annotations

import pytest

from geopanoptic.errors import OutputError
from geopanoptic.statistics.tables import verify_table


def test_rows_of_text_are_counted_without_guessing_types(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("parcel_id,mean\n" + "1,\n" * 400_000 + 'x,2.5\n"two\nlines",3\n')
    verify_table(path, rows=400_002)
    with pytest.raises(OutputError, match="400002 of 400003 rows"):
        verify_table(path, rows=400_003)
    path.write_bytes(b"")
    with pytest.raises(OutputError):
        verify_table(path, rows=0)
