"""The year of every parcel: what it grows, when it is sown, cut and harvested, and what grows before and after.

Parcels of one crop share a season and differ by sowing, vigour and harvest: neighbours of a kind look alike on
most dates and part on some, which is what several dates tell more than one. After harvest the soil is bare
until a catch crop or the next winter crop covers some of it; before a summer crop a winter cover may stand (maize
in Flanders: index .64 in winter, .3 in May, .85 in July). Grassland falls with every cut and grows again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geopanoptic.training.synthetic.ground import LEAF, choices, leafiness
from geopanoptic.training.synthetic.landscape import Landscape
from geopanoptic.training.synthetic.phenology import KINDS, LogReflectance, at_day, phenology
from geopanoptic.training.synthetic.spectra import BANDS

WINTER, SUMMER, GRASSLAND, PERMANENT = range(len(KINDS))

_MOST_CUTS = 4
_CUT_RECOVERY_DAYS = 20.0
_EMERGENCE_DAYS = 35.0
_COVERING_DAYS = 45.0
_HARVEST_DAYS = 3.0
_NEVER = np.inf

_RIPE = {WINTER: (203, 10), SUMMER: (272, 16)}
"""Days of harvest, and their standard deviation among the crops of a kind."""
_EMERGING_DAY = 128
_TWO_SOILS = 0.3  # how often a region has fields of two soils
_MAY = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ParcelSeasons:
    """Per parcel, 0 unused: days are those of the year, infinite for what does not happen.

    kind (n + 1,)
        Place in ``KINDS``.
    log_nmb (n + 1, 12, 10), shift_days (n + 1,)
        Season of its crop, and how much later it is than that.
    soil_nb, green_nb (n + 1, 10)
        Log reflectance of bare soil, and of what covers it between crops.
    emergence, ploughed, winter_cover (n + 1,)
        Summer crops: when the crop begins to show, when the winter cover ends, how dense that is (0..1).
    harvest, resown, next_cover (n + 1,)
        When the crop is cut, when something else begins to grow, how dense it becomes.
    cuts (n + 1, 4), cut_depth (n + 1,)
        Days of mowing, and how much vigour falls.
    vigour (n + 1,)
        How much denser the crop is than usual.
    """

    kind: NDArray[np.uint8]
    log_nmb: LogReflectance
    shift_days: NDArray[np.float64]
    soil_nb: LogReflectance
    green_nb: LogReflectance
    emergence: NDArray[np.float64]
    ploughed: NDArray[np.float64]
    winter_cover: NDArray[np.float64]
    harvest: NDArray[np.float64]
    resown: NDArray[np.float64]
    next_cover: NDArray[np.float64]
    cuts: NDArray[np.float64]
    cut_depth: NDArray[np.float64]
    vigour: NDArray[np.float64]

    def at(self, day: float) -> LogReflectance:
        """Log reflectance (n + 1, 10) of every parcel on a day of the year."""
        crop = at_day(self.log_nmb, day - self.shift_days)
        since_cut = np.maximum(day - self.cuts, 0)
        cut = np.sum(np.exp(-since_cut / _CUT_RECOVERY_DAYS) * (self.cuts <= day), axis=1)
        leaf = self.vigour * leafiness(crop) - self.cut_depth * np.minimum(cut, 1.3)
        crop = crop + leaf[:, None] * LEAF

        early = 1 - np.clip((day - self.emergence) / _EMERGENCE_DAYS, 0, 1)
        late = np.clip((day - self.harvest) / _HARVEST_DAYS, 0, 1)
        cover = np.where(
            late > 0,
            self.next_cover * np.clip((day - self.resown) / _COVERING_DAYS, 0, 1),
            self.winter_cover * (1 - np.clip((day - self.ploughed) / _HARVEST_DAYS, 0, 1)),
        )[:, None]
        between = (1 - cover) * self.soil_nb + cover * self.green_nb
        share = np.maximum(early, late)[:, None]
        return np.clip((1 - share) * crop + share * between, np.log(1e-3), 0)


def draw_seasons(landscape: Landscape, rng: np.random.Generator) -> ParcelSeasons:
    """Seasons for the parcels of a landscape, as one region grows them."""
    table = phenology()
    prototype_kind = np.repeat(np.arange(len(KINDS)), rng.integers(1, [4, 4, 3, 3]))
    prototypes = np.concatenate([
        table.seasons[name].draw(rng, int((prototype_kind == kind).sum()), spread=0.8)
        for kind, name in enumerate(KINDS)
    ])  # fmt: skip
    chosen = choices(landscape.instances, _shares(landscape, prototype_kind, rng), rng)
    kind = prototype_kind[chosen].astype(np.uint8)
    n = len(kind)
    winter, summer, grass = (kind == each for each in (WINTER, SUMMER, GRASSLAND))
    sd_days = np.array([table.shift_days[KINDS[WINTER]], table.shift_days[KINDS[SUMMER]], 6.0, 6.0])[kind]
    shift = rng.normal(0, sd_days * rng.uniform(0.4, 1.2)) + rng.normal(0, 6, len(prototype_kind))[chosen]

    harvest = _harvests(prototype_kind, chosen, shift, rng)
    covered = np.where(winter, rng.random(n) < rng.uniform(0.2, 0.9), rng.random(n) < 0.4)
    emerging = np.where(summer, _EMERGING_DAY + shift + rng.normal(0, 5, n), -_NEVER)
    gap_days = np.where(rng.random(n) < 0.5, rng.uniform(10, 30, n), rng.uniform(30, 90, n))
    tint = rng.normal(0, 0.015, (n, 1, len(BANDS)))
    soil = table.soils(rng, 2, spread=0.6)
    which_soil = rng.integers(2, size=n) if rng.random() < _TWO_SOILS else np.zeros(n, np.intp)
    green = table.seasons["grassland"].mean[_MAY] + rng.normal(0, 0.08, (n, len(BANDS)))
    light = rng.normal(0, rng.uniform(0.02, 0.09), (n, 1)) + rng.normal(0, 0.015, (n, len(BANDS)))
    return ParcelSeasons(
        kind=kind,
        log_nmb=prototypes[chosen] + tint,
        shift_days=shift,
        soil_nb=soil[which_soil] + light,
        green_nb=green,
        emergence=emerging,
        ploughed=np.where(summer, np.minimum(rng.uniform(60, 130, n), emerging), -_NEVER),
        winter_cover=np.where(rng.random(n) < rng.uniform(0.1, 0.8), rng.uniform(0.3, 0.95, n), 0),
        harvest=harvest,
        resown=harvest + gap_days,
        next_cover=np.where(covered, rng.uniform(0.15, 0.9, n), 0),
        cuts=_cuts(grass, rng),
        cut_depth=np.where(grass, rng.uniform(0.15, 0.6, n), 0),
        vigour=rng.normal(0, rng.uniform(0.05, 0.18), n),
    )


def _harvests(
    prototype_kind: NDArray[np.int64],
    chosen: NDArray[np.intp],
    shift: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Days (n + 1,) when annual crops are cut: each crop of the region at its time, late fields later."""
    ripe = np.full(len(prototype_kind), _NEVER)
    for kind, (day, spread_days) in _RIPE.items():
        drawn = rng.normal(day, spread_days, len(prototype_kind))
        ripe = np.where(prototype_kind == kind, drawn, ripe)
    return np.asarray(ripe[chosen] + 0.6 * shift + rng.normal(0, rng.uniform(2, 9), len(chosen)))


