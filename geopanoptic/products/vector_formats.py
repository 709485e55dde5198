"""Which vector files are opened, decided by their bytes and never by their name.

GDAL picks a driver by content and by name, and many of its drivers go on from a file to others, to pipelines or to the
network: a VRT or a description of a WFS named ``fields.gpkg`` is followed, a GML's schema is downloaded, and so is a
CRS that a GeoJSON names by a link. GDAL can be told none of that here, so such files never reach it.
"""

from __future__ import annotations

import mmap
import re
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from pyogrio.errors import DataSourceError

from geopanoptic.errors import UsageError

_BINARY = (b"SQLite format 3\0", b"\0\0\x27\x0a", b"fgb\x03")
"""Of a GeoPackage (or another SQLite), Shapefile and FlatGeobuf."""
_ZIP = b"PK\x03\x04"
_HEAD_BYTES = 1 << 20
"""As much of a file as any driver looks at to recognise it."""

_JSON = re.compile(rb"(?:\xef\xbb\xbf)?\s*\{")
_KML = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*\?>\s*)?<(?:\w+:)?kml[\s>]")
# Drivers find these anywhere in the head of a file, also of one that begins as another format does.
_LEADS_ELSEWHERE = re.compile(
    rb"<(?:\w+:)?(?:OGR\w|GDAL_|VRT|WFS_|WMS_|WMT_|Product_)|gdal_streamed_alg", re.IGNORECASE
)
_NAMED_CRS = rb'"type"\s*:\s*"(?!link|url)\w+"'
_ITS_NAME = rb'"properties"\s*:\s*\{[^{}]*\}'
# A member crs, which JSON may also write with escapes and json-c reads in single quotes, before comments and in any
# case, unless it is a text, no object, or one that gives a name. It may stand behind all features.
_LINKED_CRS = re.compile(
    rb"([\"'])(?:c|\\u00[46]3)(?:r|\\u00[57]2)(?:s|\\u00[57]3)\1(?!\s*[,}\]]|\s*:\s*(?:[\"\-\d\[tfn]|\{\s*(?:"
    + rb"|".join((_NAMED_CRS + rb"\s*,\s*" + _ITS_NAME, _ITS_NAME + rb"\s*,\s*" + _NAMED_CRS))
    + rb")\s*\}))",
    re.IGNORECASE,
)


def refuse_links(path: Path) -> None:
    """Nothing where ``path`` is a vector file that is read, or is not there.

    Raises ``UsageError`` for one that leads to other files or to the network, pyogrio's ``DataSourceError`` for every
    other format.
    """
    if path.is_dir():
        _check_names(path, [each.name for each in path.iterdir()])
    elif path.is_file():
        with path.open("rb") as file:
            if not path.stat().st_size:
                raise DataSourceError("it is empty")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                _check_content(path, path.name, content)
                if content[: len(_ZIP)] == _ZIP:
                    _check_archive(path)
                else:
                    _check_format(content)
    elif path.exists():
        raise DataSourceError("it is no plain file")


def _check_archive(path: Path) -> None:
    try:
        with ZipFile(path) as archive:
            members = [each for each in archive.infolist() if not each.is_dir()]
            _check_names(path, [each.filename for each in members])
            for each in members:
                with archive.open(each) as file:
                    content = file.read(_HEAD_BYTES)
                    if _JSON.match(content):
                        content += file.read()
                _check_content(path, each.filename, content)
                if len(members) == 1:
                    _check_format(content)
    except (BadZipFile, RuntimeError) as error:
        raise DataSourceError(f"its archive cannot be read: {error}") from None


def _check_names(path: Path, names: list[str]) -> None:
    """Of a folder or archive of several files GDAL opens those of one format, which keep to themselves but MapInfo's."""
    if any(name.lower().endswith(".tab") for name in names):
        raise _leading(path, "holds MapInfo tables, which may stand for others")


def _check_content(path: Path, name: str, content: bytes | mmap.mmap) -> None:
    head = content[:_HEAD_BYTES]
    if _LEADS_ELSEWHERE.search(head):
        raise _leading(path, "is a virtual file that names others")
    if _JSON.match(head):
        if name.lower().endswith(".moaw"):
            raise _leading(path, "describes a service")
        if _LINKED_CRS.search(content):
            raise _leading(path, "has a CRS that is a link")


def _check_format(content: bytes | mmap.mmap) -> None:
    head = content[:_HEAD_BYTES]
    if not (head.startswith(_BINARY) or _JSON.match(head) or _KML.match(head)):
        raise DataSourceError("its format is none of those that are read")


def _leading(path: Path, what: str) -> UsageError:
    return UsageError(
        f"{path} {what}; nothing is read from other files or the network.",
        remedy="Give the file that it stands for, or convert it where you trust it: ogr2ogr out.gpkg FILE.",
    )
