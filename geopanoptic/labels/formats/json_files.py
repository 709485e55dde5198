"""JSON of annotation tools: read with a limit to what may go wrong, written without NaN."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from geopanoptic.errors import UsageError


def read_json(path: Path) -> Any:
    """The content of a file. Raises ``UsageError`` where it cannot be read as JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"{path} cannot be read as JSON: {error}.", remedy="Give the annotation file."
        ) from None


def write_json(path: Path, content: Any, *, indent: int | None = None) -> None:
    """Write values, numpy's included. Raises ValueError for NaN, which JSON does not have."""
    text = json.dumps(content, indent=indent, allow_nan=False, ensure_ascii=False, default=_plain)
    path.write_text(text + "\n", encoding="utf-8")


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    return str(value)
