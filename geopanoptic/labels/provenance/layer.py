"""The changes as a layer to open beside the labels."""

from __future__ import annotations

from pathlib import Path

import pyogrio

from geopanoptic.errors import UsageError
from geopanoptic.labels.output import staged_output
from geopanoptic.labels.provenance.difference import Difference
from geopanoptic.products.literal import literally

CHANGES = "changes"


def write_changes(difference: Difference, out: Path, *, overwrite: bool = False) -> None:
    """Write the changed objects as layer ``changes``. Raises ``UsageError`` for a name without .gpkg, ``OutputError``."""
    if out.suffix.lower() != ".gpkg":
        raise UsageError(f"{out} is no name of a GeoPackage.", remedy="Name a file that ends in .gpkg.")
    frame = difference.changes
    many = bool(frame.geometry.geom_type.eq("MultiPolygon").any())
    with staged_output(out, overwrite=overwrite) as staged, literally(staged) as plain:
        pyogrio.write_dataframe(
            frame,
            plain,
            layer=CHANGES,
            driver="GPKG",
            promote_to_multi=many,
            geometry_type=None if len(frame) else "Polygon",
        )
