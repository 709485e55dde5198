"""Sentinel-2 products as ESA delivers them: SAFE folders of Level-1C and Level-2A.

The product's metadata file names the images, the day, the processing baseline, the radiometric offset of
each band, the quantification value and the share of clouds (ESA, Sentinel-2 Products Specification Document,
S2-PDGS-TAS-DI-PSD). Each band is read where it is finest: four at 10 m, six at 20 m. The bands at 60 m show the
air, not the ground. A Level-2A product brings its scene classification as the mask of its date, a Level-1C product
since baseline 04.00 its own mask of clouds (``MSK_CLASSI``). The clouds of older Level-1C products are outlines
(GML), which are not read: a note says so.

Numbers are reflectance x 10000 whatever the baseline: ``(number + offset) * 10000 / quantification value``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element

from geopanoptic.errors import SceneError
from geopanoptic.scene.bands.bandnames import REFLECTANCE_BANDS, Sensor, band_code, name_of_code
from geopanoptic.scene.bands.filenames import date_of
from geopanoptic.scene.bands.headers import FileHeader, read_header
from geopanoptic.scene.bands.masking import NamedMask
from geopanoptic.scene.bands.naming import NamedBand
from geopanoptic.scene.bands.sentinel2 import OFFSET_TAGS
from geopanoptic.scene.containers.contents import Contents
from geopanoptic.scene.files.alignment import same_crs
from geopanoptic.scene.files.documents import read_xml
from geopanoptic.scene.files.sources import files_in, is_file, is_folder, resolve, shown

METADATA = {"MTD_MSIL2A.xml": "Level-2A", "MTD_MSIL1C.xml": "Level-1C"}
_IMAGE = re.compile(r"_(?P<word>B\d[\dA]|SCL)(?:_(?P<step_m>\d\d)m)?$")
_STEP_M = {"blue": 10, "green": 10, "red": 10, "nir": 10} | dict.fromkeys(
    ("rededge1", "rededge2", "rededge3", "nir08", "swir16", "swir22", "scl"), 20
)
_BAND_IDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
"""The order in which the metadata number the bands (``band_id``)."""
_QUANTIFICATIONS = ("BOA_QUANTIFICATION_VALUE", "QUANTIFICATION_VALUE")
_CLASSI, _CLASSI_BANDS = "MSK_CLASSI_B00.jp2", 3
_CLOUD_OUTLINES = "MSK_CLOUDS_B00.gml"
_UNIT = 10_000.0
_NODATA = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Product:
    """What a metadata file says. ``images``: file without suffix by band (or ``scl``) and step in metres."""

    folder: Path
    level: str
    date: date
    baseline: str
    cloud_percent: float | None
    quantification: float
    offsets: dict[str, float]
    images: dict[tuple[str, int], PurePosixPath]


def metadata_in(path: Path) -> Path | None:
    """The metadata file of the product that ``path`` is (its folder or that file), or None."""
    if path.name in METADATA and is_file(path):
        return path
    return next((path / name for name in METADATA if is_file(path / name)), None)


def products_in(folder: Path) -> list[Path]:
    """The product folders in a folder, by name."""
    try:
        return sorted(item for item in folder.iterdir() if is_folder(item) and metadata_in(item))
    except OSError as error:
        raise SceneError(
            f"The folder {shown(folder)} cannot be listed: {error.strerror}.", remedy="Check the permissions."
        ) from None


def check_levels(products: Sequence[Path]) -> None:
    """Raises SceneError where products of Level-1C and Level-2A come together."""
    levels = {metadata.name: path for path in products if (metadata := metadata_in(path))}
    if len(levels) > 1:
        one, other = (shown(path.name) for path in levels.values())
        raise SceneError(
            f"{one} and {other} are of different processing levels ({' and '.join(METADATA.values())}): a field "
            "has other numbers in them.",
            remedy="Give the products of one level.",
        )


def read_product(path: Path, *, only: frozenset[str] | None = None) -> Contents:
    """The bands (``only`` those, where given), mask, day and cloud share of one product, by headers only.

    Raises SceneError: no metadata, damaged ones, files that they name are missing, no bands of 10 m, or grids
    that do not belong together.
    """
    metadata = metadata_in(resolve(path))
    if metadata is None:
        raise SceneError(
            f"{shown(path)} holds no {' and no '.join(METADATA)}.",
            remedy="Give a Sentinel-2 product folder (.SAFE) as it was delivered.",
        )
    product = _read(metadata)
    held = [band for band in REFLECTANCE_BANDS if (band, _STEP_M[band]) in product.images]
    wanted = only if only is not None and only <= set(held) else held
    bands = [_band(product, band) for band in held if band in wanted]
    _check_grids(bands)
    masks, mask_notes = _masks(product)
    return Contents(
        name=shown(product.folder.name),
        bands=tuple(bands),
        masks=masks,
        cloud_percent=() if product.cloud_percent is None else ((product.date, product.cloud_percent),),
        notes=(
            f"{shown(product.folder.name)}: Sentinel-2 {product.level}, baseline {product.baseline or 'unstated'}.",
            *mask_notes,
        ),
    )


def _masks(product: _Product) -> tuple[tuple[NamedMask, ...], tuple[str, ...]]:
    """The product's mask of clouds, and a note where it has one that is not read."""
    if ("scl", _STEP_M["scl"]) in product.images:
        scl = _header(product, "scl")
        return (NamedMask(file=scl, header=scl.bands[0], kind="scl", date=product.date),), ()
    granule = product.folder.joinpath(*next(iter(product.images.values())).parts[:2])
    quality = resolve(granule) / "QI_DATA"
    if not quality.is_relative_to(product.folder) or not is_folder(quality):
        return (), ()
    for path in files_in(quality):
        if path.name == _CLASSI and resolve(path).is_relative_to(product.folder):
            file = read_header(path)
            if len(file.bands) == _CLASSI_BANDS:
                return (NamedMask(file=file, header=file.bands[0], kind="classi", date=product.date),), ()
        if path.name == _CLOUD_OUTLINES:
            note = f"{shown(product.folder.name)}: its clouds are outlines ({_CLOUD_OUTLINES}), which are not read."
            return (), (note,)
    return (), ()


