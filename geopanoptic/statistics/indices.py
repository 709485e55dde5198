"""Spectral indices: their formulas, where they come from, and the bands they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geopanoptic.errors import UsageError
from geopanoptic.scene import Scene
from geopanoptic.scene.units import with_units
from geopanoptic.wording import did_you_mean

Bands = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """``(numerator) / (denominator)`` of weighted band sums, ``gain`` times.

    ``numerator`` and ``denominator`` map band names to factors; the name ``1`` is a constant in units of
    reflectance, so that an index with it holds for reflectances only.
    """

    name: str
    numerator: Mapping[str, float]
    denominator: Mapping[str, float]
    source: str
    gain: float = 1.0

    @property
    def bands(self) -> tuple[str, ...]:
        """The bands it needs."""
        return tuple(each for each in dict.fromkeys([*self.numerator, *self.denominator]) if each != "1")

    @property
    def in_reflectance(self) -> bool:
        """Whether the unit of the values matters."""
        return "1" in self.denominator

    @property
    def formula(self) -> str:
        """For people: ``2.5 (nir - red) / (nir + 6 red - 7.5 blue + 1)``."""
        gain = "" if self.gain == 1 else f"{self.gain:g} "
        return f"{gain}({_as_sum(self.numerator)}) / ({_as_sum(self.denominator)})"

    def __call__(self, bands: Bands, *, one: float) -> NDArray[np.float32]:
        """The index of every pixel, float32, NaN where the denominator is 0.

        ``one`` is the number that stands for a reflectance of 1 in ``bands``.
        """
        above, below = _sum(self.numerator, bands, one), _sum(self.denominator, bands, one)
        ratio = np.full(above.shape, np.nan)
        np.divide(self.gain * above, below, out=ratio, where=below != 0)
        return ratio.astype(np.float32)


def _difference(name: str, plus: str, minus: str, source: str) -> Index:
    return Index(name=name, numerator={plus: 1, minus: -1}, denominator={plus: 1, minus: 1}, source=source)


_ALL = (
    _difference("ndvi", "nir", "red", "Rouse et al. 1974, NASA SP-351"),
    _difference("gndvi", "nir", "green", "Gitelson et al. 1996, Remote Sensing of Environment 58"),
    _difference("ndre", "nir", "rededge1", "Gitelson and Merzlyak 1994, J. Plant Physiology 143"),
    _difference("ndwi", "green", "nir", "McFeeters 1996, Int. J. Remote Sensing 17 (open water)"),
    _difference("mndwi", "green", "swir16", "Xu 2006, Int. J. Remote Sensing 27 (open water)"),
    _difference("ndmi", "nir", "swir16", "Gao 1996, Remote Sensing of Environment 58 (water in leaves)"),
    _difference("nbr", "nir", "swir22", "Key and Benson 2006, USDA RMRS-GTR-164 (burnt ground)"),
    Index(
        name="evi", gain=2.5, numerator={"nir": 1, "red": -1},
        denominator={"nir": 1, "red": 6, "blue": -7.5, "1": 1},
        source="Huete et al. 2002, Remote Sensing of Environment 83",
    ),
    Index(
        name="evi2", gain=2.5, numerator={"nir": 1, "red": -1}, denominator={"nir": 1, "red": 2.4, "1": 1},
        source="Jiang et al. 2008, Remote Sensing of Environment 112",
    ),
    Index(
        name="savi", gain=1.5, numerator={"nir": 1, "red": -1}, denominator={"nir": 1, "red": 1, "1": 0.5},
        source="Huete 1988, Remote Sensing of Environment 25 (L = 0.5)",
    ),
    Index(
        name="bsi", numerator={"swir16": 1, "red": 1, "nir": -1, "blue": -1},
        denominator={"swir16": 1, "red": 1, "nir": 1, "blue": 1},
        source="Rikimaru et al. 2002, Tropical Ecology 43 (bare soil)",
    ),
)  # fmt: skip
INDICES: Mapping[str, Index] = {each.name: each for each in _ALL}
"""Every index by name."""


def choose_indices(names: str | Sequence[str], available: Sequence[str]) -> tuple[Index, ...]:
    """Indices by name, a list or comma separated; ``all`` takes every one that ``available`` bands permit.

    Raises UsageError for a name that is none, or an index whose bands are not there.
    """
    words = [each.strip().lower() for each in (names.split(",") if isinstance(names, str) else names)]
    if words == ["all"]:
        return tuple(each for each in _ALL if set(each.bands) <= set(available))
    chosen = []
    for word in dict.fromkeys(filter(None, words)):
        if word not in INDICES:
            hint = did_you_mean(word, INDICES, f"There is {', '.join(INDICES)}.")
            raise UsageError(f"{word!r} is not an index.", remedy=hint)
        missing = [band for band in INDICES[word].bands if band not in available]
        if missing:
            raise UsageError(
                f"{word} needs {' and '.join(missing)}; the scene has {', '.join(available)}.",
                remedy=f"Leave it out, or give a scene with {' and '.join(missing)}.",
            )
        chosen.append(INDICES[word])
    return tuple(chosen)


def reflectance_of_one(scene: Scene, indices: Sequence[Index]) -> tuple[float, tuple[str, ...]]:
    """The number that stands for a reflectance of 1 in what ``scene`` reads, and a note where it is assumed.

    1 where the files state a scale, else 10,000 for 16-bit integers and what a sample of fractional numbers tells. Raises
    UsageError where an index needs reflectances and its bands hold 8-bit values or are not all in one unit, and
    SceneError as ``with_units``.
    """
    needing = [each for each in indices if each.in_reflectance]
    if not needing:
        return 1.0, ()
    told = ", ".join(each.name for each in needing)
    bands = {band for each in needing for band in each.bands}
    layers = [layer for layer in scene.layers if layer.band in bands]
    if any(layer.reflectance_of_one != 1 and np.dtype(layer.dtype).itemsize == 1 for layer in layers):
        raise UsageError(
            f"{told} holds for reflectances, and {scene.name} stores 8-bit values.",
            remedy="Leave it out; ratios like ndvi can be taken of any values.",
        )
    units = {layer.reflectance_of_one: layer for layer in with_units(scene.stored_grid, layers)}
    if len(units) > 1:
        one, other = (f"{each.band} of {each.date}" for each in units.values())
        raise UsageError(
            f"{told} holds for reflectances, and {scene.name} mixes reflectances and numbers without a scale "
            f"({one}, {other}).",
            remedy="State the scale in the files that lack it: `gdal_edit -scale 0.0001`.",
        )
    one_is = next(iter(units))
    note = f"{scene.name} states no scale: for {told}, {one_is:,.0f} is taken as reflectance 1."
    return one_is, (note,) if one_is != 1 else ()


def _sum(factors: Mapping[str, float], bands: Bands, one: float) -> NDArray[np.float64]:
    terms = [
        factor * (bands[name].astype(np.float64) if name != "1" else one) for name, factor in factors.items()
    ]
    return np.asarray(sum(terms[1:], start=terms[0]))


def _as_sum(factors: Mapping[str, float]) -> str:
    text = ""
    for name, factor in factors.items():
        size = (
            f"{abs(factor):g}" if name == "1" else f"{'' if abs(factor) == 1 else f'{abs(factor):g} '}{name}"
        )
        text += f" {'-' if factor < 0 else '+'} {size}"
    return text.removeprefix(" + ")
