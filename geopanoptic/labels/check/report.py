"""What was found: issues, figures, and a table of them for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import shapely

from geopanoptic.labels.check.issue import KINDS, Issue, Severity, in_words
from geopanoptic.wording import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFigures:
    """Numbers of the labels of one image or map, and what counted as a defect there (``Limits``), in ``unit``.

    ``metres`` has a ``unit`` that is an angle, None of others. ``unlabelled`` (0 to 1) is None where there is no image, ``offset`` and ``pixel_difference`` where nothing was
    compared.
    """

    name: str
    objects: int
    tolerance: float
    sliver_width: float
    gap_area: float
    unit: str
    metres: float | None = None
    unlabelled: float | None = None
    offset: dict[str, Any] | None = None
    pixel_difference: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The outcome of a check. Issues are in the order of images, kinds and rows.

    ``outlines`` are those of the labels, for pictures, in the CRS ``crs_wkt`` (None: pixels); issues of all images
    are brought to it.
    """

    source: str
    format: str
    images: tuple[ImageFigures, ...]
    issues: tuple[Issue, ...]
    notes: tuple[str, ...] = ()
    crs_wkt: str | None = None
    outlines: tuple[shapely.Geometry, ...] = field(default=(), repr=False)

    def count(self, severity: Severity) -> int:
        return sum(each.severity == severity for each in self.issues)

    def by_kind(self) -> dict[str, dict[str, int]]:
        """Numbers of errors and warnings of each kind that was found."""
        counts: dict[str, dict[str, int]] = {}
        for kind in KINDS:
            of_kind = [each.severity for each in self.issues if each.kind == kind]
            if of_kind:
                counts[kind] = {"error": of_kind.count("error"), "warning": of_kind.count("warning")}
        return counts

    @property
    def objects(self) -> int:
        return sum(each.objects for each in self.images)

    def fails(self, fail_on: str) -> bool:
        """Whether defects of that severity (``error``, ``warning`` or ``never``) were found."""
        return (fail_on != "never" and self.count("error") > 0) or (
            fail_on == "warning" and self.count("warning") > 0
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values; geometries as WKT, in ``crs``."""
        return {
            "source": self.source,
            "format": self.format,
            "crs": self.crs_wkt,
            "objects": self.objects,
            "errors": self.count("error"),
            "warnings": self.count("warning"),
            "kinds": self.by_kind(),
            "images": [each.to_dict() for each in self.images],
            "notes": list(self.notes),
            "issues": [
                {
                    "kind": each.kind,
                    "severity": each.severity,
                    "message": each.message,
                    "objects": list(each.object_ids),
                    "image": each.image,
                    "amount": None if np.isnan(each.amount) else each.amount,
                    "wkt": None if each.geometry is None else shapely.to_wkt(each.geometry, trim=True),
                }
                for each in self.issues
            ],
        }

    def to_frame(self) -> geopandas.GeoDataFrame:
        """One row per issue with a place."""
        with_place = [each for each in self.issues if each.geometry is not None]
        return geopandas.GeoDataFrame(
            {
                "kind": [each.kind for each in with_place],
                "severity": [each.severity for each in with_place],
                "objects": [",".join(map(str, each.object_ids)) for each in with_place],
                "message": [each.message for each in with_place],
                "amount": np.array([each.amount for each in with_place], np.float64),
                "image": [each.image for each in with_place],
            },
            geometry=[each.geometry for each in with_place],
            crs=self.crs_wkt,
        )


def lines(report: Report, *, examples: int = 3) -> list[str]:
    """The report for a terminal: figures, a table of kinds, and the first issues of each kind."""
    told = [f"{report.source}: {report.objects:,} objects ({_format(report)})"]
    told += [f"note: {note}" for note in report.notes]
    told += [line for each in report.images[:examples] for line in figure_lines(each)]
    if not report.issues:
        return [*told, "No defects found."]

    def named(each: Issue) -> str:
        return f"{each.image}: {each.message}" if len(report.images) > 1 else each.message

    counts = report.by_kind()
    width = max(len(KINDS[kind].title) for kind in counts)
    told += ["", f"{'':{width}}  errors  warnings"]
    for kind, count in counts.items():
        told.append(
            f"{KINDS[kind].title:{width}}  {_number(count['error']):>6}  {_number(count['warning']):>8}"
        )
        of_kind = [each for each in report.issues if each.kind == kind]
        told += [f"  {named(each)}" for each in of_kind[:examples]]
        if len(of_kind) > examples:
            told.append(f"  ... and {len(of_kind) - examples:,} more")
    return [*told, "", verdict(report)]


def verdict(report: Report) -> str:
    """How many errors and warnings there are."""
    return f"{counted(report.count('error'), 'error')}, {counted(report.count('warning'), 'warning')}"


def figure_lines(figures: ImageFigures) -> Sequence[str]:
    """What was measured of one image, in words."""
    unit, metres = figures.unit, figures.metres
    told = [
        f"{figures.name}: borders closer than {in_words(figures.tolerance, unit, metres, digits=2)} count as one, "
        f"objects narrower than {in_words(figures.sliver_width, unit, metres)} as slivers, holes below "
        f"{in_words(figures.gap_area, unit, metres, power=2)} as gaps"
    ]
    if figures.unlabelled is not None:
        told.append(f"{figures.name}: {figures.unlabelled:.1%} of the image is unlabelled")
    if figures.offset is not None:
        each = figures.offset
        across, down = each["columns_px"], each["rows_px"]
        # Within a pixel no offset is better than none pixel by pixel, and only its error tells whether it is one.
        length = float(np.hypot(across, down))
        chance = length < 2 * each["error_px"] or (length >= 1 and not each["significant"])
        sure = ", which may be chance" if chance else ""
        told.append(
            f"{figures.name}: the image's edges lie {abs(across):.2f} px {'right' if across >= 0 else 'left'} of the "
            f"labels and {abs(down):.2f} px {'below' if down >= 0 else 'above'} them (± {each['error_px']:.2f} px{sure})"
        )
    if figures.pixel_difference is not None:
        told.append(f"{figures.name}: {figures.pixel_difference:.1%} of pixels differ from the prediction")
    return told


def _number(count: int) -> str:
    return f"{count:,}" if count else "."


def _format(report: Report) -> str:
    """Vector files of many kinds are read as one format, of which people know the file's own."""
    suffix = Path(report.source).suffix.lower().lstrip(".")
    return suffix if report.format == "gpkg" and suffix else report.format