def _read(metadata: Path) -> _Product:
    root = read_xml(metadata)
    when = date_of(_text(root, "PRODUCT_START_TIME") or _text(root, "DATATAKE_SENSING_START") or "")
    if when is None:
        raise SceneError(
            f"{shown(metadata)} states no day of acquisition (PRODUCT_START_TIME).",
            remedy="Download the product again.",
        )
    images = dict(_images(root))
    if missing := [band for band, step_m in _STEP_M.items() if step_m == 10 and (band, 10) not in images]:
        raise SceneError(
            f"{shown(metadata)} lists no 10 m image of {', '.join(missing)}.",
            remedy="Give a product with the bands of 10 m (B02, B03, B04, B08); a folder of other images is "
            "opened by its files: name their folder (GRANULE/*/IMG_DATA/...).",
        )
    if len({image.parts[1:2] for image in images.values()}) > 1:
        raise SceneError(
            f"{shown(metadata)} lists several granules (the format before December 2016).",
            remedy="Give the folder of one granule's images (GRANULE/<granule>/IMG_DATA).",
        )
    quantification = next((n for name in _QUANTIFICATIONS if (n := _number(root, name, metadata))), _UNIT)
    if quantification <= 0:
        raise _unclear(metadata, f"the quantification value {quantification:g}")
    return _Product(
        folder=metadata.parent,
        level=METADATA[metadata.name],
        date=when,
        baseline=_text(root, "PROCESSING_BASELINE") or "",
        cloud_percent=_number(root, "Cloud_Coverage_Assessment", metadata),
        quantification=quantification,
        offsets=dict(_offsets(root, metadata)),
        images=images,
    )