def _shares(
    landscape: Landscape, prototype_kind: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """How often each prototype is grown."""
    character = landscape.character
    grassland = np.clip(character.grassland * rng.gamma(3, 1 / 3), 0.02, 0.9)
    permanent = np.clip(character.orchards + rng.gamma(1, 0.06), 0.01, 0.6)
    annual = rng.dirichlet([2, 2]) * max(1 - grassland - permanent, 0.1)
    share = np.array([*annual, grassland, permanent])[prototype_kind] * rng.gamma(1.5, 1, len(prototype_kind))
    return np.asarray(share / share.sum())


def _cuts(grass: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float64]:
    """Mowing days (n, 4): none on pasture, up to four from May on, farmers of a region within some weeks."""
    first = rng.uniform(125, 165) + rng.normal(0, rng.uniform(5, 18), len(grass))
    gaps = rng.uniform(35, 60, (len(grass), _MOST_CUTS - 1))
    days = np.column_stack([first, first[:, None] + np.cumsum(gaps, axis=1)])
    number = np.where(
        rng.random(len(grass)) < rng.uniform(0.1, 0.5), 0, rng.integers(1, _MOST_CUTS + 1, len(grass))
    )
    return np.where((np.arange(_MOST_CUTS) < number[:, None]) & grass[:, None], days, _NEVER)
