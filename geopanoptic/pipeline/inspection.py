"""What a scene is, whether the model can take it, and what a run would cost; nothing is written."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyproj
from pyproj.exceptions import ProjError

from geopanoptic.errors import GeopanopticError
from geopanoptic.grid import Grid
from geopanoptic.models.bundle import Bundle
from geopanoptic.pipeline.memory import size_text
from geopanoptic.pipeline.planning.plan import Plan, make_plan
from geopanoptic.pipeline.planning.room import check_memory
from geopanoptic.pipeline.planning.suitability import REQUIRED_BANDS, bundle_for
from geopanoptic.scene import Scene, SceneSource, Survey, open_scene, survey, suspicions, take_sample
from geopanoptic.scene.clouds import cloud_share
from geopanoptic.scene.sampling import sample_windows
from geopanoptic.scene.scene import listed
from geopanoptic.wording import counted

_SURVEYED_PX = 50_000_000
"""Of all dates together: 24 of a large scene, every date of a small one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DateFacts:
    """One date of a scene. ``survey`` is None where the scene has too many dates to sample each, or nothing
    could be sampled; ``cloud_share`` (0..1) where neither files nor masks tell."""

    date: date | None
    bands: tuple[str, ...]
    n_files: int
    survey: Survey | None
    cloud_share: float | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "date": None if self.date is None else str(self.date),
            "bands": list(self.bands),
            "files": self.n_files,
            "valid_share": self.survey.valid_share if self.survey else None,
            "cloud_share": self.cloud_share,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """``dates`` has one entry per date. ``plan`` is None where a run would be refused:
    ``refusal`` then says why and what to do. ``bundle`` is None where the model cannot be loaded."""

    scene: Scene
    dates: tuple[DateFacts, ...]
    bundle: Bundle | None
    plan: Plan | None
    refusal: GeopanopticError | None

    @property
    def surveyed(self) -> tuple[tuple[date | None, Survey], ...]:
        """The dates that were sampled."""
        return tuple((each.date, each.survey) for each in self.dates if each.survey is not None)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Of the scene, of its pixels and of the plan, each once."""
        dates_of: dict[str, list[date | None]] = {}
        for when, each in self.surveyed:
            for text in each.warnings:
                dates_of.setdefault(text, []).append(when)
        series = len(self.scene.dates) > 1
        found = [
            *self.scene.warnings,
            *(f"{listed(dates)}: {text}" if series else text for text, dates in dates_of.items()),
        ]
        planned = (*self.plan.warnings, *self.plan.troubles) if self.plan else ()
        return tuple(dict.fromkeys([*found, *planned]))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values; sizes in pixels and bytes, lengths in metres."""
        scene, grid = self.scene, self.scene.grid
        return {
            "scene": scene.name,
            "files": [str(path) for path in scene.files],
            "size_bytes": sum(source.size_bytes for source in scene.sources),
            "height": grid.height,
            "width": grid.width,
            "transform": list(grid.transform)[:6],
            "pixel_m": _pixel_m(grid),
            "crs": grid.crs.name,
            "crs_authority": _authority(grid.crs),
            "crs_wkt": grid.crs_wkt,
            "bounds_lon_lat": bounds_lon_lat(grid),
            "bands": list(scene.bands),
            "dates": [str(when) for when in scene.dates if when],
            "dtype": str(scene.dtype),
            "nodata": [None if value is None else repr_number(value) for value in scene.nodata],
            "valid_share": {str(when or "undated"): each.valid_share for when, each in self.surveyed},
            "series": [each.to_dict() for each in self.dates],
            "dates_left_out": [each.to_json() for each in scene.left_out],
            "notes": [*scene.notes, *(self.plan.notes if self.plan else ())],
            "warnings": list(self.warnings),
            "model": self._model_dict(),
            "plan": self.plan.to_dict() if self.plan else None,
        }

    def _model_dict(self) -> dict[str, Any]:
        bands = self.bundle.bands if self.bundle else ()
        return {
            "name": self.bundle.name if self.bundle else None,
            "bands": list(bands),
            "required_bands": list(REQUIRED_BANDS),
            "used_bands": [band for band in bands if band in self.scene.bands],
            "absent_bands": [band for band in bands if band not in self.scene.bands],
            "accepts_scene": self.plan is not None,
            "refusal": self.refusal.message if self.refusal else None,
            "remedy": self.refusal.remedy if self.refusal else None,
        }


