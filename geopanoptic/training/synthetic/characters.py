"""The kinds of country that a generated landscape can be: one table of what differs between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from geopanoptic.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Character:
    """How one kind of country is parcelled, and what lies between its parcels.

    parcel_ha, spread
        Median area of a parcel, hectares, and the standard deviation of its natural logarithm.
    block_parcels
        Parcels, about, that one block between tracks holds.
    aspects
        Length over width of parcels; every block takes one of them.
    turned, irregular, bend_m
        How far the directions of blocks differ (radians), how uneven cuts are (0..1), how far lines bend.
    pivots
        Share of blocks of centre-pivot circles.
    parcel_borders, block_borders
        Share of borders between two parcels, or two blocks, with a ``track``, ``grass``, ``hedge`` or
        ``ditch`` on it; on the others neighbours touch.
    woods, built_up, other_vegetation
        Shares of blocks without parcels.
    villages_km2
        Villages and farmyards per square kilometre.
    nature
        How likely woods, lakes, rivers and coasts are that follow no block.
    grassland, orchards
        Shares of parcels that are meadows, and vineyards or orchards.
    chance
        How often an unnamed landscape has this character.
    """

    parcel_ha: float
    spread: float = 0.6
    block_parcels: float = 16
    aspects: tuple[float, ...] = (1.3, 2.0, 3.0)
    turned: float = 0.2
    irregular: float = 0.35
    bend_m: float = 15
    pivots: float = 0
    parcel_borders: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({"grass": 0.05}))
    block_borders: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType({"track": 0.45, "grass": 0.2, "hedge": 0.06, "ditch": 0.02})
    )
    woods: float = 0.05
    built_up: float = 0.01
    other_vegetation: float = 0.03
    villages_km2: float = 0.4
    nature: float = 1.0
    grassland: float = 0.2
    orchards: float = 0
    chance: float = 1.0


CHARACTERS: Mapping[str, Character] = MappingProxyType(
    {
        "plain": Character(parcel_ha=8, spread=0.8, block_parcels=6, turned=0.1, grassland=0.08),
        "mosaic": Character(parcel_ha=1.7, spread=0.75, block_parcels=22, chance=3),
        "smallholders": Character(
            parcel_ha=0.45, spread=0.7, block_parcels=30, aspects=(1.3, 2.0, 4.0), turned=0.5, irregular=0.6
        ),
        "strips": Character(
            parcel_ha=1.1,
            spread=0.6,
            block_parcels=24,
            aspects=(6.0, 10.0, 15.0),
            turned=0.4,
            irregular=0.25,
            parcel_borders={"grass": 0.02},
            grassland=0.12,
            chance=2.5,
        ),
        "terraces": Character(
            parcel_ha=0.6,
            block_parcels=20,
            aspects=(5.0, 8.0),
            bend_m=60,
            parcel_borders={"grass": 0.25, "hedge": 0.08},
            woods=0.12,
            orchards=0.3,
            chance=0.6,
        ),
        "pivots": Character(
            parcel_ha=10, spread=0.4, block_parcels=8, aspects=(1.0,), pivots=0.6, bend_m=4, chance=0.4
        ),
        "bocage": Character(
            parcel_ha=1.3,
            block_parcels=14,
            turned=0.6,
            irregular=0.7,
            bend_m=35,
            parcel_borders={"hedge": 0.55, "grass": 0.1},
            block_borders={"hedge": 0.5, "track": 0.35},
            grassland=0.6,
            chance=0.9,
        ),
        "polder": Character(
            parcel_ha=1.8,
            aspects=(3.0, 5.0, 8.0),
            turned=0.08,
            irregular=0.15,
            bend_m=5,
            parcel_borders={"ditch": 0.5, "grass": 0.1},
            block_borders={"ditch": 0.45, "track": 0.4},
            woods=0.01,
            grassland=0.65,
            chance=0.9,
        ),
        "vineyards": Character(
            parcel_ha=0.6,
            aspects=(2.0, 3.0, 5.0),
            turned=0.5,
            bend_m=25,
            block_borders={"track": 0.75, "grass": 0.1},
            orchards=0.65,
            grassland=0.1,
            chance=0.7,
        ),
        "wild": Character(
            parcel_ha=1.5,
            woods=0.45,
            built_up=0.12,
            other_vegetation=0.3,
            villages_km2=1.5,
            nature=2.0,
            chance=0.6,
        ),
    }
)
"""Characters by name."""


def character_of(name: str | None, rng: np.random.Generator) -> Character:
    """The character ``name``, or a random one for None; an unknown name is a UsageError."""
    if name is None:
        chance = np.array([each.chance for each in CHARACTERS.values()])
        return list(CHARACTERS.values())[rng.choice(len(chance), p=chance / chance.sum())]
    if name not in CHARACTERS:
        raise UsageError(
            f"character '{name}' is unknown, expected one of {', '.join(CHARACTERS)}.",
            remedy="Name one of them, or leave the character out for a random one.",
        )
    return CHARACTERS[name]
