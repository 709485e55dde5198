"""Tables of objects as every reader gives them, and CSV files that a spreadsheet may open."""

from __future__ import annotations

import re
from itertools import chain, count
from pathlib import Path

import numpy as np
import pandas as pd

from geopanoptic.products.formulas import MARK, UNMARK

STATED_SCORE = "stated_score"
"""Attribute for a ``score`` that is no probability, such as a percentage or a word: nobody but its author can read it."""


def with_columns(table: pd.DataFrame) -> pd.DataFrame:
    """A table with the columns that all tables of objects have, first and in their types."""
    whole = table.rename(columns={} if _no_scores(table).empty else {"score": free_name(STATED_SCORE, table)})
    if "object_id" not in whole:
        whole["object_id"] = np.arange(1, len(whole) + 1)
    if "score" not in whole:
        whole["score"] = np.nan
    whole["object_id"] = whole["object_id"].astype(np.int64)
    whole["class_name"] = whole["class_name"].astype(str).astype(object)
    whole["score"] = pd.to_numeric(whole["score"]).astype(np.float64)
    first = ["object_id", "class_name", "score"]
    return whole[first + [name for name in whole if name not in first]].reset_index(drop=True)


def free_name(name: str, table: pd.DataFrame) -> str:
    """A name for a column that the table does not have yet, in any case of its letters: ``name``, else with a number."""
    taken = {str(each).lower() for each in table}
    names = chain([name], (f"{name}_{number}" for number in count(2)))
    return next(each for each in names if each.lower() not in taken)


def score_notes(table: pd.DataFrame, source: str) -> tuple[str, ...]:
    """What ``with_columns`` does with scores that are no probabilities."""
    wrong = _no_scores(table)
    if wrong.empty:
        return ()
    return (
        f"{source}: scores are probabilities from 0 to 1, and {wrong.iloc[0]!r} is none; the attribute score is "
        f"{free_name(STATED_SCORE, table)} now",
    )


def _no_scores(table: pd.DataFrame) -> pd.Series:
    stated = table["score"].dropna() if "score" in table else pd.Series(dtype=np.float64)
    return stated[~pd.to_numeric(stated, errors="coerce").between(0, 1)].astype(object)


def safe_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a CSV file in which no text is taken for a formula: such text gets a leading apostrophe."""
    _with_text(table, MARK).to_csv(path, index=False)


def read_safe_csv(path: Path) -> pd.DataFrame:
    """Read what ``safe_csv`` wrote, text as it was: "NA" and "None" are names of classes as good as any.

    Raises ``OSError`` or ``ValueError`` where it cannot be read.
    """
    # What other programs write for a number that is not there.
    absent = {name: [""] for name in pd.read_csv(path, nrows=0)} | {"score": ["", "NA", "NaN", "nan"]}
    table = pd.read_csv(path, dtype={"class_name": str}, keep_default_na=False, na_values=absent)
    return _with_text(table, UNMARK)


def _with_text(table: pd.DataFrame, change: tuple[str, str]) -> pd.DataFrame:
    """The table with text changed by a pattern and its replacement."""
    told = table.copy()
    for name in told.select_dtypes(exclude=["number", "bool"]).columns:
        told[name] = [re.sub(*change, value) if isinstance(value, str) else value for value in told[name]]
    return told
