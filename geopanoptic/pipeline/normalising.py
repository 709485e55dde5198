"""A first look at a scene's pixels: its normalisation, how much of every date is valid, and what looks odd."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from geopanoptic.models.bundle import Bundle
from geopanoptic.models.manifest import FixedNormalisation
from geopanoptic.pipeline.plan import Plan
from geopanoptic.pipeline.reading import block_cache_bytes
from geopanoptic.scene import Normalisation, configure_gdal, survey, suspicions, take_sample
from geopanoptic.scene.blocks import UnreadableBlock, refuse
from geopanoptic.scene.radiometry import date_range, series_normalisation

_DATES_TOLD = 3
"""Dates whose oddities are told one by one: what is wrong with one is often wrong with all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstLook:
    """What a fixed sample of every date says."""

    normalisation: Normalisation
    valid_share: dict[str, float]
    """Share of the sampled pixels that are valid, by date (``undated`` where it is not known)."""
    warnings: tuple[str, ...]


def look_at(planned: Plan, *, skip_unreadable: bool) -> FirstLook:
    """Read the sample of every date, one after the other.

    Raises SceneError for a block of a file that cannot be decoded, unless ``skip_unreadable``: it is recorded
    when its part of the scene is computed.
    """
    configure_gdal(block_cache_bytes(planned))
    skipped: list[UnreadableBlock] = []
    ranges, valid_share, odd = [], {}, {}
    dates = planned.scene.single_dates()
    for single in dates:
        when = str(single.dates[0] or "undated")
        sample = take_sample(
            single,
            planned.bands,
            on_unreadable=skipped.append if skip_unreadable else refuse,
        )
        ranges.append(date_range(sample))
        valid_share[when] = sample.valid_share
        if len(dates) == 1:
            odd[when] = survey(single, sample=sample).warnings
        elif found := suspicions(single, sample):
            odd[when] = tuple(f"{when}: {text}" for text in found)
    return FirstLook(
        normalisation=fixed_normalisation(planned.bundle, planned.bands) or series_normalisation(ranges),
        valid_share=valid_share,
        warnings=tuple(_told(list(odd.values()))),
    )


def fixed_normalisation(bundle: Bundle, bands: Sequence[str]) -> Normalisation | None:
    """The normalisation of ``bands`` that a bundle states for every scene; None where the scene's counts."""
    stated = bundle.manifest.normalisation
    if not isinstance(stated, FixedNormalisation):
        return None
    whole = Normalisation(bands=bundle.bands, low=stated.low, high=stated.high, clip=stated.clip)
    return whole.select(bands)


def _told(odd: Sequence[Sequence[str]]) -> list[str]:
    told = [text for texts in odd[:_DATES_TOLD] for text in texts]
    more = len(odd) - _DATES_TOLD
    return told if more <= 0 else [*told, f"{more} more dates look odd; `geopanoptic inspect` says how."]
