"""Tables of objects as every reader gives them, and CSV files that a spreadsheet may open."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def with_columns(table: pd.DataFrame) -> pd.DataFrame:
    """A table with the columns that all tables of objects have, first and in their types."""
    whole = table.copy()
    if "object_id" not in whole:
        whole["object_id"] = np.arange(1, len(whole) + 1)
    if "score" not in whole:
        whole["score"] = np.nan
    whole["object_id"] = whole["object_id"].astype(np.int64)
    whole["class_name"] = whole["class_name"].astype(str).astype(object)
    whole["score"] = whole["score"].astype(np.float64)
    first = ["object_id", "class_name", "score"]
    return whole[first + [name for name in whole if name not in first]].reset_index(drop=True)


def safe_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a CSV file in which no text is taken for a formula: such text gets a leading apostrophe."""
    told = table.copy()
    for name in told.select_dtypes(exclude=["number", "bool"]).columns:
        told[name] = [
            f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value
            for value in told[name]
        ]
    told.to_csv(path, index=False)
