"""Which file formats are opened, decided by the file's first bytes and never by its name.

GDAL picks a driver by content: a VRT named ``scene.tif`` would read any file on the machine. So the format
is recognised here, the driver is named when opening, and side files that GDAL opens by itself (masks,
overviews) are held to the same rule.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from geopanoptic.errors import SceneError
from geopanoptic.scene.files.sources import is_file, shown

VRT = "VRT"

_DRIVERS = (
    (b"II*\x00", "GTiff"),
    (b"MM\x00*", "GTiff"),
    (b"II+\x00", "GTiff"),
    (b"MM\x00+", "GTiff"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JP2OpenJPEG"),
    (b"\xffO\xffQ", "JP2OpenJPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
)

_CUBE = "It is named as an image: name it .nc, and it is opened as a cube."
_OTHERS = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 or NetCDF-4 file", _CUBE),
    (b"CDF\x01", "a NetCDF file", _CUBE),
    (b"CDF\x02", "a NetCDF file", _CUBE),
    (b"CDF\x05", "a NetCDF file of 64-bit data (CDF-5)", "Convert it: `nccopy -k nc4 in.nc out.nc`."),
    (b"\x0e\x03\x13\x01", "an HDF4 file", "Convert it: `gdal_translate in.hdf out.tif`."),
    (
        b"<VRTDataset",
        "a GDAL VRT",
        "Build a GeoTIFF (`gdal_translate in.vrt out.tif`) or, from Python, open it with allow_vrt=True.",
    ),
    (b"<MRF_META", "an MRF file", "Convert it: `gdal_translate in.mrf out.tif`."),
    (b"SQLite format 3\x00", "a GeoPackage or SQLite file", "Give the satellite image, not a vector file."),
    (b"%PDF", "a PDF", "Give the image as GeoTIFF or JPEG 2000."),
    (b"GIF8", "a GIF", "Give the image as GeoTIFF or JPEG 2000."),
    (b"RIFF", "a WebP or other RIFF file", "Give the image as GeoTIFF or JPEG 2000."),
)
_ARCHIVES = (
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (257, b"ustar", "a tar archive"),
)
_READ_FORMATS = (
    "Give a GeoTIFF (COG), a JPEG 2000, a PNG or JPEG with a world file, a NetCDF or Zarr cube, a Sentinel-2 "
    "product folder or a STAC item."
)
_HEAD_BYTES = 512
_SIDE_FILE_LIMIT_BYTES = 16 * 2**20


def driver_of(path: Path, *, allow_vrt: bool = False) -> str:
    """The GDAL driver for a file, by its first bytes.

    Raises SceneError for an unreadable or empty file, for a PNG that is cut short and for every format that is not
    read.
    """
    head = _head(path)
    driver = recognised_driver(head)
    if driver is None and allow_vrt and _is_vrt(head):
        return VRT
    if driver is None:
        raise _refusal(path, head)
    if driver == "PNG":
        _check_end_of_png(path)
    _check_side_files(path)
    return driver


def recognised_driver(head: bytes) -> str | None:
    """The GDAL driver for a file that begins with ``head``, or None."""
    return next((driver for magic, driver in _DRIVERS if head.startswith(magic)), None)


def is_picture(path: Path) -> bool:
    """Whether a file is a PNG or JPEG, as pictures for people are (False where it cannot be read)."""
    try:
        return recognised_driver(_head(path)) in ("PNG", "JPEG")
    except SceneError:
        return False


def looks_like_image(path: Path) -> bool:
    """True where a folder's file is an image of a format that is read (False where it cannot be read)."""
    try:
        return recognised_driver(_head(path)) is not None
    except SceneError:
        return False


def is_archive(path: Path) -> bool:
    """Whether a file is an archive to be unpacked (False where it cannot be read)."""
    try:
        return _archive(_head(path)) is not None
    except SceneError:
        return False


def _archive(head: bytes) -> str | None:
    return next((kind for start, magic, kind in _ARCHIVES if head.startswith(magic, start)), None)


def _head(path: Path) -> bytes:
    if path.exists() and not path.is_file():
        raise SceneError(
            f"{shown(path)} is no plain file (a device, a pipe or a folder).", remedy="Give an image file."
        )
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SceneError(
            f"{shown(path)} cannot be read: {reason}.", remedy="Check the path and its permissions."
        ) from None
    if not head:
        raise SceneError(f"{shown(path)} is empty (0 bytes).", remedy="Download or export it again.")
    return head


def _check_end_of_png(path: Path) -> None:
    """GDAL reads what is missing of a PNG as zeros, without a word; so its chunks are followed to the last one."""
    with path.open("rb") as stream:
        stream.seek(8)
        while len(start := stream.read(8)) == 8 and start[4:] != b"IEND":
            length, checksum_bytes = int.from_bytes(start[:4], "big"), 4
            stream.seek(length + checksum_bytes, os.SEEK_CUR)
    if start[4:] != b"IEND":
        raise SceneError(
            f"{shown(path)} is damaged or cut short: its end is missing.",
            remedy="Download or export it again.",
        )


def _is_vrt(head: bytes) -> bool:
    return _text_start(head).startswith(b"<VRTDataset")


def _text_start(head: bytes) -> bytes:
    """The first bytes after a byte order mark, white space and an XML declaration."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return text.partition(b"?>")[2].lstrip() if text.startswith(b"<?xml") else text


def _refusal(path: Path, head: bytes) -> SceneError:
    for magic, kind, remedy in _OTHERS:
        if head.startswith(magic) or _text_start(head).startswith(magic):
            return SceneError(f"{shown(path)} is {kind}, not an image that can be opened.", remedy=remedy)
    if archive := _archive(head):
        return SceneError(
            f"{shown(path)} is {archive}, not an image that can be opened.", remedy="Unpack it first."
        )
    return SceneError(f"{shown(path)} is not an image of a known format.", remedy=_READ_FORMATS)


def side_masks(path: Path) -> Iterator[Path]:
    """The files beside an image in which GDAL finds its mask."""
    return _side_files(path, (".msk", ".MSK"))


def _side_files(path: Path, suffixes: Sequence[str]) -> Iterator[Path]:
    return (side for suffix in suffixes if is_file(side := path.with_name(path.name + suffix)))


def _check_side_files(path: Path) -> None:
    for side in _side_files(path, (".msk", ".ovr", ".MSK", ".OVR")):
        if recognised_driver(_head(side)) != "GTiff":
            raise SceneError(
                f"{shown(side)} is not a TIFF, so it is no mask or overview of {shown(path)}.",
                remedy="Remove it, or rebuild it with gdaladdo.",
            )
    side = path.with_name(path.name + ".aux.xml")
    if is_file(side):
        if side.stat().st_size > _SIDE_FILE_LIMIT_BYTES:
            raise SceneError(f"{shown(side)} is too large for a side file.", remedy="Remove it.")
        text = side.read_bytes()
        if b"OVERVIEW_FILE" in text or b"<!ENTITY" in text:
            raise SceneError(f"{shown(side)} points to other files.", remedy="Remove it or those entries.")