def inspect_scene(source: SceneSource, *, model: str | Path | None = None, **options: Any) -> Inspection:
    """Opens a scene with the options of ``open_scene``, surveys a sample of each date (of a large scene the
    first 24) and tries a plan with a model.

    Raises SceneError where the scene itself cannot be opened or read; that the model cannot take it is a
    finding, not an error.
    """
    scene = open_scene(source, **options)
    sample_px = sum(window.size_px for window in sample_windows(scene.grid))
    most = max(1, _SURVEYED_PX // sample_px)
    singles = scene.single_dates()
    look = survey if len(singles) == 1 else _survey_of_series
    dates = tuple(_facts(single, look if number < most else None) for number, single in enumerate(singles))
    bundle, planned, refusal = None, None, None
    try:
        bundle = bundle_for(scene, model)
        costs = make_plan(scene, bundle)
        check_memory(costs, None)
        planned = costs
    except GeopanopticError as error:
        refusal = error
    return Inspection(scene=scene, dates=dates, bundle=bundle, plan=planned, refusal=refusal)


def _facts(single: Scene, look: Callable[[Scene], Survey] | None) -> DateFacts:
    when = single.dates[0]
    return DateFacts(
        date=when,
        bands=single.bands,
        n_files=len(single.files),
        survey=look(single) if look else None,
        cloud_share=cloud_share(single) if look else dict(single.cloud_shares).get(when),
    )


def _survey_of_series(single: Scene) -> Survey:
    """That a date of several shows little or nothing is no cause for a warning."""
    sample = take_sample(single)
    return Survey(valid_share=sample.valid_share, warnings=tuple(suspicions(single, sample)))


def table_of(inspection: Inspection) -> list[tuple[str, str]]:
    """Subject and finding, row by row, for people."""
    scene, grid = inspection.scene, inspection.scene.grid
    pixel_m, place, plan = _pixel_m(grid), bounds_lon_lat(grid), inspection.plan
    rows = [
        ("scene", f"{scene.name} ({counted(len(scene.files), 'file')} read)"),
        (
            "size",
            f"{grid.height:,} rows x {grid.width:,} columns = {grid.height * grid.width / 1e6:,.4g} Mpx",
        ),
        ("pixel", " x ".join(f"{size:.4g}" for size in pixel_m) + " m" if pixel_m else "size unknown"),
        ("CRS", " ".join(filter(None, (grid.crs.name, _authority(grid.crs))))),
        ("place", "{:.5f} to {:.5f} E, {:.5f} to {:.5f} N".format(*_swapped(place)) if place else "unknown"),
        ("bands", ", ".join(scene.bands)),
        ("dates", _dates_text(scene)),
        ("dtype", str(scene.dtype)),
        ("nodata", ", ".join(_nodata_texts(scene))),
    ]
    rows += _date_rows(inspection.dates)
    rows += [("left out", f"{each.date}  {each.reason}") for each in scene.left_out]
    rows += [("note", note) for note in (*scene.notes, *(inspection.plan.notes if inspection.plan else ()))]
    rows += [("warning", warning) for warning in inspection.warnings]
    if inspection.bundle is not None:
        known = (*scene.bands, *REQUIRED_BANDS)
        absent = [band for band in inspection.bundle.bands if band not in known]
        rows.append(
            (
                "model",
                f"{inspection.bundle.name} needs {', '.join(REQUIRED_BANDS)}; "
                + (
                    f"would also take {', '.join(absent)}, which the scene has not"
                    if absent
                    else "every band it takes is there"
                ),
            )
        )
    if inspection.refusal is not None:
        rows.append(("run", f"not possible: {inspection.refusal}"))
    if plan is not None:
        rows.append(
            (
                "run",
                f"possible: output {plan.grid.height:,} x {plan.grid.width:,} px, "
                f"about {size_text(plan.memory_bytes)} of memory and {size_text(plan.disk_bytes)} of disk while running",
            )
        )
    return rows


def bounds_lon_lat(grid: Grid) -> list[float] | None:
    """West, south, east, north in degrees on the CRS's own datum; None for a CRS without a place.

    West is greater than east where the scene crosses the antimeridian (RFC 7946).
    """
    geodetic = grid.crs.geodetic_crs
    if geodetic is None:
        return None
    corners = [(0, 0), (grid.width, 0), (0, grid.height), (grid.width, grid.height)]
    xs, ys = zip(*(grid.transform @ corner for corner in corners), strict=True)
    try:
        transformer = pyproj.Transformer.from_crs(grid.crs, geodetic, always_xy=True)
        bounds = transformer.transform_bounds(min(xs), min(ys), max(xs), max(ys))
    except ProjError:
        return None
    return [round(value, 7) for value in bounds] if all(map(math.isfinite, bounds)) else None


def repr_number(value: float) -> float | str:
    """A number as JSON allows it: NaN and infinities as text."""
    return value if value - value == 0 else str(value)


def _authority(crs: pyproj.CRS) -> str | None:
    authority = crs.to_authority()
    return ":".join(authority) if authority else None


def _pixel_m(grid: Grid) -> list[float] | None:
    try:
        return [round(size, 6) for size in grid.pixel_size_m()]
    except ProjError:
        return None


def _swapped(bounds: list[float]) -> tuple[float, float, float, float]:
    west, south, east, north = bounds
    return west, east, south, north


def _nodata_texts(scene: Scene) -> list[str]:
    values = dict.fromkeys(scene.nodata)
    if len(values) == 1:
        return ["none declared" if value is None else f"{value:g}" for value in values]
    return [
        f"{band}: {'none' if value is None else f'{value:g}'}"
        for band, value in zip(scene.bands, scene.nodata, strict=True)
    ]


def _dates_text(scene: Scene) -> str:
    if len(scene.dates) > 1:
        return f"{len(scene.dates)}, from {scene.dates[0]} to {scene.dates[-1]}"
    return str(scene.dates[0] or "not stated")


def _date_rows(dates: tuple[DateFacts, ...]) -> list[tuple[str, str]]:
    """One date: its shares. Several: a table of a line each."""
    if len(dates) == 1:
        share = dates[0].survey.valid_share if dates[0].survey else 0.0
        rows = [("valid", f"{share:.1%} of the pixels (from a sample)")]
        return rows + [("cloud", f"{each.cloud_share:.1%}") for each in dates if each.cloud_share is not None]
    return [
        (
            "date",
            f"{each.date}  valid {_share_text(each.survey.valid_share if each.survey else None)}"
            f"  cloud {_share_text(each.cloud_share)}  {', '.join(each.bands)}",
        )
        for each in dates
    ]


def _share_text(share: float | None) -> str:
    return "unknown" if share is None else f"{share:>7.1%}"
