"""Which masks a scene's dates have, how cloudy each date is, and which are left out for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import get_args

import numpy as np

from geopanoptic.errors import SceneError, UsageError
from geopanoptic.grid import Grid
from geopanoptic.scene.bands.headers import FileHeader
from geopanoptic.scene.bands.masking import WITH_SHADOWS, CloudMask, Mask, MaskLayer, NamedMask, preferred
from geopanoptic.scene.bands.naming import NamedBand
from geopanoptic.scene.csmask import computed_masks
from geopanoptic.scene.files.resampling import reached_share
from geopanoptic.scene.files.sources import named_files, shown
from geopanoptic.scene.pixels.layering import placed
from geopanoptic.scene.pixels.reading import Layer
from geopanoptic.scene.sampling import sample_windows
from geopanoptic.scene.scene import DateLeftOut, Scene, listed, select_dates

_COVERED = 0.99
_TAGS = (
    "eo:cloud_cover", "cloudy_pixel_percentage", "cloud_coverage_assessment", "cloudy_pixel_over_land_percentage",
    "cloud_cover", "cloudcover", "cloud_coverage", "cloud_cover_percentage",
)  # fmt: skip


def cloud_masks(
    how: CloudMask, grid: Grid, named: Sequence[NamedMask], layers: Sequence[Layer]
) -> tuple[tuple[Mask, ...], list[str], list[str]]:
    """One mask per date of ``layers`` that has one, with notes on what was taken and warnings.

    Raises SceneError where ``how`` asks for masks and a date has none, UsageError for another ``how`` and as
    ``computed_masks``.
    """
    if how not in get_args(CloudMask):
        raise UsageError(f"{how!r} is no cloud mask.", remedy=f"Choose of {', '.join(get_args(CloudMask))}.")
    if how == "none":
        return (), [], []
    if how == "ukis":
        return computed_masks(grid, layers), ["Clouds and their shadows are found by ukis-csmask."], []
    dates = tuple(dict.fromkeys(layer.date for layer in layers))
    usable = [mask for mask in named if how == "auto" or (mask.kind == "scl") == (how == "scl")]
    masks: list[MaskLayer] = []
    files: dict[str, dict[str, str]] = {}
    grids: dict[Grid, Grid] = {}
    warnings: list[str] = []
    bare: list[date | None] = []
    for when in dates:
        own = [mask for mask in usable if mask.date == when]
        if not own:
            bare.append(when)
            continue
        chosen = preferred(own)
        # One object for all dates keeps a pickled scene small.
        mask = _laid(chosen, grids.setdefault(chosen.file.grid, chosen.file.grid), grid)
        masks.append(mask)
        files.setdefault(mask.kind, {})[str(chosen.file.source.path)] = chosen.file.source.name
        if (share := reached_share(grid.shape, mask.alignment, mask.grid.shape)) < _COVERED:
            warnings.append(
                f"{shown(chosen.file.source.name)} masks {share:.1%} of the scene; the rest of that date is "
                "invalid."
            )
    if bare and how != "auto":
        kind = "scene classification (SCL)" if how == "scl" else "cloud band"
        raise SceneError(
            f"There is no {kind} for {listed(bare)}.",
            remedy="Put the mask beside the images, named with its date, or choose another --cloud-mask.",
        )
    if masks and bare:
        warnings.append(f"No cloud mask for {listed(bare)}; all of their pixels count.")
    strange = [mask for mask in usable if (mask.date is None) != (None in dates)]
    if strange:
        lacking = (
            "states no date, and the images do" if None not in dates else "states a date, and no image does"
        )
        warnings.append(f"{shown(strange[0].file.source.name)} is a cloud mask that {lacking}; left out.")
    notes = [
        f"{named_files(names.values())} {'hides' if len(names) == 1 else 'hide'} clouds"
        f"{' and shadows' if kind in WITH_SHADOWS else ''} ({kind})."
        for kind, names in files.items()
    ]
    return tuple(_in_one_unit(masks)), notes, warnings


def _in_one_unit(masks: Sequence[MaskLayer]) -> Sequence[MaskLayer]:
    """Probabilities of fractional type, which are parts of 1 unless a sampled one of any date is larger."""
    fractional = [
        mask
        for mask in masks
        if mask.kind == "probability" and mask.full > 1 and np.dtype(mask.dtype).kind == "f"
    ]
    if any(_exceeds_one(mask) for mask in fractional):
        return masks
    return [replace(mask, full=1.0) if mask in fractional else mask for mask in masks]


def _exceeds_one(mask: MaskLayer) -> bool:
    for window in sample_windows(mask.grid):
        numbers, decoded = mask.numbers(window, lambda _: None)
        if ((numbers > 1) & (numbers != mask.nodata) & decoded).any():
            return True
    return False


def _laid(mask: NamedMask, stored: Grid, grid: Grid) -> MaskLayer:
    return MaskLayer(
        kind=mask.kind,
        date=mask.date,
        source=mask.file.source,
        index=mask.header.index,
        dtype=mask.header.dtype,
        nodata=mask.header.nodata,
        full=mask.full,
        grid=stored,
        alignment=placed(mask.file, grid, "mask"),
    )


def stated_cloud(named: Sequence[NamedBand]) -> tuple[tuple[date, float], ...]:
    """Cloud in percent of each date whose files' tags state it."""
    percent: dict[date, float] = {}
    for item in named:
        if item.date is not None and item.date not in percent:
            stated = _stated_by(item.file)
            if stated is not None:
                percent[item.date] = stated
    return tuple(percent.items())


