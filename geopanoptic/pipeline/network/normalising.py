"""A first look at a scene's pixels: its normalisation, how much of every date is valid, and what looks odd."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from geopanoptic.errors import SceneError
from geopanoptic.models.bundle import Bundle
from geopanoptic.models.manifest import FixedNormalisation
from geopanoptic.pipeline.network.reading import block_cache_bytes
from geopanoptic.pipeline.planning.plan import Plan
from geopanoptic.scene import Normalisation, configure_gdal, survey, suspicions, take_sample
from geopanoptic.scene.bands.sentinel2 import FIRST_DAY_WITH_OFFSET, OFFSET, OFFSET_TAGS
from geopanoptic.scene.files.blocks import UnreadableBlock, refuse
from geopanoptic.scene.radiometry import LEAST_VALID_SHARE, DateRange, date_range, series_normalisation

_DATES_TOLD = 3
"""Dates whose oddities are told one by one: what is wrong with one is often wrong with all."""

_APART = 50.0
"""No ground, cloud or shadow is so many times brighter than the season."""
_UNSCALED = 1000.0
"""A date's numbers that are so many times the season's lack the scale that reflectance is stored with, 10,000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstLook:
    """What a fixed sample of every date says."""

    normalisation: Normalisation
    valid_share: dict[str, float]
    """Share of the sampled pixels that are valid, by date (``undated`` where it is not known)."""
    warnings: tuple[str, ...]


def look_at(planned: Plan, *, skip_unreadable: bool) -> FirstLook:
    """Read the sample of every date, one after the other.

    Raises SceneError for dates in different units, and for a block of a file that cannot be decoded, unless
    ``skip_unreadable``: it is recorded when its part of the scene is computed.
    """
    configure_gdal(block_cache_bytes(planned))
    skipped: list[UnreadableBlock] = []
    ranges, valid_share, odd = [], {}, {}
    dates = planned.scene.single_dates()
    for single in dates:
        when = str(single.dates[0] or "undated")
        sample = take_sample(
            single,
            [band for band in planned.bands if band in single.bands],
            on_unreadable=skipped.append if skip_unreadable else refuse,
        )
        ranges.append(date_range(sample))
        valid_share[when] = sample.valid_share
        if len(dates) == 1:
            odd[when] = survey(single, sample=sample).warnings
        elif found := suspicions(single, sample):
            odd[when] = tuple(f"{when}: {text}" for text in found)
    by_date = dict(zip(valid_share, ranges, strict=True))
    return FirstLook(
        normalisation=fixed_normalisation(planned.bundle, planned.bands)
        or series_normalisation(ranges).select(planned.bands),
        valid_share=valid_share,
        warnings=(*_told(list(odd.values())), *in_other_units(by_date), *raised(by_date)),
    )


def fixed_normalisation(bundle: Bundle, bands: Sequence[str]) -> Normalisation | None:
    """The normalisation of ``bands`` that a bundle states for every scene; None where the scene's counts."""
    stated = bundle.manifest.normalisation
    if not isinstance(stated, FixedNormalisation):
        return None
    whole = Normalisation(bands=bundle.bands, low=stated.low, high=stated.high, clip=stated.clip)
    return whole.select(bands)


def in_other_units(ranges: Mapping[str, DateRange]) -> list[str]:
    """Warnings of dates whose numbers are of another order than the season's, by the names of the dates.

    Between bare ground and cloud a band's bright end differs by ten times at most. Raises SceneError where one lacks
    its scale: a season of both is black or white.
    """
    warnings = []
    for band in dict.fromkeys(band for each in ranges.values() for band in each.bands):
        bright = {
            when: each.high[each.bands.index(band)]
            for when, each in ranges.items()
            if band in each.bands and each.valid_share >= LEAST_VALID_SHARE
        }
        middle = np.median([*bright.values()]) if bright else 0.0
        odd = [
            when for when, high in bright.items() if middle > 0 and not 1 / _APART < high / middle < _APART
        ]
        if not odd:
            continue
        unscaled = [
            when for when in odd if bright[when] and not 1 / _UNSCALED < bright[when] / middle < _UNSCALED
        ]
        worst = unscaled or odd
        found = (
            f"The {band} band of {', '.join(worst[:_DATES_TOLD])} ends at {bright[worst[0]]:g}, that of the season at "
            f"{middle:g}"
        )
        remedy = "State the scale in the files (`gdal_edit -scale 0.0001`), or choose other --dates."
        if unscaled:
            raise SceneError(f"{found}: they are in different units.", remedy=remedy)
        warnings.append(f"{found}: they seem to be in different units. {remedy}")
    return warnings


def raised(ranges: Mapping[str, DateRange]) -> list[str]:
    """A warning of dates that seem to carry Sentinel-2's radiometric offset where earlier ones, before it came, do not.

    Files that tell, by name or tag, are settled when the scene is opened; most exports do not. With the offset hardly a
    number is below 1000; without it those of water, shadow and dense plants are, in one band or another.
    """
    first = FIRST_DAY_WITH_OFFSET.isoformat()
    darkest = {when: min(each.low) for when, each in ranges.items() if each.valid_share >= LEAST_VALID_SHARE}
    earlier = [low for when, low in darkest.items() if when < first]
    newer = {when: low for when, low in darkest.items() if when >= first}
    if not earlier or not newer or not max(earlier) < -OFFSET <= min(newer.values()):
        return []
    return [
        f"Hardly a number of {', '.join([*newer][:_DATES_TOLD])} is below {-OFFSET:g}, as many of the earlier dates are: since "
        f"{first} Sentinel-2's are {-OFFSET:g} higher unless somebody subtracted that. State it in the newer files "
        f"(`gdal_edit -mo {OFFSET_TAGS[0]}={OFFSET:g}`), or subtract it."
    ]


def _told(odd: Sequence[Sequence[str]]) -> list[str]:
    told = [text for texts in odd[:_DATES_TOLD] for text in texts]
    more = len(odd) - _DATES_TOLD
    return told if more <= 0 else [*told, f"{more} more dates look odd; `geopanoptic inspect` says how."]
