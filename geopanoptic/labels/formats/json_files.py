"""JSON of annotation tools: read with a limit to what may go wrong, written without NaN."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np

from geopanoptic.errors import UsageError

_PARSED: ContextVar[dict[Path, Any] | None] = ContextVar("parsed", default=None)


@contextmanager
def parsed_once() -> Iterator[None]:
    """Within, every file is parsed once: several formats look at one before it is known whose it is."""
    token = _PARSED.set({})
    try:
        yield
    finally:
        _PARSED.reset(token)


def read_json(path: Path) -> Any:
    """The content of a file, not to be changed. Raises ``UsageError`` where it cannot be read as JSON."""
    parsed = _PARSED.get()
    if parsed is None:
        return _parse(path)
    if path not in parsed:
        parsed[path] = _parse(path)
    return parsed[path]


def _parse(path: Path) -> Any:
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


def write_items(
    path: Path, items: Iterable[Any], *, key: str, rest: Callable[[], Mapping[str, Any]] = dict
) -> None:
    """Write ``{key: [item, ...], **rest()}``, one item in memory at a time; ``rest`` is asked after the last."""
    with path.open("w", encoding="utf-8") as file:
        file.write(f"{{{_text(key)}: [")
        for number, item in enumerate(items):
            file.write(f"{',' if number else ''}\n{_text(item)}")
        file.write("\n]")
        for name, value in rest().items():
            file.write(f",\n{_text(name)}: {_text(value)}")
        file.write("}\n")


def write_list(path: Path, items: Iterable[Any]) -> None:
    """Write ``[item, ...]``, one item in memory at a time."""
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        for number, item in enumerate(items):
            file.write(f"{',' if number else ''}\n{_text(item)}")
        file.write("\n]\n")


def write_members(path: Path, members: Iterable[tuple[str, Any]]) -> None:
    """Write ``{name: value, ...}``, one value in memory at a time."""
    with path.open("w", encoding="utf-8") as file:
        file.write("{")
        for number, (name, value) in enumerate(members):
            file.write(f"{',' if number else ''}\n{_text(name)}: {_text(value)}")
        file.write("\n}\n")


def _text(value: object) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=False, default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    return str(value)
