"""XML of annotation tools, without what makes XML dangerous: a document type is refused, so nothing is expanded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

from geopanoptic.errors import UsageError
from geopanoptic.scene.files.documents import DoctypeError, parse_xml

_LIMIT_BYTES = 2**30


def read_xml(path: Path) -> ElementTree.Element:
    """The root of a file. Raises ``UsageError`` for damaged XML and for a document type or entities (F77)."""
    try:
        if path.stat().st_size > _LIMIT_BYTES:
            raise UsageError(f"{path} is larger than 1 GiB.", remedy="Export fewer images at once.")
        return parse_xml(path.read_bytes())
    except DoctypeError:
        raise UsageError(
            f"{path} declares a document type, which labels do not need and which may hide anything.",
            remedy="Export the annotations again, without <!DOCTYPE>.",
        ) from None
    except (OSError, ElementTree.ParseError, LookupError, ValueError) as error:
        raise UsageError(
            f"{path} cannot be read as XML: {error}.", remedy="Give the exported file."
        ) from None


def write_xml(path: Path, root: ElementTree.Element) -> None:
    """Write an element and all below it, indented, UTF-8."""
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def write_elements(path: Path, root: str, elements: Iterable[ElementTree.Element]) -> None:
    """Write elements below an element ``root``, one in memory at a time, indented, UTF-8."""
    with path.open("w", encoding="utf-8") as file:
        file.write(f"<?xml version='1.0' encoding='utf-8'?>\n<{root}>\n")
        for each in elements:
            ElementTree.indent(each, level=1)
            file.write(f"  {ElementTree.tostring(each, encoding='unicode')}\n")
        file.write(f"</{root}>\n")