def _images(root: Element) -> Iterator[tuple[tuple[str, int], PurePosixPath]]:
    for element in root.iter("IMAGE_FILE"):
        path = PurePosixPath((element.text or "").strip())
        match = _IMAGE.search(path.name)
        code = None if match is None else band_code(match["word"])
        name = "scl" if code is None else name_of_code(code, Sensor.SENTINEL2)
        if match is not None and name in _STEP_M:
            # Level-1C states no step: each band comes once, at its own.
            yield (name, int(match["step_m"] or _STEP_M[name])), path


def _offsets(root: Element, metadata: Path) -> Iterator[tuple[str, float]]:
    for tag in OFFSET_TAGS:
        for element in root.iter(tag):
            number = element.get("band_id", "")
            if not (number.isdecimal() and int(number) < len(_BAND_IDS)):
                raise _unclear(metadata, f"{tag} band_id={number!r}")
            code = band_code(_BAND_IDS[int(number)])
            name = None if code is None else name_of_code(code, Sensor.SENTINEL2)
            if name is not None:
                yield name, _as_number(element.text, tag, metadata)


def _band(product: _Product, band: str) -> NamedBand:
    file = _header(product, band)
    header, offset = file.bands[0], product.offsets.get(band)
    factor = _UNIT / product.quantification
    nodata = _NODATA if header.nodata is None else header.nodata
    if factor != 1:
        header = replace(header, nodata=nodata, scale=factor, offset=factor * (offset or 0.0))
    else:
        # The tag says that the offset is stated, also where it is 0.
        tags = header.tags if offset is None else (*header.tags, (OFFSET_TAGS[0], f"{offset:g}"))
        header = replace(header, nodata=nodata, tags=tags)
    return NamedBand(file=file, header=header, band=band, date=product.date)


def _header(product: _Product, name: str) -> FileHeader:
    image = product.images[name, _STEP_M[name]]
    path = product.folder / image.with_name(image.name + ".jp2")
    try:
        found = resolve(path)
    except SceneError as error:
        raise SceneError(
            f"The product's metadata name a file that is not there: {error.message}",
            remedy="Download the product again, whole; or give the folder of the images that you have.",
        ) from None
    if not found.is_relative_to(product.folder):
        raise SceneError(
            f"{shown(product.folder)}: its metadata name {shown(found)}, outside the product.",
            remedy="Download the product again.",
        )
    file = read_header(found)
    tags = (*file.tags, ("PROCESSING_BASELINE", product.baseline)) if product.baseline else file.tags
    step_m = file.grid.transform.a
    if len(file.bands) != 1 or abs(step_m - _STEP_M[name]) > 1e-3:
        raise SceneError(
            f"{shown(found)} has {len(file.bands)} band(s) of {step_m:g} m pixels, where the product has one of "
            f"{_STEP_M[name]} m.",
            remedy="Download the product again.",
        )
    return replace(file, tags=tags)


def _check_grids(bands: Sequence[NamedBand]) -> None:
    for item in bands[1:]:
        first, grid = bands[0].file, item.file.grid
        apart = max(abs(a - b) for a, b in zip(grid.bounds, first.grid.bounds, strict=True))
        if not same_crs(grid, first.grid) or apart > abs(grid.transform.a):
            raise SceneError(
                f"{shown(item.file.source.name)} lies elsewhere than {shown(first.source.name)} of the same "
                f"product: {tuple(round(n, 3) for n in grid.bounds)} against "
                f"{tuple(round(n, 3) for n in first.grid.bounds)}.",
                remedy="Download the product again.",
            )


def _text(root: Element, tag: str) -> str | None:
    element = next(root.iter(tag), None)
    return None if element is None else (element.text or "").strip()


def _number(root: Element, tag: str, metadata: Path) -> float | None:
    text = _text(root, tag)
    return None if text is None else _as_number(text, tag, metadata)


def _as_number(text: str | None, tag: str, metadata: Path) -> float:
    try:
        return float(text or "")
    except ValueError:
        raise _unclear(metadata, f"{tag} {text!r}") from None


def _unclear(metadata: Path, what: str) -> SceneError:
    return SceneError(f"{shown(metadata)}: {what} cannot be used.", remedy="Download the product again.")
