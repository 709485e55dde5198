"""What fiboa 0.3 on Vecorel 0.1 asks of a collection of fields; every fault is told with the feature it is in.

Source: https://vecorel.org/specification/v0.1.0/schema.yaml, https://fiboa.org/specification/v0.3.0/schema.yaml and
the encodings in GeoJSON and GeoParquet (2025).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from geopanoptic.products.geoparquet import (
    AREA,
    BY_IMAGE,
    DATETIME,
    FIBOA,
    LARGEST,
    METHOD,
    PERIMETER,
    VECOREL,
)

METHODS = ("manual", "driven", "surveyed", "auto-operation", BY_IMAGE, "unknown")
CATEGORIES = ("conceptual", "operational", "economic", "administrative", "other")

_PER_FEATURE = ("id", "geometry", "bbox", AREA, PERIMETER)
_SAME_VERSION = {
    "Vecorel": re.compile(r"https?://vecorel\.org/specification/v0\.1\.\d+/schema\.yaml"),
    "fiboa": re.compile(r"https?://fiboa\.org/specification/v0\.3\.\d+/schema\.yaml"),
}
_NEEDED = {"Vecorel": VECOREL, "fiboa": FIBOA}


def faults(fields: pd.DataFrame, common: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with features and the properties that they have in common, in plain words; nothing: valid.

    ``fields`` has a row per feature, ``common`` the properties of the collection (``schemas`` among them).
    """
    yield from (f"{name} is stated for the collection, where only features have one"
                for name in _PER_FEATURE if name in common)  # fmt: skip
    whole = fields.assign(**{name: value for name, value in common.items() if _is_plain(value)})
    named = [_name(row, each) for row, each in enumerate(whole.get("id", pd.Series(index=whole.index)))]
    yield from _schema_faults(common.get("schemas"), whole)
    for column, what in (("id", "string of at least one character"), ("collection", "collection's name")):
        if column not in whole:
            yield f"no feature has {column}, a {what}"
            continue
        wrong = np.array([not (isinstance(each, str) and each) for each in whole[column]], np.bool_)
        yield from _told(wrong, named, f"{column} is no {what}")
    if {"id", "collection"} <= set(whole):
        yield from _told(
            whole.duplicated(["collection", "id"]).to_numpy(), named, "id occurs twice in its collection"
        )
    yield from _told(whole["geometry"].isna().to_numpy(), named, "there is no geometry")
    yield from property_faults(whole, named)


def _schema_faults(schemas: object, whole: pd.DataFrame) -> Iterator[str]:
    if not isinstance(schemas, Mapping) or not schemas:
        yield "there are no schemas by collection"
        return
    for collection, urls in schemas.items():
        if not isinstance(urls, list) or not all(isinstance(each, str) for each in urls):
            yield f"the schemas of collection {collection!r} are no list of addresses"
            continue
        for standard, pattern in _SAME_VERSION.items():
            if not any(pattern.fullmatch(each) for each in urls):
                yield f"the schemas of collection {collection!r} lack that of {standard}, {_NEEDED[standard]}"
    if "collection" in whole:
        for name in whole["collection"].dropna().unique():
            if name not in schemas:
                yield f"collection {name!r} has no schemas"


def property_faults(whole: pd.DataFrame, named: list[str]) -> Iterator[str]:
    """What is wrong with the columns that fiboa has a meaning for; ``named`` names the rows."""
    for column, largest in LARGEST.items():
        if column in whole:
            stated = whole[column].notna().to_numpy()
            numbers = pd.to_numeric(whole[column], errors="coerce").to_numpy(np.float64)
            wrong = stated & ~((numbers > 0) & (numbers <= largest))
            yield from _told(wrong, named, f"{column} is not above 0 and up to {largest:,.0f}")
    if METHOD in whole:
        wrong = (whole[METHOD].notna() & ~whole[METHOD].isin(METHODS)).to_numpy()
        yield from _told(wrong, named, f"{METHOD} is none of {', '.join(METHODS)}")
    if DATETIME in whole:
        times = pd.to_datetime(whole[DATETIME], errors="coerce", utc=True, format="ISO8601")
        wrong = (whole[DATETIME].notna() & times.isna()).to_numpy()
        yield from _told(wrong, named, f"{DATETIME} is no time as in 2021-06-30T00:00:00Z")
    if "category" in whole:
        wrong = np.array([not _are_categories(each) for each in whole["category"]], np.bool_)
        yield from _told(wrong, named, f"category is no list of {', '.join(CATEGORIES)}")


def _told(wrong: NDArray[np.bool_], named: list[str], what: str) -> Iterator[str]:
    """One sentence for all features with a fault."""
    at = np.flatnonzero(wrong)
    if len(at):
        more = f" and {len(at) - 1:,} more" if len(at) > 1 else ""
        yield f"{named[at[0]]}{more}: {what}"


def _name(row: int, own: object) -> str:
    return f"feature {own!r}" if isinstance(own, str) and own else f"feature {row + 1}"


def _is_plain(value: object) -> bool:
    return not isinstance(value, (Mapping, list))


def _are_categories(value: object) -> bool:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return True
    return (
        isinstance(value, (list, np.ndarray))
        and len(set(value)) == len(value)
        and set(value) <= set(CATEGORIES)
    )
