"""Which scenes are measured: generated ones of growing area, or the user's."""

from __future__ import annotations

import math
from pathlib import Path

from geopanoptic.benchmark.benchmark import Subject
from geopanoptic.benchmark.scenes import write_mosaic
from geopanoptic.errors import UsageError


def generated_subjects(folder: Path, size_px: int, areas: str) -> list[Subject]:
    """Generated scenes in ``folder``, of ``size_px`` squared times every area of a list such as ``1,4,16``.

    Sides are rounded to whole pixels. Raises UsageError for a list that cannot be meant.
    """
    subjects = []
    for area in _areas(areas):
        side_px = round(size_px * math.sqrt(area))
        path = folder / f"generated-{side_px}.tif"
        write_mosaic(path, side_px)
        subjects.append(Subject(name=f"{side_px} x {side_px}", source=(str(path),)))
    return subjects


def real_subject(source: tuple[str, ...]) -> Subject:
    """The scene in these files or this folder, which only the runs open: it is their options that say how."""
    name = Path(source[0]).name + (f" and {len(source) - 1} more" if len(source) > 1 else "")
    return Subject(name=name, source=source)


def _areas(text: str) -> list[float]:
    try:
        areas = [float(part) for part in text.split(",")]
    except ValueError:
        areas = []
    if not areas or not all(0 < area < math.inf for area in areas):
        raise UsageError(
            f"--areas is {text!r}, expected numbers above zero.",
            remedy="Write a list such as --areas 1,4,16.",
        )
    return areas
