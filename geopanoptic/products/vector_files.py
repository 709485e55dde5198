"""One way to read tables of polygons from files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import geopandas
import pyogrio
import pyogrio.errors

from geopanoptic.errors import UsageError
from geopanoptic.products.layers import PARCELS
from geopanoptic.products.literal import literally

_PARQUET_SUFFIXES = {".parquet", ".geoparquet"}


def read_table(path: Path, layer: str | None = None) -> geopandas.GeoDataFrame:
    """A layer of a local vector file: ``layer`` or ``layer_of_polygons``.

    Raises ``UsageError`` for a file that is not there, cannot be read or leads to others, or that has no geometry or
    no such layer.
    """
    with _opened(path) as opened:
        if _is_parquet(path):
            frame = geopandas.read_parquet(path)
        else:
            frame = geopandas.read_file(opened, layer=layer_of_polygons(path, layers_of_file(path), layer))
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise UsageError(f"{path} is a table without geometry.", remedy="Give a file of polygons.")
    return frame


def layers_of_file(path: Path) -> dict[str, str]:
    """The kind of geometry of every layer by its name, in the file's order; none of a GeoParquet.

    Raises ``UsageError`` as ``read_table`` does.
    """
    with _opened(path) as opened:
        if _is_parquet(path):
            return {}
        return {str(name): str(kind) for name, kind in pyogrio.list_layers(opened)}


def layer_of_polygons(path: Path, layers: dict[str, str], layer: str | None = None) -> str | None:
    """Which of a file's ``layers`` to read: ``layer``, else ``parcels``, else the first of polygons, else the first;
    None of a GeoParquet.

    Raises ``UsageError`` where there is no such ``layer``.
    """
    if layer is not None and layers and layer not in layers:
        raise UsageError(
            f"{path.name} has no layer {layer!r}; there is {', '.join(layers)}.",
            remedy="Name one of them with --layer.",
        )
    if layer is None and PARCELS.name in layers:
        return PARCELS.name
    return layer or next(
        (name for name, kind in layers.items() if "Polygon" in kind), next(iter(layers), None)
    )


@contextmanager
def _opened(path: Path) -> Iterator[str]:
    """What pyogrio opens for a file."""
    try:
        if not path.exists():
            raise FileNotFoundError("there is no such file")
        if _is_parquet(path):
            yield str(path)
            return
        with literally(path) as plain:
            # GDAL looks into an archive only when told to.
            yield f"zip://{plain}" if path.suffix.lower() == ".zip" else str(plain)
    except (OSError, ValueError, pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as failure:
        # What GDAL advises besides, to prefix a driver, is no option here.
        reason = str(failure).partition(";")[0].rstrip(".")
        raise UsageError(
            f"{path} cannot be read as a vector file: {reason}.",
            remedy="Give a GeoPackage, GeoJSON, Shapefile (also zipped), FlatGeobuf, GeoParquet, KML or FileGDB.",
        ) from None


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in _PARQUET_SUFFIXES
