"""What a container of a scene holds (a product folder, a STAC item, a cube), named by its own metadata."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from geopanoptic.errors import SceneError
from geopanoptic.scene.bands.bandnames import common_name, letter_name
from geopanoptic.scene.bands.masking import NamedMask
from geopanoptic.scene.bands.naming import SKIP, NamedBand


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """Bands and masks with their dates. Nothing was guessed from file names.

    ``cloud_percent``: the share of clouded pixels that the metadata state for a date, 0 to 100.
    """

    name: str
    bands: tuple[NamedBand, ...]
    masks: tuple[NamedMask, ...] = ()
    cloud_percent: tuple[tuple[date, float], ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def together(parts: Sequence[Contents], *, name: str) -> Contents:
    """Several containers as one."""
    return Contents(
        name=name,
        bands=tuple(band for part in parts for band in part.bands),
        masks=tuple(mask for part in parts for mask in part.masks),
        cloud_percent=tuple(stated for part in parts for stated in part.cloud_percent),
        notes=tuple(note for part in parts for note in part.notes),
        warnings=tuple(warning for part in parts for warning in part.warnings),
    )


def with_bands(contents: Contents, words: Iterable[str]) -> Contents:
    """The container with these bands only (``red``, ``NIR``, ``r``). Raises SceneError for one that it lacks."""
    held = tuple(dict.fromkeys(item.band for item in contents.bands))
    wanted = meant_by(words)
    if missing := [word for word, name in wanted.items() if name not in held]:
        raise SceneError(
            f"{contents.name} has no band {', '.join(map(repr, missing))}; it has {', '.join(held)}.",
            remedy="It names its bands itself: --bands chooses among them.",
        )
    return replace(contents, bands=tuple(item for item in contents.bands if item.band in wanted.values()))


def meant_by(words: Iterable[str]) -> dict[str, str | None]:
    """The canonical band that each word means, or None."""
    return {
        word: common_name(re.sub(r"[\s_-]", "", word)) or letter_name(word) for word in words if word != SKIP
    }
