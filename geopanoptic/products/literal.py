"""Vector files under names that pyogrio takes for addresses: ``Neu! maps/parcels.gpkg``, ``a;b.geojson``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from pyogrio.util import vsi_path

from geopanoptic.products.vector_formats import refuse_links


@contextmanager
def literally(path: Path) -> Iterator[Path]:
    """The path by which pyogrio reads or writes the local file ``path``, which need not exist.

    It parses paths as addresses ("!" ends an archive, ";" begins parameters, line breaks are dropped), also those of
    Path objects, and takes UTF-8 only; such files get links of plain names, together with those that belong to them
    (of a shapefile). Relative paths become absolute, lest they begin as the addresses of a driver do ("WFS:").

    Raises for a file that is there as ``refuse_links`` does.
    """
    path = path.absolute()
    refuse_links(path)
    if _is_plain(str(path)):
        yield path
        return
    with TemporaryDirectory(prefix="geopanoptic-") as folder:
        # The layer of some formats has the name of its file.
        stem = path.stem if _is_plain(path.stem) else "file"
        with suppress(OSError):
            for beside in path.parent.iterdir():
                if beside.stem == path.stem and beside.suffix != path.suffix and _is_plain(beside.suffix):
                    Path(folder, stem + beside.suffix).symlink_to(beside)
        link = Path(folder, stem + (path.suffix if _is_plain(path.suffix) else ""))
        link.symlink_to(path)
        yield link


def _is_plain(path: str) -> bool:
    with suppress(UnicodeEncodeError):
        path.encode()
        return vsi_path(path) in (path, f"/vsizip/{path}")
    return False
