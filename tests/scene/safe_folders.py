"""Writes small Sentinel-2 products as ESA's SAFE folders: genuine JPEG 2000 files and their metadata."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

TRANSFORM = Affine(10, 0, 435_730, 0, -10, 4_179_460)
CRS = "EPSG:32618"
STEPS_M = {"B02": 10, "B03": 10, "B04": 10, "B08": 10, "B05": 20, "B06": 20, "B07": 20, "B8A": 20, "B11": 20,
           "B12": 20, "SCL": 20, "B01": 60, "B09": 60}  # fmt: skip
_BAND_IDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")


def write_jp2(path: Path, values: np.ndarray, step_m: int, **changes: object) -> Path:
    settings = {
        "driver": "JP2OpenJPEG", "height": values.shape[-2], "width": values.shape[-1], "count": 1 if values.ndim == 2 else len(values),
        "dtype": values.dtype, "crs": CRS, "transform": TRANSFORM @ Affine.scale(step_m / 10), "QUALITY": "100",
        "REVERSIBLE": "YES", "YCBCR420": "NO",
    }  # fmt: skip
    with rasterio.open(path, "w", **(settings | changes)) as file:
        file.write(values if values.ndim == 3 else values[None])
    return path


def write_product(
    folder: Path,
    images: Mapping[str, np.ndarray],
    *,
    day: str = "2022-06-15",
    baseline: str = "04.00",
    offsets: Mapping[str, int] | None = None,
    quantification: int = 10_000,
    cloud: float = 12.5,
    level: str = "L2A",
    metadata: str | None = None,
) -> Path:
    """A product with the given bands (by code, at their own steps); returns its SAFE folder.

    ``offsets``: by code; None for a baseline without them. ``metadata`` replaces the XML.
    """
    stamp = day.replace("-", "") + "T155819"
    tile = "T18SVG"
    safe = folder / f"S2A_MSI{level}_{stamp}_N{baseline.replace('.', '')}_R097_{tile}_{stamp}.SAFE"
    granule = Path("GRANULE") / f"{level}_{tile}_A036465_{stamp}"
    listed = []
    for code, values in images.items():
        step_m = STEPS_M[code]
        inner = f"IMG_DATA/R{step_m}m" if level == "L2A" else "IMG_DATA"
        suffix = f"_{step_m}m" if level == "L2A" else ""
        image = granule / inner / f"{tile}_{stamp}_{code}{suffix}"
        (safe / image).parent.mkdir(parents=True, exist_ok=True)
        write_jp2(safe / f"{image}.jp2", values, step_m)
        listed.append(f"<IMAGE_FILE>{image.as_posix()}</IMAGE_FILE>")
    word, tag = ("BOA", "BOA_ADD_OFFSET") if level == "L2A" else ("", "RADIO_ADD_OFFSET")
    rows = "".join(
        f'<{tag} band_id="{_BAND_IDS.index(code)}">{offset}</{tag}>'
        for code, offset in (offsets or {}).items()
    )
    quantified = f"{word}_QUANTIFICATION_VALUE".lstrip("_")
    text = (
        metadata
        or f"""<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-2A_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-2A.xsd">
<n1:General_Info><Product_Info><PRODUCT_START_TIME>{day}T15:58:19.024Z</PRODUCT_START_TIME>
<PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE><Product_Organisation><Granule_List>
<Granule imageFormat="JPEG2000">{"".join(listed)}</Granule></Granule_List></Product_Organisation></Product_Info>
<Product_Image_Characteristics><QUANTIFICATION_VALUES_LIST>
<{quantified} unit="none">{quantification}</{quantified}></QUANTIFICATION_VALUES_LIST>
<{tag}_VALUES_LIST>{rows}</{tag}_VALUES_LIST></Product_Image_Characteristics></n1:General_Info>
<n1:Quality_Indicators_Info><Cloud_Coverage_Assessment>{cloud}</Cloud_Coverage_Assessment>
</n1:Quality_Indicators_Info></n1:Level-2A_User_Product>"""
    )
    (safe / f"MTD_MSI{level}.xml").write_text(text)
    return safe
