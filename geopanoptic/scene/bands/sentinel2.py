"""Sentinel-2's radiometric offset.

Since processing baseline 04.00 (January 2022) products hold reflectance x 10000 + 1000, and 0 means no data
in every baseline (ESA, Sentinel-2 Products Specification). JPEG 2000 is the product as delivered, so there
the product's name decides, and where no folder bears it the day in the image's own: what was taken since has the offset;
what was taken before has it only if it was processed again, which nothing but the product's name tells. A GeoTIFF may
have been harmonised by whoever wrote it and counts as it is declared, by its offset or by the tag ``BOA_ADD_OFFSET`` or
``RADIO_ADD_OFFSET``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from geopanoptic.scene.bands.filenames import stem_of
from geopanoptic.scene.bands.headers import BandHeader, FileHeader

OFFSET = -1000.0
FIRST_BASELINE_WITH_OFFSET = 400
FIRST_DAY_WITH_OFFSET = date(2022, 1, 25)

_PRODUCT = re.compile(r"S2[A-D]_MSIL[12][AC]_\d{8}T\d{6}_N(\d{4})_")
_IMAGE = re.compile(r"(?:L2A_)?T\d\d[A-Z]{3}_(\d{8})T\d{6}_B\d[\dA](?:_\d0m)?")
OFFSET_TAGS = ("BOA_ADD_OFFSET", "RADIO_ADD_OFFSET")
_DELIVERED = "JP2OpenJPEG"


@dataclass(frozen=True, slots=True, kw_only=True)
class Radiometry:
    """What a band's stored numbers mean: ``value = scale * number + offset``, ``nodata`` as stored.

    ``shifted``: the numbers carry an offset of 1000 that nothing takes away, as far as the name tells.
    ``note``: what was not declared in the file, for the user; empty where all was.
    """

    scale: float
    offset: float
    nodata: float | None
    shifted: bool = False
    note: str = ""


def baseline_of(file: FileHeader) -> int | None:
    """The processing baseline (400 for 04.00) that tags, file or folder names state, or None."""
    stated = dict(file.tags).get("PROCESSING_BASELINE", "").replace(".", "")
    if stated.isdigit():
        return int(stated)
    found = (match for part in reversed(file.source.parts) if (match := _PRODUCT.search(part)))
    return next((int(match[1]) for match in found), None)


def radiometry_of(file: FileHeader, band: BandHeader) -> Radiometry:
    """A band's scale, offset and nodata, with those that Sentinel-2's products leave to their metadata."""
    declared = Radiometry(scale=band.scale, offset=band.offset, nodata=band.nodata)
    baseline = baseline_of(file)
    if (band.scale, band.offset) != (1.0, 0.0):
        return declared
    tags = dict(file.tags) | dict(band.tags)
    tagged = next((float(tags[name]) for name in OFFSET_TAGS if _is_number(tags.get(name, ""))), None)
    # Where no product's name is left, the image's own still tells the day.
    loose = None if baseline is not None else _IMAGE.fullmatch(stem_of(file.source.name))
    delivered = file.source.driver == _DELIVERED and (baseline is not None or loose is not None)
    newer = baseline is not None and baseline >= FIRST_BASELINE_WITH_OFFSET
    if delivered and loose is not None:
        newer = loose[1] >= f"{FIRST_DAY_WITH_OFFSET:%Y%m%d}"
    nodata = 0.0 if delivered and band.nodata is None else band.nodata
    offset = tagged if tagged is not None else OFFSET if delivered and newer else 0.0
    note = f"{offset:+g} added to the numbers (Sentinel-2's radiometric offset)." if offset else ""
    if delivered and loose is not None and tagged is None and not newer:
        note = (
            "read without an offset, as products of that day were first delivered; if its product's name says N0400 or "
            "later, keep that name in its folder's."
        )
    return Radiometry(
        scale=1.0,
        offset=offset,
        nodata=nodata,
        shifted=newer and tagged is None and not delivered,
        note=note,
    )


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", text.strip()) is not None