def _stated_by(file: FileHeader) -> float | None:
    tags = {key.lower(): value for key, value in file.tags}
    for tag in _TAGS:
        try:
            percent = float(tags[tag])
        except (KeyError, ValueError):
            continue
        if 0 <= percent <= 100:
            return percent
    return None


def measured_cloud(scene: Scene) -> float | None:
    """Share of the sampled pixels of a scene of one date that its mask hides, of those it knows.

    None without a mask; 1 where the mask knows no pixel. The sample is that of ``take_sample``.
    """
    if not scene.masks:
        return None
    known_px = hidden_px = 0
    for window in sample_windows(scene.grid):
        known, hidden = scene.masks[0].read(scene.grid, window, lambda _: None)
        known_px += int(np.count_nonzero(known))
        hidden_px += int(np.count_nonzero(known & hidden))
    return hidden_px / known_px if known_px else 1.0


def cloud_share(scene: Scene) -> float | None:
    """Cloud share 0..1 of a scene of one date: as its files state it, else as its mask shows, else None."""
    stated = dict(scene.cloud_shares).get(scene.dates[0])
    return measured_cloud(scene) if stated is None else stated


def without_cloudy(scene: Scene, max_cloud: float) -> Scene:
    """The scene without dates of more than ``max_cloud`` percent cloud, which its notes then name.

    Raises SceneError where no date is left, or nothing tells how cloudy any is; UsageError for a share that
    cannot be.
    """
    if not 0 <= max_cloud <= 100:
        raise UsageError(f"--max-cloud is {max_cloud:g}.", remedy="Give percent, 0 to 100.")
    shares = {single.dates[0]: cloud_share(single) for single in scene.single_dates()}
    known = {when: share for when, share in shares.items() if share is not None}
    if not known:
        raise SceneError(
            f"Nothing tells how cloudy {_span(scene)} is, so --max-cloud has nothing to choose by.",
            remedy="Put cloud masks beside the images (or --cloud-mask ukis), or leave --max-cloud out.",
        )
    cloudy = {when: share for when, share in known.items() if share * 100 > max_cloud}
    kept = [when for when in scene.dates if when not in cloudy]
    if not kept:
        clearest = min(known, key=lambda when: known[when])
        which = "has" if clearest is None else f", {clearest}, has"
        raise SceneError(
            f"Every date of {_span(scene)} has more than {max_cloud:g} % cloud; the clearest{which} "
            f"{known[clearest]:.0%}.",
            remedy="Raise --max-cloud.",
        )
    left_out = tuple(
        DateLeftOut(date=when, reason=f"{share:.1%} cloud (at most {max_cloud:g} %)", damaged=False)
        for when, share in cloudy.items()
    )
    unknown = [when for when, share in shares.items() if share is None]
    return replace(
        select_dates(scene, [when for when in kept if when is not None]) if cloudy else scene,
        cloud_shares=tuple((when, share) for when, share in known.items() if when not in cloudy),
        left_out=(*scene.left_out, *left_out),
        notes=(*scene.notes, *_note(tuple(cloudy), max_cloud)),
        warnings=(
            *scene.warnings,
            *([f"Nothing tells how cloudy {listed(unknown)} is; kept."] if unknown else []),
        ),
    )


def _span(scene: Scene) -> str:
    """The scene by its dates: a season's folder is called images or data as often as not."""
    first, last = scene.dates[0], scene.dates[-1]
    if first is None:
        return f"the image {scene.name}"
    return f"the image of {first}" if len(scene.dates) == 1 else f"the season from {first} to {last}"


def _note(cloudy: Sequence[date | None], max_cloud: float) -> list[str]:
    if not cloudy:
        return []
    what = "One date is" if len(cloudy) == 1 else f"{len(cloudy)} dates are"
    return [f"{what} left out for more than {max_cloud:g} % cloud: {listed(cloudy)}."]
