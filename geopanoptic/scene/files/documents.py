"""XML and JSON of strangers: bounded in size, no document types, no entities, nothing fetched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from geopanoptic.errors import SceneError
from geopanoptic.scene.files.sources import shown

LIMIT_BYTES = 64 << 20


class DoctypeError(Exception):
    """A document type: entities can only be declared there, and no metadata or labels need one."""


class _WithoutDoctype(ElementTree.TreeBuilder):
    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise DoctypeError


def parse_xml(text: bytes) -> ElementTree.Element:
    """The root element of a text. Raises DoctypeError, and ParseError, LookupError or ValueError for damage."""
    return ElementTree.fromstring(text, parser=ElementTree.XMLParser(target=_WithoutDoctype()))


def read_xml(path: Path) -> ElementTree.Element:
    """The root element. Raises SceneError: unreadable, too large, damaged, or with a document type."""
    text = _bytes_of(path)
    try:
        return parse_xml(text)
    except DoctypeError:
        raise SceneError(
            f"{shown(path)} declares a document type, whose entities may expand without end or read other files.",
            remedy="Remove the <!DOCTYPE ...> declaration, or download the file again.",
        ) from None
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise _damaged(path, "XML", error) from None


def read_json(path: Path) -> Any:
    """The value of a JSON file. Raises SceneError: unreadable, too large or damaged."""
    return parse_json(_bytes_of(path), path)


def parse_json(text: bytes, place: Path | str) -> Any:
    """The value of a JSON text from ``place``, a file or an address without secrets."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(place, "JSON", error) from None


def _bytes_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            text = file.read(LIMIT_BYTES + 1)
    except OSError as error:
        raise SceneError(
            f"{shown(path)} cannot be read: {error.strerror or error}.",
            remedy="Check the path and its permissions.",
        ) from None
    if len(text) > LIMIT_BYTES:
        raise SceneError(
            f"{shown(path)} is larger than {LIMIT_BYTES >> 20} MB, too large for metadata.",
            remedy="Give a smaller collection, or the image files themselves.",
        )
    return text


def _damaged(place: Path | str, kind: str, error: Exception) -> SceneError:
    reason = "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
    return SceneError(
        f"{shown(place)} is damaged: not well-formed {kind} ({reason}).",
        remedy="Download or export it again.",
    )
