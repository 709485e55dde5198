"""Landsat's scale.

Surface reflectance of Collection 2 Level-2 is ``number x 0.0000275 - 0.2``, of unsigned 16-bit numbers of which 0 is
fill, and the files do not say so (USGS, "How do I use a scale factor with Landsat Level-2 science products?" and the
Level 2 Science Product Guides, LSDS-1618 and LSDS-1619). It is taken of files that are called as USGS delivers them
and declare nothing else; of any other, such as a stack of them, nobody knows what was done to the numbers.
"""

from __future__ import annotations

import re

from geopanoptic.scene.bands.filenames import stem_of
from geopanoptic.scene.bands.headers import BandHeader, FileHeader
from geopanoptic.scene.bands.sentinel2 import Radiometry

SCALE, OFFSET, FILL = 2.75e-5, -0.2, 0.0

_PRODUCT = re.compile(r"L[COTE]0[4-9]_L2S[PR]_")
_DELIVERED = re.compile(_PRODUCT.pattern + r"\d{6}_\d{8}_\d{8}_02_T[12]_SR_B\d")
_FORMULA = f"x {SCALE:.7f} - {-OFFSET:g}"


def surface_reflectance(file: FileHeader, band: BandHeader) -> Radiometry | None:
    """The scale, offset and fill of a band that a Collection 2 Level-2 product leaves to its documents, else None.

    Numbers of a file that is only called after such a product count as they are, which its note says.
    """
    name = stem_of(file.source.name)
    if not _PRODUCT.match(name) or band.dtype != "uint16" or (band.scale, band.offset) != (1.0, 0.0):
        return None
    if not _DELIVERED.fullmatch(name):
        return Radiometry(
            scale=1.0,
            offset=0.0,
            nodata=band.nodata,
            note=f"its numbers count as they are; if those {_FORMULA} are reflectance, as in Landsat's products, state it "
            f"before indices are taken: `gdal_edit -scale {SCALE:.7f} -offset {OFFSET:g}`.",
        )
    return Radiometry(
        scale=SCALE,
        offset=OFFSET,
        nodata=FILL if band.nodata is None else band.nodata,
        note=f"numbers {_FORMULA} are reflectance (USGS, Landsat Collection 2 Level-2).",
    )
