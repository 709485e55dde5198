"""From named bands and masks of any origin to a Scene: dates chosen, checked, laid on one grid."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date

from geopanoptic.errors import SceneError
from geopanoptic.scene.bands.bandnames import OTHER_BANDS
from geopanoptic.scene.bands.masking import CloudMask
from geopanoptic.scene.bands.naming import NamedBand
from geopanoptic.scene.bands.sentinel2 import radiometry_of
from geopanoptic.scene.choosing import Dates, check_dates, choose_dates, parse_dates
from geopanoptic.scene.clouds import cloud_masks, without_cloudy
from geopanoptic.scene.containers.contents import Contents
from geopanoptic.scene.files.sources import shown
from geopanoptic.scene.pixels.layering import common_grid, lay_on
from geopanoptic.scene.scene import Scene, listed, parse_date


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which dates of what was found are wanted, and how they become one scene; as ``open_scene`` has it."""

    dates: Dates | None = None
    start: str | date | None = None
    end: str | date | None = None
    max_cloud: float | None = None
    cloud_mask: CloudMask = "auto"
    align: bool = False

    def asks_for(self, when: date) -> bool:
        """Whether images of a date are wanted, whatever their clouds."""
        dates = parse_dates(self.dates)
        first = date.min if self.start is None else parse_date(self.start)
        last = date.max if self.end is None else parse_date(self.end)
        return first <= when <= last and (dates is None or when in dates)

    def without(self, lost: Collection[date]) -> Choice:
        """The same without dates that are not there."""
        dates = parse_dates(self.dates)
        return self if dates is None else replace(self, dates=[when for when in dates if when not in lost])


def assemble(found: Contents, choice: Choice) -> Scene:
    """The scene of what was found. Headers only, but for the masks' sample that ``max_cloud`` may need.

    Raises SceneError: no band of use; dates, grids or radiometry that do not go together; no date left.
    """
    usable = _usable(found)
    chosen = choose_dates(usable, dates=parse_dates(choice.dates), start=choice.start, end=choice.end)
    date_warnings = (*check_dates(chosen.bands), *_check_harmonised(chosen.bands))
    grid = common_grid(chosen.bands, align_dates=choice.align)
    layers, layer_notes, layer_warnings = lay_on(grid, chosen.bands)
    masks, mask_notes, mask_warnings = cloud_masks(choice.cloud_mask, grid, chosen.masks, layers)
    dates = {layer.date for layer in layers}
    scene = Scene(
        name=found.name,
        grid=grid,
        layers=layers,
        masks=masks,
        cloud_shares=tuple((when, percent / 100) for when, percent in found.cloud_percent if when in dates),
        # An array or a cube has the same to say of every date.
        notes=tuple(dict.fromkeys((*chosen.notes, *layer_notes, *mask_notes))),
        warnings=tuple(dict.fromkeys((*chosen.warnings, *date_warnings, *layer_warnings, *mask_warnings))),
    )
    return scene if choice.max_cloud is None else without_cloudy(scene, choice.max_cloud)


def _usable(found: Contents) -> Contents:
    """Without the bands that no model takes: their pixels must not decide the scene's grid or validity."""
    kept = [item for item in found.bands if item.band not in OTHER_BANDS]
    left_out = [item for item in found.bands if item.band in OTHER_BANDS]
    if not kept:
        raise SceneError(
            "No reflectance band of the surface was found, only "
            f"{', '.join(dict.fromkeys(item.band for item in left_out))}.",
            remedy="Give the visible and infrared bands.",
        )
    notes: dict[tuple[int, str], list[NamedBand]] = {}
    for item in left_out:
        notes.setdefault((item.header.index, item.band), []).append(item)
    return replace(
        found,
        bands=tuple(kept),
        notes=(
            *found.notes,
            *(
                f"{shown(items[0].file.source.name)}{_more(items)} band {index}: {band} is not used by any "
                "model, left out."
                for (index, band), items in notes.items()
            ),
        ),
    )


def _more(items: Sequence[NamedBand]) -> str:
    return f" and {len(items) - 1} more," if len(items) > 1 else ""


def _check_harmonised(named: Sequence[NamedBand]) -> list[str]:
    """Dates whose numbers are 1000 higher than the others' would look brighter to a model of series. Where all are, a
    warning: a model does not mind, but indices do."""
    shifted = {item.date: item for item in named if radiometry_of(item.file, item.header).shifted}
    every = dict.fromkeys(item.date for item in named)
    if shifted and (others := [when for when in every if when not in shifted]):
        newer = next(iter(shifted.values()))
        raise SceneError(
            f"{shown(newer.file.source.name)} ({newer.date}) is of a Sentinel-2 processing baseline whose "
            f"numbers are 1000 higher, and nothing says that they are on {listed(others)}.",
            remedy="State in the newer files what is to be added (`gdal_edit -mo BOA_ADD_OFFSET=-1000`, or 0 "
            "where it was subtracted already), or choose other --dates.",
        )
    if not shifted:
        return []
    return [
        "The files are of a Sentinel-2 processing baseline whose numbers are 1000 higher, and nothing says whether that was "
        "subtracted: indices may be wrong. State what is to be added (`gdal_edit -mo BOA_ADD_OFFSET=-1000`, or 0)."
    ]
