"""What a cube may do when it is opened: nothing but hold numbers.

HDF5 files can link to other files (external links, external and virtual datasets). Zarr arrays can name a codec
that unpickles objects, and so runs code, and a store can hold symbolic links. All of these are refused before
xarray sees the cube.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from geopanoptic.errors import SceneError
from geopanoptic.scene.files.cube_file import not_installed
from geopanoptic.scene.files.documents import read_json
from geopanoptic.scene.files.sources import shown

_CODECS = frozenset({
    "blosc", "zlib", "gzip", "bz2", "lzma", "lz4", "zstd", "snappy", "shuffle", "delta", "fixedscaleoffset",
    "bitround", "quantize", "packbits", "astype", "crc32", "crc32c", "adler32", "fletcher32", "jenkins_lookup3",
    "bytes", "endian", "transpose", "sharding_indexed", "vlen-utf8", "vlen-bytes", "scale_offset", "cast_value",
})  # fmt: skip
"""Codecs that turn bytes into numbers or texts and do nothing else."""
_METADATA = (".zarray", ".zgroup", ".zattrs", ".zmetadata", "zarr.json")


def check_hdf5(path: Path) -> None:
    """Refuses (SceneError) an HDF5 file that reads other files, and one that cannot be walked."""
    try:
        import h5py
    except ImportError:
        raise not_installed(path, "h5netcdf") from None
    found: list[str] = []

    def visit_link(name: str, link: Any) -> None:
        if isinstance(link, h5py.ExternalLink):
            found.append(f"{name!r} is a link into another file")

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and (item.is_virtual or item.external):
            found.append(f"the numbers of {name!r} lie in other files")

    try:
        with h5py.File(path, "r") as file:
            file.visititems_links(visit_link)
            file.visititems(visit)
    except (OSError, RuntimeError, KeyError) as error:
        raise SceneError(
            f"{shown(path)} is damaged or cut short: {' '.join(str(error).split())}.",
            remedy="Download or export it again.",
        ) from None
    if found:
        raise SceneError(
            f"{shown(path)} reads other files: {found[0]}.",
            remedy="Write it whole, for example with `nccopy in.nc out.nc` or xarray's to_netcdf.",
        )


def check_zarr(folder: Path) -> None:
    """Refuses (SceneError) a Zarr store with symbolic links, codecs that could run code, or Python objects."""
    for path in _files_of(folder):
        if path.name in _METADATA:
            for codec in _codecs(read_json(path)):
                if codec.removeprefix("numcodecs.") not in _CODECS:
                    raise SceneError(
                        f"{shown(path)} names the codec {codec!r}, which is not known to be safe.",
                        remedy="Write the store again with numbers in a common codec (zstd, blosc, gzip).",
                    )


def _files_of(folder: Path) -> Iterator[Path]:
    try:
        for place, folders, names in os.walk(folder, onerror=_raise):
            for name in (*folders, *names):
                if os.path.islink(os.path.join(place, name)):  # noqa: PTH114, PTH118  (may be millions)
                    raise SceneError(
                        f"{shown(Path(place) / name)} is a symbolic link in a Zarr store.",
                        remedy="Copy the store with its files: `cp -rL in.zarr out.zarr`.",
                    )
            yield from (Path(place) / name for name in names if name in _METADATA)
    except OSError as error:
        raise SceneError(
            f"{shown(folder)} cannot be listed: {error.strerror}.", remedy="Check the permissions."
        ) from None


def _raise(error: OSError) -> None:
    raise error


def _codecs(value: Any) -> Iterator[str]:
    """Every codec that metadata name, at any depth: in version 2 by ``id``, in version 3 by ``name``."""
    if isinstance(value, list):
        for item in value:
            yield from _codecs(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key in ("compressor", "filters", "codecs", "index_codecs"):
                for codec in item if isinstance(item, list) else [item]:
                    if isinstance(codec, dict):
                        yield str(codec.get("id", codec.get("name", "")))
                    elif codec is not None:
                        yield str(codec)
            if key != "attributes":
                yield from _codecs(item)
