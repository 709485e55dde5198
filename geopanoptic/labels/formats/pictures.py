"""PNG and TIFF files of labels: numbers as they are, no palette, gamma or alpha applied on the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geopanoptic.errors import UsageError


def write_png(path: Path, values: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Write uint8 (h, w, 3), or uint8 or uint16 (h, w), as PNG."""
    Image.fromarray(np.ascontiguousarray(values)).save(path, format="PNG")


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Uint8 (h, w, 3) of a PNG. Raises ``UsageError`` for files that are none or have other bands."""
    values = _read(path)
    if values.ndim != 3 or values.shape[2] not in (3, 4) or values.dtype != np.uint8:
        raise UsageError(
            f"{path} holds {_described(values)}; the format has three bands of uint8.",
            remedy="Give the PNG as it was exported.",
        )
    return np.asarray(values[..., :3], np.uint8)


def read_grey(path: Path) -> NDArray[np.int32]:
    """The numbers (h, w) of a PNG of one band or palette. Raises ``UsageError`` for anything else."""
    values = _read(path)
    if values.ndim != 2:
        raise UsageError(
            f"{path} holds {_described(values)}; the format has one band.",
            remedy="Give the PNG as it was exported.",
        )
    return values.astype(np.int32)


def write_tiff(path: Path, values_hw: NDArray[np.int32]) -> None:
    """Write int32 (h, w) as TIFF, deflated."""
    Image.fromarray(np.ascontiguousarray(values_hw)).save(
        path, format="TIFF", compression="tiff_adobe_deflate"
    )


def read_tiff(path: Path) -> NDArray[np.int32]:
    """The numbers (h, w) of a TIFF of one band. Raises ``UsageError`` for anything else."""
    values = _read(path, "TIFF")
    if values.ndim != 2 or values.dtype.kind not in "iu":
        raise UsageError(
            f"{path} holds {_described(values)}; the format has one of integers.",
            remedy="Give the TIFF as it was exported.",
        )
    return values.astype(np.int32)


def _read(path: Path, kind: str = "PNG") -> NDArray[np.generic]:
    try:
        # Only the decoder that is wanted: a stranger's file may claim to be any of fifty formats.
        with Image.open(path, formats=[kind]) as picture:
            return np.asarray(picture)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise UsageError(
            f"{path} cannot be read as {kind}: {error}.", remedy="Give the exported file."
        ) from None


def _described(values: NDArray[np.generic]) -> str:
    return f"{1 if values.ndim == 2 else values.shape[2]} band(s) of {values.dtype}"
